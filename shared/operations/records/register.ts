import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, type Headers, readHeader } from '../../sdk/contract/headers.ts'
import { subjects } from '../../sdk/contract/subjects.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { lastOfSubject } from '../../sdk/jetstream/api.ts'
import { parseHeaderBlock } from '../../sdk/jetstream/stored-message.ts'
import { patiently } from '../broker/patience.ts'

/** What the register of an event holds. */
export interface RegisterState {
  readonly kind: 'empty' | 'notice' | 'prediction'
  /** 0 when it is empty. */
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
  const copy = await patiently(() =>
    lastOfSubject(connection, STREAMS.results, subjects.result(model, token)),
  )
  if (copy === undefined) return { kind: 'empty', sequence: 0, digests: [] }
  const headers = parseHeaderBlock(copy.headerBlock)
  const kind = readHeader(headers, HEADERS.outcome) === 'dead-letter' ? 'notice' : 'prediction'
  return { kind, sequence: copy.sequence, digests: digestsIn(headers) }
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
