import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, type Headers, readHeader } from '../../sdk/contract/headers.ts'
import { subjects } from '../../sdk/contract/subjects.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { messagesOf } from '../../sdk/jetstream/api.ts'
import { lookIntoRegister } from '../../sdk/jetstream/register.ts'
import { parseHeaderBlock } from '../../sdk/jetstream/stored-message.ts'
import { patiently } from '../broker/patience.ts'

/** What the register of an event holds. Junk is nothing. */
export interface RegisterState {
  readonly kind: 'empty' | 'notice' | 'prediction'
  /** Of the outcome, 0 when there is none. */
  readonly sequence: number
  /** What its writer wanted to be the last of the register, as workers do; 0 where it wanted nothing, or an empty one. */
  readonly follows: number
  /** Of the payload that was answered: its own, and that of the original where an operator had edited it. */
  readonly digests: readonly string[]
}

/** Asks the leader of RESULTS for the register of an event. @throws PeltonError `broker-unavailable` after a minute */
export async function readRegister(
  connection: NatsConnection,
  model: string,
  token: string,
): Promise<RegisterState> {
  const { outcome } = await patiently(() => lookIntoRegister(connection, subjects.result(model, token)))
  if (outcome === undefined) return { kind: 'empty', sequence: 0, follows: 0, digests: [] }
  const kind = readHeader(outcome.headers, HEADERS.outcome) === 'dead-letter' ? 'notice' : 'prediction'
  const follows = Number(readHeader(outcome.headers, HEADERS.expectedSubjectSequence) ?? 0)
  return { kind, sequence: outcome.sequence, follows, digests: digestsIn(outcome.headers) }
}

/**
 * Whether a register answers this very payload, or an edit of it. Once its failure notice has expired, another payload
 * of the same id can be predicted: that is no answer to a dead letter.
 *
 * @param headers of the dead letter
 */
export function isAnswered({ kind, digests }: RegisterState, headers: Headers): boolean {
  const own = digestsIn(headers)
  return kind === 'prediction' && (own.length === 0 || own.some((digest) => digests.includes(digest)))
}

/** An event is replayed so often at most that its notices are all read. */
const MOST_NOTICES = 100

/**
 * Whether a failure notice of this very failure stands in the register before a prediction, and a worker put that there
 * to follow it: a replay had it answered then. A notice and its dead letter carry the same time and the digest of the same
 * payload.
 *
 * @param prediction the last outcome of the register
 * @throws PeltonError `broker-unavailable` after a minute
 */
export async function hasOwnNotice(
  connection: NatsConnection,
  { model, token, headers }: { readonly model: string; readonly token: string; readonly headers: Headers },
  prediction: Pick<RegisterState, 'sequence' | 'follows'>,
): Promise<boolean> {
  const [failedAt, digest] = [readHeader(headers, HEADERS.failedAt), readHeader(headers, HEADERS.inputDigest)]
  if (failedAt === undefined || digest === undefined) return false
  const isOwn = (notice: Headers): boolean =>
    readHeader(notice, HEADERS.outcome) === 'dead-letter' &&
    Date.parse(readHeader(notice, HEADERS.time) ?? '') === Date.parse(failedAt) &&
    readHeader(notice, HEADERS.inputDigest) === digest
  return patiently(async () => {
    let read = 0
    for await (const found of messagesOf(connection, STREAMS.results, subjects.result(model, token))) {
      if (found.sequence >= prediction.sequence) return false
      if (isOwn(parseHeaderBlock(found.headerBlock))) return prediction.follows >= found.sequence
      if (++read === MOST_NOTICES) return false
    }
    return false
  })
}

/** Digests that a result or dead letter tells of its event's payload. */
function digestsIn(headers: Headers): string[] {
  const told = [HEADERS.inputDigest, HEADERS.originalDigest].map((name) => readHeader(headers, name))
  return told.filter((digest) => digest !== undefined)
}
