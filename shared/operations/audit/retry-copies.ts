import type { NatsConnection } from '@nats-io/transport-node'
import { pause } from '../../runtime/pause.ts'
import { readOrigin } from '../../sdk/contract/event.ts'
import { inputDigestStart } from '../../sdk/contract/outcome-digest.ts'
import { payloadDigest } from '../../sdk/contract/token.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { lastOfSubject, type StoredCopy } from '../../sdk/jetstream/api.ts'
import { parseHeaderBlock } from '../../sdk/jetstream/stored-message.ts'
import type { LedgerReader } from '../records/ledger-reader.ts'
import type { ExpectedEvent, Reach } from './evidence.ts'
import type { Expectations } from './expectations.ts'
import { replayHolding } from './look-again.ts'
import type { OutcomeProblem, ProblemName } from './outcome-problem.ts'
import { isStored, readWaitingTokens, thoseThat } from './waiting.ts'

interface CopyDeps {
  readonly expectations: Expectations
  readonly ledger: LedgerReader
  readonly signal: AbortSignal
}

/** A copy is stored before the ledger is told of it: what contradicts must last. */
const ROUND_PAUSES_MS = [0, 500, 2_000]

/** Holds what waits in RETRIES against what the ledger says was retried. */
export async function checkRetryCopies(
  connection: NatsConnection,
  { expectations, ledger, signal }: CopyDeps,
  reach: Reach,
): Promise<OutcomeProblem[]> {
  let problems: OutcomeProblem[] = []
  let left: readonly string[] = [...(await readWaitingTokens(connection))]
  for (const pauseMs of ROUND_PAUSES_MS) {
    if (left.length === 0) break
    await pause(pauseMs, signal)
    const copies: { readonly token: string; readonly copy: StoredCopy }[] = []
    await thoseThat(left, async (token) => {
      const copy = await findCopy(connection, token)
      if (copy !== undefined) copies.push({ token, copy })
      return true
    })
    await ledger.readOn()
    const suspects = copies.flatMap(({ token, copy }) => {
      const event = expectations.events.get(token)
      const problem = copyVerdict(copy.body, event, reach, isOriginSettled(copy, reach))
      return problem === undefined ? [] : [{ copy, ...placed(problem, token, copy) }]
    })
    const waiting = new Set(
      await thoseThat(suspects, (one) => isEventWaiting(connection, one, expectations.epoch)),
    )
    problems = suspects.filter((one) => !waiting.has(one)).map(({ copy: _copy, ...problem }) => problem)
    left = problems.map(({ token }) => token ?? '')
  }
  return problems
}

/**
 * What is wrong with a copy that waits in RETRIES. Pure. A worker that ends between the copy and its record leaves the copy
 * behind, and another may settle the event meanwhile: then the ledger tells of the event, and not of the retry.
 *
 * @param isSettled whether the ledger ends what it is a copy of without its token
 */
export function copyVerdict(
  body: Uint8Array,
  event: Pick<ExpectedEvent, 'outcomes' | 'retried'> | undefined,
  { isWhole }: Pick<Reach, 'isWhole'>,
  isSettled = false,
): ProblemName | undefined {
  if (event?.outcomes.has('retried') !== true)
    return isWhole && event === undefined && !isSettled ? 'foreign' : undefined
  const start = inputDigestStart(payloadDigest(body))
  const isKnown = event.retried.length === 0 || (start !== undefined && event.retried.includes(start))
  return isKnown ? undefined : 'other-digest'
}

function isOriginSettled({ headerBlock }: StoredCopy, { plain, isSignedFor }: Reach): boolean {
  const origin = readOrigin({ headers: parseHeaderBlock(headerBlock) })
  if (origin?.stream !== STREAMS.features) return false
  return plain(origin) !== undefined || isSignedFor(origin)
}

async function findCopy(connection: NatsConnection, token: string): Promise<StoredCopy | undefined> {
  for (const root of ['retries', 'due']) {
    const copy = await lastOfSubject(connection, STREAMS.retries, `${root}.*.*.*.${token}`)
    if (copy !== undefined) return copy
  }
  return undefined
}

/** Its worker has stored the copy and may not have told the ledger: what it was made of is there still. */
async function isEventWaiting(
  connection: NatsConnection,
  { copy, token }: { readonly copy: StoredCopy; readonly token: string },
  epoch: string,
): Promise<boolean> {
  const origin = readOrigin({ headers: parseHeaderBlock(copy.headerBlock) })
  const isFeature = origin?.stream === STREAMS.features && origin.epoch === epoch
  if (isFeature && (await isStored(connection, STREAMS.features, { seq: origin.sequence }))) return true
  return (await replayHolding(connection, token)) !== undefined
}

function placed(problem: ProblemName, token: string, { sequence }: StoredCopy) {
  const stream = STREAMS.retries
  return { problem, token, stream, sequence, message: { stream, sequence } }
}
