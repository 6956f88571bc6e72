import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import {
  type Evidence,
  erase,
  isAnswered,
  isPrediction,
  lastResults,
  namesOf,
  originIn,
  provenResults,
  put,
  tokenOf,
} from './evidence.ts'
import { forge, JUNK, withHeader, withOtherByte } from './forged.ts'
import type { HistoryStage } from './history-stage.ts'
import type { Stored } from './stored.ts'
import type { About, Kind, Tamper } from './tamper.ts'
import { otherBodies, otherSubjects, swap, toOne, toOutcome } from './to-victims.ts'

const about = (kind: Kind, what: string): About => ({ kind, stream: STREAMS.results, what })

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
  toOutcome(about('delete', 'a prediction'), predictions, (victim, stage) => erase(stage, victim)),
  toOutcome(about('delete', 'a failure notice'), notices, (victim, stage) => erase(stage, victim)),
  toOutcome(
    about('delete', 'an outcome whose event waits still'),
    untold,
    (victim, stage) => erase(stage, victim),
    'again',
  ),
  toOutcome(
    about('delete', 'a notice that was overtaken'),
    overtaken,
    (victim, stage) => erase(stage, victim),
    'superseded',
  ),
]

const doubles: readonly Tamper[] = [
  toOutcome(about('double', 'a prediction'), predictions, (victim, stage) => put(stage, victim)),
  toOutcome(about('double', 'a failure notice'), notices, (victim, stage) => put(stage, victim)),
]

/** Waiting events with an id of their own. */
const identified = (evidence: Evidence): Stored[] =>
  evidence.of(STREAMS.features).filter(({ headers }) => headers.has(HEADERS.id))

const forgeries: readonly Tamper[] = [
  {
    ...about('forge', 'a result of an event nobody published'),
    async act(stage, evidence) {
      const sequence = 1_000_000 + stage.ids.length
      const forged = forge(`nobody-${stage.random()}`, evidence.epoch, sequence)
      await put(stage, stage.pick([forged.prediction, forged.notice]))
      return { found: [[forged.token, `#${sequence}`]] }
    },
  },
  toOne(
    about('forge', 'a result with the number of another event'),
    predictions,
    async (victim, stage, evidence) => {
      const sequence = originIn(evidence.epoch, victim)
      if (sequence === undefined) return undefined
      const forged = forge(`other-${stage.random()}`, evidence.epoch, sequence)
      await put(stage, forged.prediction)
      return { found: [[forged.token, ...namesOf(evidence, victim)]] }
    },
  ),
  {
    ...about('forge', 'junk of an event nobody published'),
    async act(stage, evidence) {
      const forged = forge(`junk-${stage.random()}`, evidence.epoch, 1)
      await put(stage, { subject: forged.prediction.subject, ...JUNK })
      return { found: [[forged.token]] }
    },
  },
  toOutcome(about('forge', 'junk behind an outcome'), provenResults, async ({ subject }, stage) => {
    await put(stage, { subject, ...JUNK })
  }),
  toOutcome(about('forge', 'a prediction behind a notice'), notices, async (victim, stage) => {
    await put(stage, withHeader(victim, HEADERS.outcome, 'prediction'))
  }),
  toOne(about('forge', 'the answer of an event that waits'), identified, async (victim, stage, evidence) => {
    const forged = forge(victim.headers.get(HEADERS.id) ?? '', evidence.epoch, victim.sequence)
    if (isAnswered(evidence, forged.token)) return undefined
    await put(stage, forged.prediction)
    return { excused: 'agrees' }
  }),
]

const swaps: readonly Tamper[] = [
  swap(about('swap', 'the bodies of two predictions'), predictions, otherBodies),
  swap(about('swap', 'two predictions, whole'), predictions, otherSubjects),
]

const edits: readonly Tamper[] = [
  toOutcome(about('edit', 'a byte of an outcome'), provenResults, (victim, stage) =>
    replace(stage, victim, withOtherByte(victim, stage.random)),
  ),
  toOutcome(about('edit', 'the version a prediction names'), predictions, (victim, stage) =>
    replace(stage, victim, withHeader(victim, HEADERS.modelVersion, '9')),
  ),
  toOutcome(about('edit', 'a prediction into a notice'), predictions, (victim, stage) =>
    replace(stage, victim, withHeader(victim, HEADERS.outcome, 'dead-letter')),
  ),
  toOutcome(about('edit', 'the number a prediction comes from'), predictions, (victim, stage, { epoch }) =>
    replace(stage, victim, withHeader(victim, HEADERS.origin, `${STREAMS.features} ${epoch} 999999`)),
  ),
  toOutcome(
    about('edit', 'an outcome no record names yet'),
    untold,
    (victim, stage) => replace(stage, victim, withOtherByte(victim, stage.random)),
    'agrees',
  ),
]

/** What can be done to RESULTS. */
export const RESULT_TAMPERS: readonly Tamper[] = [...deletions, ...doubles, ...forgeries, ...swaps, ...edits]
