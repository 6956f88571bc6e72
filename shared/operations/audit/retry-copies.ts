import type { NatsConnection } from '@nats-io/transport-node'
import { pause } from '../../runtime/pause.ts'
import { type Origin, readOrigin } from '../../sdk/contract/event.ts'
import { inputDigestStart } from '../../sdk/contract/outcome-digest.ts'
import { tokenOfSubject } from '../../sdk/contract/subjects.ts'
import { payloadDigest } from '../../sdk/contract/token.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { messagesOf } from '../../sdk/jetstream/api.ts'
import { parseHeaderBlock } from '../../sdk/jetstream/stored-message.ts'
import type { LedgerReader } from '../records/ledger-reader.ts'
import type { ExpectedEvent, Reach } from './evidence.ts'
import type { Expectations } from './expectations.ts'
import { replayHolding } from './look-again.ts'
import type { OutcomeProblem, ProblemName } from './outcome-problem.ts'
import { isStored, readWaitingSubjects, thoseThat } from './waiting.ts'

interface CopyDeps {
  readonly expectations: Expectations
  readonly ledger: LedgerReader
  readonly signal: AbortSignal
}

/** A copy is stored before the ledger is told of it: what contradicts must last. */
const ROUND_PAUSES_MS = [0, 500, 2_000]

/** What is judged of a copy: its body is not kept, because RETRIES may hold many large ones. */
interface Copy {
  readonly token: string
  /** Where it was read. */
  readonly subject: string
  /** In RETRIES. */
  readonly sequence: number
  readonly origin: Origin | undefined
  /** How the digest of its payload begins. */
  readonly start: number | undefined
}

/** Holds each copy that waits in RETRIES against what the ledger says was retried. */
export async function checkRetryCopies(
  connection: NatsConnection,
  { expectations, ledger, signal }: CopyDeps,
  reach: Reach,
): Promise<OutcomeProblem[]> {
  let suspects: Suspect[] = []
  let left: ReadonlySet<string> = await readWaitingSubjects(connection)
  for (const pauseMs of ROUND_PAUSES_MS) {
    if (left.size === 0) break
    await pause(pauseMs, signal)
    const copies: Copy[] = []
    await thoseThat([...left], async (subject) => copies.push(...(await readCopies(connection, subject))) > 0)
    await ledger.readOn()
    const judged = copies.flatMap((copy) => {
      const event = expectations.events.get(copy.token)
      const problem = copyVerdict(copy.start, event, reach, isOriginSettled(copy, reach))
      return problem === undefined ? [] : [{ copy, problem }]
    })
    const waiting = new Set(
      await thoseThat(judged, ({ copy }) => isEventWaiting(connection, copy, expectations.epoch)),
    )
    suspects = judged.filter((one) => !waiting.has(one))
    left = new Set(suspects.map(({ copy }) => copy.subject))
  }
  return suspects.map(placed)
}

interface Suspect {
  readonly copy: Copy
  readonly problem: ProblemName
}

/**
 * What is wrong with a copy that waits in RETRIES. Pure. A worker that ends between the copy and its record leaves the copy
 * behind, and another may settle the event meanwhile: then the ledger tells of the event, and not of the retry.
 *
 * @param start how the digest of its payload begins
 * @param isSettled whether the ledger ends what it is a copy of without its token
 */
export function copyVerdict(
  start: number | undefined,
  event: Pick<ExpectedEvent, 'outcomes' | 'retried'> | undefined,
  { isWhole }: Pick<Reach, 'isWhole'>,
  isSettled = false,
): ProblemName | undefined {
  if (event?.outcomes.has('retried') !== true)
    return isWhole && event === undefined && !isSettled ? 'foreign' : undefined
  const isKnown = event.retried.length === 0 || (start !== undefined && event.retried.includes(start))
  return isKnown ? undefined : 'other-digest'
}

function isOriginSettled({ origin }: Copy, { plain, isSignedFor }: Reach): boolean {
  if (origin?.stream !== STREAMS.features) return false
  return plain(origin) !== undefined || isSignedFor(origin)
}

/** More copies under one subject no one reads: a forger's. */
const MOST_COPIES = 100

/** The copies under a subject; of a schedule that became due meanwhile, those that are due. */
async function readCopies(connection: NatsConnection, subject: string): Promise<Copy[]> {
  const copies: Copy[] = []
  for await (const { sequence, headerBlock, body } of messagesOf(connection, STREAMS.retries, subject)) {
    const origin = readOrigin({ headers: parseHeaderBlock(headerBlock) })
    const start = inputDigestStart(payloadDigest(body))
    const copy = { token: tokenOfSubject(subject), subject, sequence, origin, start }
    if (copies.push(copy) === MOST_COPIES) break
  }
  const isSchedule = subject.startsWith(SCHEDULED)
  return copies.length > 0 || !isSchedule
    ? copies
    : readCopies(connection, `${DUE}${subject.slice(SCHEDULED.length)}`)
}

const SCHEDULED = 'retries.'
const DUE = 'due.'

/** Its worker has stored the copy and may not have told the ledger: what it was made of is there still. */
async function isEventWaiting(
  connection: NatsConnection,
  { origin, token }: Copy,
  epoch: string,
): Promise<boolean> {
  const isFeature = origin?.stream === STREAMS.features && origin.epoch === epoch
  if (isFeature && (await isStored(connection, STREAMS.features, { seq: origin.sequence }))) return true
  return (await replayHolding(connection, token)) !== undefined
}

function placed({ copy: { token, sequence }, problem }: Suspect): OutcomeProblem {
  const stream = STREAMS.retries
  return { problem, token, stream, sequence, message: { stream, sequence } }
}
