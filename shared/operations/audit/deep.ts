import type { NatsConnection } from '@nats-io/transport-node'
import { pause } from '../../runtime/pause.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import type { StreamInfo } from '../../sdk/jetstream/api.ts'
import type { LedgerReader } from '../records/ledger-reader.ts'
import { createLedgerReader } from '../records/ledger-reader.ts'
import type { Evidence, Reach } from './evidence.ts'
import type { Expectations } from './expectations.ts'
import { judge } from './judge.ts'
import { lookAgain } from './look-again.ts'
import type { OutcomeProblem } from './outcome-problem.ts'
import { checkRetryCopies } from './retry-copies.ts'
import { goneBefore, readStoredOutcomes, SLACK_MS, type StoredOutcomes } from './stored-outcomes.ts'
import { thoseThat } from './waiting.ts'

/** What results and dead letters themselves say about the ledger, and the ledger about them. */
export interface DeepReport {
  readonly results: number
  readonly deadLetters: number
  /** Entries of the ledger whose outcome is older than RESULTS or DEADLETTERS keep it. */
  readonly expired: number
  /** Results and dead letters that are older than the ledger, and that no floor covers. */
  readonly unproven: number
  /** Outcomes that the ledger names without their digest, as it did before: what they say is not proven. */
  readonly withoutDigest: number
  readonly problems: readonly OutcomeProblem[]
}

export interface DeepDeps {
  readonly expectations: Expectations
  readonly ledger: LedgerReader
  /** The LEDGER as it was before it was read, and when its oldest record was stored, milliseconds since 1970. */
  readonly ledgerThen: StreamInfo
  readonly firstRecordAt: number
  /** When a floor was signed off: what was stored before is signed for. Milliseconds since 1970; -Infinity for none. */
  readonly signedAt: number
  readonly progress: (text: string) => void
  readonly signal: AbortSignal
}

/** Reads RESULTS and DEADLETTERS, after the ledger, and holds each against the other. */
export async function checkOutcomes(connection: NatsConnection, deps: DeepDeps): Promise<DeepReport> {
  const { expectations, progress } = deps
  // What the ledger is told from here on may be younger than what is read now.
  expectations.readResults()
  const stored = await readStoredOutcomes(connection, expectations, progress)
  const reach = reachOf(deps, stored)
  progress('judging')
  const judged = await judgeEvents(connection, stored, reach, deps)
  const plain = await judgePlain(connection, expectations, judged.problems, reach)
  const copies = await checkRetryCopies(connection, deps, reach)
  return {
    results: stored.results.state.messages,
    deadLetters: stored.deadLetters.state.messages,
    expired: judged.expired + plain.expired,
    unproven: judged.unproven,
    withoutDigest: withoutDigest(expectations),
    problems: [...judged.problems, ...plain.problems, ...copies],
  }
}

function reachOf({ expectations, ledgerThen, firstRecordAt }: DeepDeps, stored: StoredOutcomes): Reach {
  const { epoch } = expectations
  const { created, state } = ledgerThen
  const isWhole = state.first_seq <= 1
  return {
    ledger: isWhole ? Date.parse(created) : firstRecordAt + SLACK_MS,
    results: goneBefore(stored.results),
    letters: goneBefore(stored.deadLetters),
    // One that was made anew later than FEATURES knows nothing of what was before.
    isWhole: isWhole && Date.parse(created) - Date.parse(epoch) < SLACK_MS,
    knowsEpoch: (of) => of === epoch || expectations.epochs.has(of),
    plain: (origin) => expectations.plain.get(origin.epoch)?.find(origin.sequence),
    isSignedFor: ({ stream, epoch: of, sequence }) =>
      stream === STREAMS.features && expectations.signed.get(of)?.has(sequence) === true,
  }
}

/** A worker tells the ledger after it stored, an operator removes after it told: a contradiction must last. */
const ROUND_PAUSES_MS = [0, 500, 2_000]
/** More than this are looked at once: no passing disturbance makes so many. */
const MANY = 10_000

interface Judged {
  readonly problems: readonly OutcomeProblem[]
  readonly expired: number
  readonly unproven: number
}

/** Judges each event that the ledger names by its token, and each that has a message it does not explain. */
async function judgeEvents(
  connection: NatsConnection,
  stored: StoredOutcomes,
  reach: Reach,
  { expectations, ledger, signal, signedAt }: DeepDeps,
): Promise<Judged> {
  const { epoch, events } = expectations
  const judged = { expired: 0, unproven: 0 }
  let left: Evidence[] = []
  for (const evidence of evidences(expectations, stored)) {
    const { problems, unproven, isExpired } = judge(evidence, reach)
    if (isExpired) judged.expired++
    judged.unproven += unproven.filter((storedAt) => storedAt >= signedAt).length
    if (problems.length > 0 || stored.byToken.get(evidence.token)?.isPart === true) left.push(evidence)
  }
  for (const [round, pauseMs] of ROUND_PAUSES_MS.entries()) {
    if (left.length === 0 || (round > 0 && left.length > MANY)) break
    await pause(pauseMs, signal)
    const again: Evidence[] = []
    await thoseThat(left, async (evidence) => again.push(await lookAgain(connection, evidence, epoch)) > 0)
    await ledger.readOn()
    left = again
      .map((evidence) => ({ ...evidence, event: events.get(evidence.token) }))
      .filter((evidence) => judge(evidence, reach).problems.length > 0)
  }
  return { ...judged, problems: left.flatMap((evidence) => judge(evidence, reach).problems) }
}

function* evidences({ events }: Expectations, { byToken }: StoredOutcomes): Generator<Evidence> {
  for (const [token, { register, letters }] of byToken)
    yield { token, event: events.get(token), register, letters, isWaiting: false, hold: undefined }
  for (const [token, event] of events)
    if (!byToken.has(token))
      yield { token, event, register: [], letters: [], isWaiting: false, hold: undefined }
}

/**
 * Plain predictions are found by the sequence their result names as origin. A copy's result names another one than that
 * it was delivered with, so that a worker never enters a copy as plain.
 */
async function judgePlain(
  connection: NatsConnection,
  { plain, epoch }: Expectations,
  named: readonly OutcomeProblem[],
  reach: Reach,
): Promise<{ readonly expired: number; readonly problems: OutcomeProblem[] }> {
  const stream = STREAMS.features
  const isNamed = new Set(named.map((one) => `${one.epoch} ${one.sequence}`))
  const problems: OutcomeProblem[] = []
  const expired = await excuseOld(connection, plain, reach.results)
  for (const [of, predictions] of plain) {
    for (const sequence of predictions.unseen()) {
      if (isNamed.has(`${of} ${sequence}`)) continue
      const isTwofold = (predictions.find(sequence)?.digests.length ?? 0) > 1
      const problem = isTwofold ? 'other-digest' : 'no-result'
      problems.push({ problem, stream, ...(of !== epoch && { epoch: of }), sequence })
    }
  }
  return { expired, problems }
}

/** Excuses what was settled before a time: its results may have expired. @returns how many of them were not seen */
async function excuseOld(
  connection: NatsConnection,
  plain: Expectations['plain'],
  time: number,
): Promise<number> {
  const isWhole = [...plain.values()].every((predictions) => predictions.unseen().next().done === true)
  if (isWhole || !Number.isFinite(time)) return 0
  let expired = 0
  const ledger = createLedgerReader(connection, 1, ({ stream, epoch, entries }, _position, storedAt) => {
    const predictions = stream === STREAMS.features ? plain.get(epoch) : undefined
    if (predictions === undefined || storedAt >= time) return
    for (const { sequence } of entries) if (predictions.excuse(sequence)) expired++
  })
  await ledger.readOn()
  return expired
}

function withoutDigest({ plain, events }: Expectations): number {
  let count = 0
  for (const predictions of plain.values()) count += predictions.withoutDigest
  for (const { isWithoutDigest } of events.values()) if (isWithoutDigest) count++
  return count
}
