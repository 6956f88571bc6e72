import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import {
  type Evidence,
  erase,
  isPrediction,
  lastResults,
  namesOf,
  originIn,
  provenResults,
  put,
  type Stored,
  tokenOf,
} from './evidence.ts'
import { forge, withHeader, withOtherByte } from './forged.ts'
import type { HistoryStage } from './history-stage.ts'
import type { Excuse, Kind, Tamper } from './tamper.ts'

type Change = (victim: Stored, stage: HistoryStage, evidence: Evidence) => Promise<unknown>

/** Does something to one result; it must be found unless it is said why not. */
function toResult(
  kind: Kind,
  what: string,
  of: (evidence: Evidence) => readonly Stored[],
  change: Change,
  excuse?: Excuse,
): Tamper {
  return {
    ...{ kind, stream: STREAMS.results, what },
    async act(stage, evidence, free) {
      const victim = free.one(of(evidence), evidence)
      if (victim === undefined) return undefined
      await change(victim, stage, evidence)
      return excuse === undefined ? { found: [namesOf(evidence, victim)] } : { excused: excuse }
    },
  }
}

/** Puts another message in the place of one. */
async function replace(stage: HistoryStage, victim: Stored, by: Stored): Promise<void> {
  await erase(stage, victim)
  await put(stage, by)
}

const predictions = (evidence: Evidence): Stored[] => provenResults(evidence).filter(isPrediction)
const notices = (evidence: Evidence): Stored[] =>
  provenResults(evidence).filter((one) => !isPrediction(one) && !evidence.replayed.has(tokenOf(one)))

/** Results of events that no record names yet: their worker was killed, and they wait. */
function untold(evidence: Evidence): Stored[] {
  const proven = new Set(provenResults(evidence))
  return lastResults(evidence).filter((one) => !proven.has(one))
}

/** Notices with a later outcome in their register. */
function overtaken(evidence: Evidence): Stored[] {
  const last = new Set(lastResults(evidence))
  return evidence.of(STREAMS.results).filter((one) => !last.has(one))
}

const deletions: readonly Tamper[] = [
  toResult('delete', 'a prediction', predictions, (victim, stage) => erase(stage, victim)),
  toResult('delete', 'a failure notice', notices, (victim, stage) => erase(stage, victim)),
  toResult(
    'delete',
    'an outcome whose event waits still',
    untold,
    (victim, stage) => erase(stage, victim),
    'again',
  ),
  toResult(
    'delete',
    'a notice that was overtaken',
    overtaken,
    (victim, stage) => erase(stage, victim),
    'superseded',
  ),
]

const doubles: readonly Tamper[] = [
  toResult('double', 'a prediction', predictions, (victim, stage) => put(stage, victim)),
  toResult('double', 'a failure notice', notices, (victim, stage) => put(stage, victim)),
]

const UNREADABLE = { headerBlock: new Uint8Array(), body: Buffer.from('junk') }

const forgeries: readonly Tamper[] = [
  {
    ...{ kind: 'forge', stream: STREAMS.results, what: 'a result of an event nobody published' },
    async act(stage, evidence) {
      const sequence = 1_000_000 + stage.ids.length
      const forged = forge(`nobody-${stage.random()}`, evidence.epoch, sequence)
      await put(stage, stage.pick([forged.prediction, forged.notice]))
      return { found: [[forged.token, `#${sequence}`]] }
    },
  },
  {
    ...{ kind: 'forge', stream: STREAMS.results, what: 'a result with the number of another event' },
    async act(stage, evidence, free) {
      const victim = free.one(predictions(evidence), evidence)
      const names = victim === undefined ? [] : namesOf(evidence, victim)
      const sequence = victim && originIn(evidence.epoch, victim)
      if (victim === undefined || sequence === undefined) return undefined
      const forged = forge(`other-${stage.random()}`, evidence.epoch, sequence)
      await put(stage, forged.prediction)
      return { found: [[forged.token, ...names]] }
    },
  },
  {
    ...{ kind: 'forge', stream: STREAMS.results, what: 'junk of an event nobody published' },
    async act(stage, evidence) {
      const forged = forge(`junk-${stage.random()}`, evidence.epoch, 1)
      await put(stage, { subject: forged.prediction.subject, ...UNREADABLE })
      return { found: [[forged.token]] }
    },
  },
  toResult('forge', 'junk behind an outcome', provenResults, async ({ subject }, stage) => {
    await put(stage, { subject, ...UNREADABLE })
  }),
  toResult('forge', 'a prediction behind a notice', notices, async (victim, stage) => {
    await put(stage, withHeader(victim, HEADERS.outcome, 'prediction'))
  }),
  {
    ...{ kind: 'forge', stream: STREAMS.results, what: 'the answer of an event that waits' },
    async act(stage, evidence, free) {
      const waiting = evidence.of(STREAMS.features).filter((one) => one.headers.get('ce-id') !== undefined)
      const victim = free.one(waiting, evidence)
      if (victim === undefined) return undefined
      const forged = forge(victim.headers.get('ce-id') ?? '', evidence.epoch, victim.sequence)
      const isAnswered = lastResults(evidence).some((one) => tokenOf(one) === forged.token)
      if (isAnswered) return undefined
      await put(stage, forged.prediction)
      return { excused: 'agrees' }
    },
  },
]

function swap(what: string, how: (one: Stored, other: Stored) => readonly Stored[]): Tamper {
  return {
    ...{ kind: 'swap', stream: STREAMS.results, what },
    async act(stage, evidence, free) {
      const two = free.two(predictions(evidence), evidence)
      if (two === undefined) return undefined
      for (const one of two) await erase(stage, one)
      for (const one of how(...two)) await put(stage, one)
      return { found: two.map((one) => namesOf(evidence, one)) }
    },
  }
}

const swaps: readonly Tamper[] = [
  swap('the bodies of two predictions', (one, other) => [
    { ...one, body: other.body },
    { ...other, body: one.body },
  ]),
  swap('two predictions, whole', (one, other) => [
    { ...one, subject: other.subject },
    { ...other, subject: one.subject },
  ]),
]

const edits: readonly Tamper[] = [
  toResult('edit', 'a byte of an outcome', provenResults, (victim, stage) =>
    replace(stage, victim, withOtherByte(victim, stage.random)),
  ),
  toResult('edit', 'the version a prediction names', predictions, (victim, stage) =>
    replace(stage, victim, withHeader(victim, HEADERS.modelVersion, '9')),
  ),
  toResult('edit', 'a prediction into a notice', predictions, (victim, stage) =>
    replace(stage, victim, withHeader(victim, HEADERS.outcome, 'dead-letter')),
  ),
  toResult('edit', 'the number a prediction comes from', predictions, (victim, stage, { epoch }) =>
    replace(stage, victim, withHeader(victim, HEADERS.origin, `${STREAMS.features} ${epoch} 999999`)),
  ),
  toResult(
    'edit',
    'an outcome no record names yet',
    untold,
    (victim, stage) => replace(stage, victim, withOtherByte(victim, stage.random)),
    'agrees',
  ),
]

/** What can be done to RESULTS. */
export const RESULT_TAMPERS: readonly Tamper[] = [...deletions, ...doubles, ...forgeries, ...swaps, ...edits]
