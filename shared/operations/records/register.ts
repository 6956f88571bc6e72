import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, type Headers, readHeader } from '../../sdk/contract/headers.ts'
import { subjects } from '../../sdk/contract/subjects.ts'
import { lookIntoRegister } from '../../sdk/jetstream/register.ts'
import { patiently } from '../broker/patience.ts'

/** What the register of an event holds. Junk is nothing. */
export interface RegisterState {
  readonly kind: 'empty' | 'notice' | 'prediction'
  /** Of the outcome, 0 when there is none. */
  readonly sequence: number
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
  if (outcome === undefined) return { kind: 'empty', sequence: 0, digests: [] }
  const kind = readHeader(outcome.headers, HEADERS.outcome) === 'dead-letter' ? 'notice' : 'prediction'
  return { kind, sequence: outcome.sequence, digests: digestsIn(outcome.headers) }
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

/** Digests that a result or dead letter tells of its event's payload. */
function digestsIn(headers: Headers): string[] {
  const told = [HEADERS.inputDigest, HEADERS.originalDigest].map((name) => readHeader(headers, name))
  return told.filter((digest) => digest !== undefined)
}
