import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, readHeader } from '../../sdk/contract/headers.ts'
import { subjects } from '../../sdk/contract/subjects.ts'
import { STORES } from '../../sdk/contract/topology.ts'
import { requestApi } from '../../sdk/jetstream/api.ts'
import type { StoredDeadLetter } from '../records/dead-letter.ts'

/** Reasons whose events leave start marks behind. */
const MARKED: readonly string[] = ['worker-crashed', 'timed-out']

/**
 * Forgets how often the event of a dead letter ended its worker. A replay is a first attempt: with its old marks, the
 * first redelivery for whatever cause, such as a worker that drains, would condemn it again without a run.
 */
export async function forgetStarts(
  connection: NatsConnection,
  { token, headers }: Pick<StoredDeadLetter, 'token' | 'headers'>,
): Promise<void> {
  if (!MARKED.includes(readHeader(headers, HEADERS.deadLetterReason) ?? '')) return
  const asked = { filter: subjects.startMark(token) }
  // Nothing is lost where it fails: the mark is only stricter than it need be.
  await requestApi(connection, `STREAM.PURGE.${STORES.starts}`, asked).catch(() => undefined)
}
