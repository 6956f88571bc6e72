import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import {
  digestOfStored,
  type Evidence,
  erase,
  isAnswered,
  isPrediction,
  namesOf,
  originIn,
  provenLetters,
  provenResults,
  put,
  tokenOf,
  waitingTokens,
} from './evidence.ts'
import { forge, withHeader, withOtherByte } from './forged.ts'
import { predicted } from './history-stage.ts'
import type { Stored } from './stored.ts'
import type { About, Kind, Tamper } from './tamper.ts'
import { otherBodies, otherSubjects, swap, toOne, toOutcome } from './to-victims.ts'

const about = (kind: Kind, what: string): About => ({ kind, stream: STREAMS.deadLetters, what })

/** Letters whose event is in no replay's hands, and waits nowhere. */
const quiet = (evidence: Evidence): Stored[] => {
  const waiting = waitingTokens(evidence)
  return free(evidence).filter((letter) => !waiting.has(tokenOf(letter)))
}

const free = (evidence: Evidence): Stored[] =>
  provenLetters(evidence).filter((letter) => !evidence.replayed.has(tokenOf(letter)))

/** Letters, told of by who wrote them, whose event was published again, or was not acknowledged. */
const deliveredAgain = (evidence: Evidence): Stored[] => {
  const waiting = waitingTokens(evidence)
  const written = new Set(
    evidence.entries.flatMap(({ outcome, letterDigest }) =>
      outcome === 'dead-lettered' ? [letterDigest] : [],
    ),
  )
  return free(evidence).filter(
    (letter) => waiting.has(tokenOf(letter)) && written.has(digestOfStored(letter)),
  )
}

/** Letters of events that this broker never took: imported. */
const fromElsewhere = (evidence: Evidence): Stored[] => {
  const named = new Set(evidence.entries.map(({ token }) => token))
  return evidence
    .of(STREAMS.deadLetters)
    .filter((letter) => originIn(evidence.epoch, letter) === undefined && !named.has(tokenOf(letter)))
}

/** Predictions of events that no replay has, or had, and that have no dead letter. */
const undoubted = (evidence: Evidence): Stored[] => {
  const letters = new Set(evidence.of(STREAMS.deadLetters).map(tokenOf))
  return provenResults(evidence).filter((one) => {
    const token = tokenOf(one)
    return isPrediction(one) && !evidence.replayed.has(token) && !letters.has(token)
  })
}

/** Waiting events that no record names, of whatever FEATURES. */
const unnamed = (evidence: Evidence): Stored[] => {
  const named = new Set(
    evidence.entries.filter(({ stream }) => stream === STREAMS.features).map(({ sequence }) => sequence),
  )
  return evidence.of(STREAMS.features).filter(({ sequence }) => !named.has(sequence))
}

const forgeries: readonly Tamper[] = [
  toOne(about('forge', 'a dead letter beside a prediction'), undoubted, async (victim, stage, evidence) => {
    const sequence = originIn(evidence.epoch, victim)
    if (sequence === undefined) return undefined
    const { letter } = forge('beside', evidence.epoch, sequence)
    const own = withHeader({ ...victim, ...letter }, HEADERS.token, tokenOf(victim))
    await put(stage, { ...own, subject: victim.subject.replace('results.', 'deadletters.') })
    return { found: [namesOf(evidence, victim)] }
  }),
  {
    ...about('forge', 'a dead letter of an event nobody published'),
    async act(stage, evidence) {
      const sequence = 2_000_000 + stage.ids.length
      const forged = forge(`letter-${stage.random()}`, evidence.epoch, sequence)
      await put(stage, forged.letter)
      return { found: [[forged.token, `#${sequence}`]] }
    },
  },
  toOne(about('forge', 'a dead letter of an event that waits'), unnamed, async (victim, stage, evidence) => {
    const id = victim.headers.get(HEADERS.id)
    if (id === undefined) return undefined
    const forged = forge(id, evidence.epoch, victim.sequence)
    if (isAnswered(evidence, forged.token)) return undefined
    await put(stage, forged.letter)
    return { excused: 'again' } // it has its outcome still to come, which is held against the letter then
  }),
]

/** What can be done to DEADLETTERS. */
export const LETTER_TAMPERS: readonly Tamper[] = [
  toOutcome(about('delete', 'a dead letter'), quiet, (victim, stage) => erase(stage, victim)),
  toOutcome(
    about('delete', 'an imported dead letter of another broker'),
    fromElsewhere,
    (victim, stage) => erase(stage, victim),
    'elsewhere',
  ),
  // The stream keeps one of a subject: the same letter takes its own place.
  toOutcome(about('double', 'a dead letter'), quiet, (victim, stage) => put(stage, victim), 'again'),
  ...forgeries,
  swap(about('swap', 'the payloads of two dead letters'), quiet, otherBodies),
  swap(about('swap', 'two dead letters, whole'), quiet, otherSubjects),
  toOutcome(about('edit', 'a byte of the payload of a dead letter'), quiet, (victim, stage) =>
    put(stage, withOtherByte(victim, stage.random)),
  ),
  toOutcome(
    about('edit', 'the payload of one whose event waits, delivered since'),
    deliveredAgain,
    async (victim, stage) => {
      await put(stage, withOtherByte(victim, stage.random))
      const token = tokenOf(victim)
      const waiting = (await stage.worker().waiting()).filter(({ event }) => event.token === token)
      await stage.worker().settle(waiting, predicted)
    },
  ),
  toOutcome(about('edit', 'the reason of a dead letter'), quiet, (victim, stage) =>
    put(stage, withHeader(victim, HEADERS.deadLetterReason, 'timed-out')),
  ),
]
