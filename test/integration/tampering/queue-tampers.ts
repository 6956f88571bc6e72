import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { type Evidence, erase, put, putScheduled, tokenOf, tokenOfEvent, unsettled } from './evidence.ts'
import { withHeader } from './forged.ts'
import { type HistoryStage, predicted, ROUTE, tokenOf as tokenOfId } from './history-stage.ts'
import type { Stored } from './stored.ts'
import type { About, Kind, Owed, Tamper } from './tamper.ts'
import { otherBodies, otherOrder, swap, toOne } from './to-victims.ts'

const MINUTE_MS = 60_000

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

const AGAIN: Owed = { excused: 'again' }
const EDITED = Buffer.from('{"edited": true}')

const ofFeatures = (kind: Kind, what: string): About => ({ kind, stream: STREAMS.features, what })
const ofRetries = (kind: Kind, what: string): About => ({ kind, stream: STREAMS.retries, what })

const lost = (victims: readonly Stored[]): Owed => ({
  found: victims.map(({ sequence }) => [`#${sequence}`]),
})

const features: readonly Tamper[] = [
  toOne(ofFeatures('delete', 'a waiting event'), unsettled, async (victim, stage) => {
    await erase(stage, victim)
    return lost([victim])
  }),
  toOne(ofFeatures('double', 'a waiting event'), unsettled, async (victim, stage) => {
    await put(stage, victim)
    return AGAIN
  }),
  {
    ...ofFeatures('forge', 'an event nobody produced'),
    async act(stage) {
      await stage.publish(`forged-${stage.ids.length}`)
      return AGAIN
    },
  },
  swap(ofFeatures('swap', 'two waiting events'), unsettled, otherOrder, lost),
  toOne(ofFeatures('edit', 'the payload of a waiting event'), unsettled, async (victim, stage) => {
    await erase(stage, victim)
    await put(stage, { ...victim, body: EDITED })
    return lost([victim])
  }),
]

/** Stores a scheduled copy as one that is due. */
async function putDue(stage: HistoryStage, copy: Stored): Promise<void> {
  await put(stage, { ...copy, subject: readHeader(copy.headers, HEADERS.scheduleTarget) ?? '' })
}

/** Makes scheduled copies due at once, lets a worker answer them, and says whose outcome shows that it was not the event. */
async function answerEdited(stage: HistoryStage, edited: readonly Stored[]): Promise<Owed> {
  for (const copy of edited) await putDue(stage, copy)
  const tokens = new Set(edited.map(tokenOf))
  const due = (await stage.worker().waiting()).filter(({ event }) => tokens.has(event.token))
  await stage.worker().settle(due, predicted)
  return { found: [...tokens].map((token) => [token]) }
}

const retries: readonly Tamper[] = [
  toOne(ofRetries('delete', 'the copy of a retried or parked event'), onlyCopies, async (victim, stage) => {
    await erase(stage, victim)
    return { found: [[tokenOf(victim)]] }
  }),
  toOne(
    ofRetries('double', 'the copy of a retried event, due at once'),
    onlyCopies,
    async (victim, stage) => {
      await putDue(stage, victim)
      return AGAIN
    },
  ),
  toOne(ofRetries('forge', 'a copy of an event nobody retried'), onlyCopies, async (model, stage) => {
    const token = tokenOfId(`forged-${stage.ids.length}-${model.sequence}`)
    const forged = withHeader(model, HEADERS.token, token)
    await put(stage, { ...forged, subject: subjects.due(ROUTE, token) })
    return { excused: 'agrees' }
  }),
  {
    ...ofRetries('swap', 'the payloads of two copies, answered since'),
    async act(stage, evidence, free) {
      const two = free.two(onlyCopies(evidence), evidence)
      if (two === undefined) return undefined
      for (const copy of two) await erase(stage, copy)
      return answerEdited(stage, otherBodies(...two))
    },
  },
  toOne(ofRetries('edit', 'the payload of a copy, answered since'), onlyCopies, async (victim, stage) => {
    await erase(stage, victim)
    return answerEdited(stage, [{ ...victim, body: EDITED }])
  }),
  toOne(ofRetries('edit', 'the time of a copy'), onlyCopies, async (victim, stage) => {
    await erase(stage, victim)
    const later = `@at ${new Date(Date.now() + 7_200_000).toISOString()}`
    await putScheduled(stage, withHeader(victim, HEADERS.schedule, later))
    return AGAIN
  }),
]

/** What can be done to what waits. */
export const QUEUE_TAMPERS: readonly Tamper[] = [...features, ...retries]
