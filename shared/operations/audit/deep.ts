import type { NatsConnection } from '@nats-io/transport-node'
import { pause } from '../../runtime/pause.ts'
import { HEADERS, readHeader } from '../../sdk/contract/headers.ts'
import type { LedgerOutcome } from '../../sdk/contract/ledger.ts'
import { subjects } from '../../sdk/contract/subjects.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { lastOfSubject } from '../../sdk/jetstream/api.ts'
import { parseHeaderBlock } from '../../sdk/jetstream/stored-message.ts'
import { SequenceSet } from '../broker/sequence-set.ts'
import { createLedgerReader, type LedgerReader } from '../records/ledger-reader.ts'
import type { Expectations, ExpectedEvent } from './expectations.ts'
import {
  readStoredDeadLetters,
  readStoredResults,
  type StoredDeadLetters,
  type StoredResults,
} from './stored-outcomes.ts'
import { isStored, thoseThat } from './waiting.ts'

/** Something results or dead letters contradict the ledger in. */
export interface OutcomeProblem {
  readonly problem: 'no-result' | 'no-dead-letter' | 'other-outcome' | 'answered-twice'
  readonly token?: string
  readonly stream?: string
  /** Creation time of the stream, where the token is known. */
  readonly epoch?: string
  readonly sequence?: number
}

/** What results and dead letters themselves say about the ledger. */
export interface DeepReport {
  readonly results: number
  readonly deadLetters: number
  /** Entries of the ledger whose outcome is older than RESULTS or DEADLETTERS keep it. */
  readonly expired: number
  readonly problems: readonly OutcomeProblem[]
}

export interface DeepDeps {
  readonly expectations: Expectations
  readonly ledger: LedgerReader
  readonly progress: (text: string) => void
  readonly signal: AbortSignal
}

interface Stored {
  readonly results: StoredResults
  readonly deadLetters: StoredDeadLetters
}

/** Reads RESULTS and DEADLETTERS, after the ledger, and holds them against it. */
export async function checkOutcomes(connection: NatsConnection, deps: DeepDeps): Promise<DeepReport> {
  const { expectations, progress } = deps
  const { plain, events } = expectations
  // What the ledger is told from here on may be younger than what is read now.
  const expected = [...events.values()]
  const plainThen = [...plain.present()]
  progress('reading results')
  const results = await readStoredResults(connection, expectations)
  progress('reading dead letters')
  const deadLetters = await readStoredDeadLetters(connection, expectations)
  const stored: Stored = { results, deadLetters }
  const named = await checkNamed(connection, expected, stored, deps)
  const unnamed = await checkPlain(connection, plainThen, expectations, results)
  const twice = results.answeredTwice.map((token) => ({ problem: 'answered-twice', token }) as const)
  return {
    results: results.count,
    deadLetters: deadLetters.count,
    expired: named.expired + unnamed.expired,
    problems: [...named.problems, ...unnamed.problems, ...twice],
  }
}

type Verdict = 'fine' | 'expired' | Exclude<OutcomeProblem['problem'], 'answered-twice'>

/** Holds one event against its register and its dead letter. */
function judgeEvent(event: ExpectedEvent, { results, deadLetters }: Stored): Verdict {
  const { outcomes, token, since } = event
  const has = (outcome: LedgerOutcome): boolean => outcomes.has(outcome)
  if (!has('predicted') && !has('already-answered') && !has('dead-lettered')) return 'fine'
  const register = results.registers.get(token)
  const isOld = since < results.goneBefore
  if (has('dead-lettered') && !event.isDeadLetterGone && register !== 'prediction') {
    if (!deadLetters.tokens.has(token)) return since < deadLetters.goneBefore ? 'expired' : 'no-dead-letter'
  }
  if (register === undefined) {
    // An outcome that another delivery stored may be older than the record that found it.
    const isOnlyFound = !has('predicted') && !has('dead-lettered')
    return isOld || (isOnlyFound && Number.isFinite(results.goneBefore)) ? 'expired' : 'no-result'
  }
  if (register === 'dead-letter') {
    if (has('predicted') && !has('dead-lettered') && !isOld) return 'other-outcome'
    const isThere = event.isDeadLetterGone || deadLetters.tokens.has(token)
    return isThere || since < deadLetters.goneBefore ? 'fine' : 'no-dead-letter'
  }
  const isReplayed = has('replayed') || has('predicted')
  return has('dead-lettered') && !isReplayed && !isOld ? 'other-outcome' : 'fine'
}

/** An operator removes a dead letter and tells the ledger, in whichever order: a contradiction must last. */
const ROUND_PAUSES_MS = [0, 500, 2_000]

async function checkNamed(
  connection: NatsConnection,
  expected: readonly ExpectedEvent[],
  stored: Stored,
  { ledger, signal }: DeepDeps,
): Promise<{ readonly expired: number; readonly problems: OutcomeProblem[] }> {
  const verdicts = expected.map((event) => ({ event, verdict: judgeEvent(event, stored) }))
  const expired = verdicts.filter(({ verdict }) => verdict === 'expired').length
  let left = verdicts.filter(({ verdict }) => verdict !== 'fine' && verdict !== 'expired')
  for (const pauseMs of ROUND_PAUSES_MS) {
    if (left.length === 0) break
    await pause(pauseMs, signal)
    await thoseThat(left, ({ event }) => lookUp(connection, event.token, stored))
    await ledger.readOn()
    left = left
      .map(({ event }) => ({ event, verdict: judgeEvent(event, stored) }))
      .filter(({ verdict }) => verdict !== 'fine' && verdict !== 'expired')
  }
  const problems = left.flatMap(({ event: { token, stream, epoch, sequence }, verdict }) =>
    verdict === 'fine' || verdict === 'expired' ? [] : [{ problem: verdict, token, stream, epoch, sequence }],
  )
  return { expired, problems }
}

/** Reads an event's register and dead letter from their leaders. */
async function lookUp(connection: NatsConnection, token: string, stored: Stored): Promise<boolean> {
  const { registers } = stored.results
  const { tokens } = stored.deadLetters
  const result = await lastOfSubject(connection, STREAMS.results, subjects.resultOf(token))
  if (result === undefined) registers.delete(token)
  else {
    const outcome = readHeader(parseHeaderBlock(result.headerBlock), HEADERS.outcome)
    registers.set(token, outcome === 'dead-letter' ? 'dead-letter' : 'prediction')
  }
  const isThere = await isStored(connection, STREAMS.deadLetters, {
    last_by_subj: subjects.deadLetterOf(token),
  })
  if (isThere) tokens.add(token)
  else tokens.delete(token)
  return true
}

/**
 * Plain predictions are found by the sequence their result names as origin. A copy's result names another one than that
 * it was delivered with, so that a worker never enters a copy as plain.
 */
async function checkPlain(
  connection: NatsConnection,
  plain: readonly number[],
  { plain: bounds, epoch }: Expectations,
  results: StoredResults,
): Promise<{ expired: number; problems: OutcomeProblem[] }> {
  const stream = STREAMS.features
  const unmatched = plain.filter((sequence) => !results.predicted.has(sequence))
  const others = unmatched.filter((sequence) => results.noticed.has(sequence))
  const absent = new SequenceSet(bounds.first, bounds.last)
  for (const sequence of unmatched) if (!results.noticed.has(sequence)) absent.add(sequence)
  const old = await settledBefore(connection, absent, epoch, results.goneBefore)
  for (const sequence of old) absent.delete(sequence)
  return {
    expired: old.size,
    problems: [
      ...others.map((sequence) => ({ problem: 'other-outcome', stream, sequence }) as const),
      ...[...absent.present()].map((sequence) => ({ problem: 'no-result', stream, sequence }) as const),
    ],
  }
}

/** Which of some sequences were settled before a time: their results may have expired. */
async function settledBefore(
  connection: NatsConnection,
  sequences: SequenceSet,
  epoch: string,
  time: number,
): Promise<ReadonlySet<number>> {
  const old = new Set<number>()
  if (sequences.size === 0 || !Number.isFinite(time)) return old
  const ledger = createLedgerReader(connection, 1, (record, _position, storedAt) => {
    if (record.stream !== STREAMS.features || record.epoch !== epoch || storedAt >= time) return
    for (const { sequence } of record.entries) if (sequences.has(sequence)) old.add(sequence)
  })
  await ledger.readOn()
  return old
}
