import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import {
  digestOfStored,
  type Evidence,
  erase,
  isPrediction,
  lastResults,
  namesOf,
  originIn,
  provenLetters,
  provenResults,
  put,
  type Stored,
  tokenOf,
  waitingTokens,
} from './evidence.ts'
import { forge, withHeader, withOtherByte } from './forged.ts'
import { type HistoryStage, predicted } from './history-stage.ts'
import type { Excuse, Kind, Tamper } from './tamper.ts'

function toLetter(
  kind: Kind,
  what: string,
  of: (evidence: Evidence) => readonly Stored[],
  change: (victim: Stored, stage: HistoryStage) => Promise<unknown>,
  excuse?: Excuse,
): Tamper {
  return {
    ...{ kind, stream: STREAMS.deadLetters, what },
    async act(stage, evidence, free) {
      const victim = free.one(of(evidence), evidence)
      if (victim === undefined) return undefined
      await change(victim, stage)
      return excuse === undefined ? { found: [namesOf(evidence, victim)] } : { excused: excuse }
    },
  }
}

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

const forgeries: readonly Tamper[] = [
  {
    ...{ kind: 'forge', stream: STREAMS.deadLetters, what: 'a dead letter beside a prediction' },
    async act(stage, evidence, free) {
      const plain = provenResults(evidence).filter(
        (one) => isPrediction(one) && !evidence.replayed.has(tokenOf(one)),
      )
      const letters = new Set(evidence.of(STREAMS.deadLetters).map(tokenOf))
      const victim = free.one(
        plain.filter((one) => !letters.has(tokenOf(one))),
        evidence,
      )
      const sequence = victim && originIn(evidence.epoch, victim)
      if (victim === undefined || sequence === undefined) return undefined
      const { letter } = forge('beside', evidence.epoch, sequence)
      const token = tokenOf(victim)
      const own = withHeader({ ...victim, ...letter }, HEADERS.token, token)
      await put(stage, { ...own, subject: victim.subject.replace('results.', 'deadletters.') })
      return { found: [namesOf(evidence, victim)] }
    },
  },
  {
    ...{ kind: 'forge', stream: STREAMS.deadLetters, what: 'a dead letter of an event nobody published' },
    async act(stage, evidence) {
      const sequence = 2_000_000 + stage.ids.length
      const forged = forge(`letter-${stage.random()}`, evidence.epoch, sequence)
      await put(stage, forged.letter)
      return { found: [[forged.token, `#${sequence}`]] }
    },
  },
  {
    ...{ kind: 'forge', stream: STREAMS.deadLetters, what: 'a dead letter of an event that waits' },
    async act(stage, evidence, free) {
      const answered = new Set(lastResults(evidence).map(tokenOf))
      const named = new Set(
        evidence.entries.filter(({ stream }) => stream === STREAMS.features).map(({ sequence }) => sequence),
      )
      const victim = free.one(
        evidence.of(STREAMS.features).filter(({ sequence }) => !named.has(sequence)),
        evidence,
      )
      const id = victim?.headers.get(HEADERS.id)
      if (victim === undefined || id === undefined) return undefined
      const forged = forge(id, evidence.epoch, victim.sequence)
      if (answered.has(forged.token)) return undefined
      await put(stage, forged.letter)
      return { excused: 'again' } // it has its outcome still to come, which is held against the letter then
    },
  },
]

function swap(what: string, how: (one: Stored, other: Stored) => readonly Stored[]): Tamper {
  return {
    ...{ kind: 'swap', stream: STREAMS.deadLetters, what },
    async act(stage, evidence, free) {
      const two = free.two(quiet(evidence), evidence)
      if (two === undefined) return undefined
      for (const one of two) await erase(stage, one)
      for (const one of how(...two)) await put(stage, one)
      return { found: two.map((one) => namesOf(evidence, one)) }
    },
  }
}

/** What can be done to DEADLETTERS. */
export const LETTER_TAMPERS: readonly Tamper[] = [
  toLetter('delete', 'a dead letter', quiet, (victim, stage) => erase(stage, victim)),
  toLetter(
    'delete',
    'an imported dead letter of another broker',
    fromElsewhere,
    (victim, stage) => erase(stage, victim),
    'elsewhere',
  ),
  // The stream keeps one of a subject: the same letter takes its own place.
  toLetter('double', 'a dead letter', quiet, (victim, stage) => put(stage, victim), 'again'),
  ...forgeries,
  swap('the payloads of two dead letters', (one, other) => [
    { ...one, body: other.body },
    { ...other, body: one.body },
  ]),
  swap('two dead letters, whole', (one, other) => [
    { ...one, subject: other.subject },
    { ...other, subject: one.subject },
  ]),
  toLetter('edit', 'a byte of the payload of a dead letter', quiet, (victim, stage) =>
    put(stage, withOtherByte(victim, stage.random)),
  ),
  toLetter(
    'edit',
    'the payload of one whose event waits, delivered since',
    deliveredAgain,
    async (victim, stage) => {
      await put(stage, withOtherByte(victim, stage.random))
      const token = tokenOf(victim)
      const waiting = (await stage.worker().waiting()).filter(({ event }) => event.token === token)
      await stage.worker().settle(waiting, predicted)
    },
  ),
  toLetter('edit', 'the reason of a dead letter', quiet, (victim, stage) =>
    put(stage, withHeader(victim, HEADERS.deadLetterReason, 'timed-out')),
  ),
]
