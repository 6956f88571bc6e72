import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { type Evidence, erase, put, putScheduled, type Stored, tokenOf, tokenOfEvent } from './evidence.ts'
import { withHeader } from './forged.ts'
import { MODEL, predicted, SOURCE } from './history-stage.ts'
import type { Owed, Tamper } from './tamper.ts'

const ROUTE = { pool: 'default', model: MODEL, lane: 'normal' } as const

const MINUTE_MS = 60_000

/** Waiting events the ledger says nothing of: with them, they are gone. */
function unsettled({ of, entries, epoch }: Evidence): Stored[] {
  const settled = new Set(
    entries
      .filter((one) => one.stream === STREAMS.features && one.epoch === epoch)
      .map((one) => one.sequence),
  )
  return of(STREAMS.features).filter(({ sequence }) => !settled.has(sequence))
}

/** Copies of retried events that have one copy and no end, neither told nor untold: with them, they are gone. */
function onlyCopies({ of, entries }: Evidence): Stored[] {
  const answered = new Set([...of(STREAMS.results).map(tokenOf), ...of(STREAMS.features).map(tokenOfEvent)])
  const copies = of(STREAMS.retries)
  const ended = new Set(entries.filter(({ outcome }) => outcome !== 'retried').map(({ token }) => token))
  const begun = new Set(entries.filter(({ outcome }) => outcome === 'retried').map(({ token }) => token))
  return copies.filter((copy) => {
    const token = tokenOf(copy)
    const isOnly = copies.filter((other) => tokenOf(other) === token).length === 1
    const isOpen = begun.has(token) && !ended.has(token) && !answered.has(token)
    const dueAt = Date.parse(readHeader(copy.headers, HEADERS.schedule)?.slice('@at '.length) ?? '')
    return isOnly && isOpen && dueAt > Date.now() + MINUTE_MS // the broker moves it then
  })
}

const lost = (...victims: readonly Stored[]): Owed => ({
  found: victims.map(({ sequence }) => [`#${sequence}`]),
})
const AGAIN: Owed = { excused: 'again' }

const features: readonly Tamper[] = [
  {
    ...{ kind: 'delete', stream: STREAMS.features, what: 'a waiting event' },
    async act(stage, evidence, free) {
      const victim = free.one(unsettled(evidence), evidence)
      if (victim === undefined) return undefined
      await erase(stage, victim)
      return lost(victim)
    },
  },
  {
    ...{ kind: 'double', stream: STREAMS.features, what: 'a waiting event' },
    async act(stage, evidence, free) {
      const victim = free.one(unsettled(evidence), evidence)
      if (victim === undefined) return undefined
      await put(stage, victim)
      return AGAIN
    },
  },
  {
    ...{ kind: 'forge', stream: STREAMS.features, what: 'an event nobody produced' },
    async act(stage) {
      await stage.publish(`forged-${stage.ids.length}`)
      return AGAIN
    },
  },
  {
    ...{ kind: 'swap', stream: STREAMS.features, what: 'two waiting events' },
    async act(stage, evidence, free) {
      const two = free.two(unsettled(evidence), evidence)
      if (two === undefined) return undefined
      for (const one of two) await erase(stage, one)
      for (const one of two.toReversed()) await put(stage, one)
      return lost(...two)
    },
  },
  {
    ...{ kind: 'edit', stream: STREAMS.features, what: 'the payload of a waiting event' },
    async act(stage, evidence, free) {
      const victim = free.one(unsettled(evidence), evidence)
      if (victim === undefined) return undefined
      await erase(stage, victim)
      await put(stage, { ...victim, body: Buffer.from('{"edited": true}') })
      return lost(victim)
    },
  },
]

/** Makes a scheduled copy due at once, lets a worker answer it, and says whose outcome shows that it was not the event. */
async function answerEdited(stage: Parameters<Tamper['act']>[0], edited: readonly Stored[]): Promise<Owed> {
  for (const copy of edited) {
    const target = readHeader(copy.headers, HEADERS.scheduleTarget) ?? ''
    await put(stage, { ...copy, subject: target })
  }
  const tokens = new Set(edited.map(tokenOf))
  const due = (await stage.worker().waiting()).filter(({ event }) => tokens.has(event.token))
  await stage.worker().settle(due, predicted)
  return { found: [...tokens].map((token) => [token]) }
}

const retries: readonly Tamper[] = [
  {
    ...{ kind: 'delete', stream: STREAMS.retries, what: 'the copy of a retried or parked event' },
    async act(stage, evidence, free) {
      const victim = free.one(onlyCopies(evidence), evidence)
      if (victim === undefined) return undefined
      await erase(stage, victim)
      return { found: [[tokenOf(victim)]] }
    },
  },
  {
    ...{ kind: 'double', stream: STREAMS.retries, what: 'the copy of a retried event, due at once' },
    async act(stage, evidence, free) {
      const victim = free.one(onlyCopies(evidence), evidence)
      if (victim === undefined) return undefined
      const target = readHeader(victim.headers, HEADERS.scheduleTarget) ?? ''
      await put(stage, { ...victim, subject: target })
      return AGAIN
    },
  },
  {
    ...{ kind: 'forge', stream: STREAMS.retries, what: 'a copy of an event nobody retried' },
    async act(stage, evidence, free) {
      const model = free.one(onlyCopies(evidence), evidence)
      if (model === undefined) return undefined
      const token = eventToken(MODEL, SOURCE, `forged-${stage.ids.length}-${model.sequence}`)
      const forged = withHeader(model, HEADERS.token, token)
      await put(stage, { ...forged, subject: subjects.due(ROUTE, token) })
      return { excused: 'agrees' }
    },
  },
  {
    ...{ kind: 'swap', stream: STREAMS.retries, what: 'the payloads of two copies, answered since' },
    async act(stage, evidence, free) {
      const two = free.two(onlyCopies(evidence), evidence)
      if (two === undefined) return undefined
      const [one, other] = two
      for (const copy of two) await erase(stage, copy)
      return answerEdited(stage, [
        { ...one, body: other.body },
        { ...other, body: one.body },
      ])
    },
  },
  {
    ...{ kind: 'edit', stream: STREAMS.retries, what: 'the payload of a copy, answered since' },
    async act(stage, evidence, free) {
      const victim = free.one(onlyCopies(evidence), evidence)
      if (victim === undefined) return undefined
      await erase(stage, victim)
      return answerEdited(stage, [{ ...victim, body: Buffer.from('{"edited": true}') }])
    },
  },
  {
    ...{ kind: 'edit', stream: STREAMS.retries, what: 'the time of a copy' },
    async act(stage, evidence, free) {
      const victim = free.one(onlyCopies(evidence), evidence)
      if (victim === undefined) return undefined
      await erase(stage, victim)
      const later = `@at ${new Date(Date.now() + 7_200_000).toISOString()}`
      await putScheduled(stage, withHeader(victim, HEADERS.schedule, later))
      return AGAIN
    },
  },
]

/** What can be done to what waits. */
export const QUEUE_TAMPERS: readonly Tamper[] = [...features, ...retries]
