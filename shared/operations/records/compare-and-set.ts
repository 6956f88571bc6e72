import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, type HeaderEntry } from '../../sdk/contract/headers.ts'
import { lastOfSubject } from '../../sdk/jetstream/api.ts'
import { API_ERRORS, publishError } from '../../sdk/jetstream/publish-reply.ts'
import type { PublishWindow } from '../../sdk/jetstream/publish-window.ts'
import { patiently } from '../broker/patience.ts'

/** A value that shall stand in a bucket in place of the one that was read. */
export interface Replacement {
  /** The stream behind the bucket. */
  readonly stream: string
  /** The key, as a subject. */
  readonly subject: string
  readonly body: Uint8Array
  /** Revision of the value that was read; 0 where there was none. */
  readonly expected: number
  /** Beside what compares. @default none */
  readonly headers?: readonly HeaderEntry[]
}

/**
 * Stores a value if nobody else has stored one since. Asks again while the broker does not answer.
 *
 * @param patienceMs how long the broker may not answer. @default 60_000
 * @returns the new revision, or `undefined` when another process was faster
 * @throws PeltonError `broker-unavailable` when the broker does not tell in time what became of it
 */
export async function compareAndSet(
  connection: NatsConnection,
  window: PublishWindow,
  { stream, subject, body, expected, headers: own = [] }: Replacement,
  patienceMs?: number,
): Promise<number | undefined> {
  const headers: readonly HeaderEntry[] = [
    ...own,
    [HEADERS.expectedStream, stream],
    [HEADERS.expectedSubjectSequence, String(expected)],
  ]
  let isOpen = false
  return patiently(async () => {
    const reply = await window.publish({ subject, headers, body })
    if (reply.kind === 'stored') return reply.sequence
    const isLate = reply.kind === 'refused' && reply.code === API_ERRORS.wrongLastSequence
    if (isLate && !isOpen) return undefined
    isOpen = true // an earlier try may have been stored: then these very bytes stand there
    if (!isLate) throw publishError(stream, reply)
    const copy = await lastOfSubject(connection, stream, subject)
    return copy !== undefined && Buffer.from(copy.body).equals(body) ? copy.sequence : undefined
  }, patienceMs)
}
