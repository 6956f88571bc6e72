import type { NatsConnection } from '@nats-io/transport-node'
import type { Headers } from '../../sdk/contract/headers.ts'
import { readOutcomeSubject, subjects } from '../../sdk/contract/subjects.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { findApi, NOT_FOUND } from '../../sdk/jetstream/api.ts'
import { parseHeaderBlock } from '../../sdk/jetstream/stored-message.ts'

/** What a list says about a dead letter, without its payload. */
export interface DeadLetterEntry {
  readonly sequence: number
  readonly model: string
  readonly token: string
  readonly sizeBytes: number
  /** When it was stored, RFC 3339. */
  readonly storedAt: string
  readonly headers: Headers
}

/** A dead letter as it is stored. */
export interface StoredDeadLetter extends DeadLetterEntry {
  readonly body: Uint8Array
}

/** Whose dead letter lies under a subject. */
export function identify(subject: string): { readonly model: string; readonly token: string } {
  return readOutcomeSubject(subject) ?? { model: subject, token: '' }
}

/**
 * One dead letter, whole, from the leader of its stream.
 *
 * @param which a token, or the sequence in the stream
 */
export async function findDeadLetter(
  connection: NatsConnection,
  which: { readonly token: string } | { readonly sequence: number },
): Promise<StoredDeadLetter | undefined> {
  const asked =
    'token' in which ? { last_by_subj: subjects.deadLetterOf(which.token) } : { seq: which.sequence }
  const reply = await findApi<{
    readonly message: { subject: string; seq: number; time: string; hdrs?: string; data?: string }
  }>(connection, `STREAM.MSG.GET.${STREAMS.deadLetters}`, NOT_FOUND.message, asked)
  if (reply === undefined) return undefined
  const { subject, seq, time, hdrs = '', data = '' } = reply.message
  const body = Buffer.from(data, 'base64')
  return {
    sequence: seq,
    ...identify(subject),
    sizeBytes: body.length,
    headers: parseHeaderBlock(Buffer.from(hdrs, 'base64')),
    storedAt: time,
    body,
  }
}
