import type { NatsConnection } from '@nats-io/transport-node'
import type { Origin } from '../../sdk/contract/event.ts'
import { encodeLedgerRecord, type LedgerOutcome } from '../../sdk/contract/ledger.ts'
import { subjects } from '../../sdk/contract/subjects.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { ApiRefusal, requestApi } from '../../sdk/jetstream/api.ts'
import { publishError } from '../../sdk/jetstream/publish-reply.ts'
import type { PublishWindow } from '../../sdk/jetstream/publish-window.ts'
import { patiently } from '../broker/patience.ts'
import { findDeadLetter } from './dead-letter.ts'

/** An event whose dead letter an operator ended. */
export interface Ended {
  readonly token: string
  readonly origin: Origin
  readonly pool: string
}

/**
 * Names events in the ledger, under the stream and sequence they first had. Doubles are harmless.
 *
 * @param by the operator
 * @param patienceMs how long the broker may not answer. @default 60_000
 */
export async function recordEnded(
  window: PublishWindow,
  outcome: Extract<LedgerOutcome, 'replayed' | 'discarded' | 'purged'>,
  by: string,
  events: readonly Ended[],
  patienceMs?: number,
): Promise<void> {
  const groups = new Map<string, Ended[]>()
  for (const event of events) {
    const key = JSON.stringify([event.pool, event.origin.stream, event.origin.epoch])
    groups.set(key, [...(groups.get(key) ?? []), event])
  }
  for (const group of groups.values()) {
    const [first] = group
    if (first === undefined) continue
    const { stream, epoch } = first.origin
    const entries = group.map(({ origin, token }) => ({ sequence: origin.sequence, outcome, token }))
    const body = encodeLedgerRecord({ stream, epoch, by, entries })
    await patiently(async () => {
      const reply = await window.publish({ subject: subjects.ledger(first.pool), headers: [], body })
      if (reply.kind !== 'stored') throw publishError(STREAMS.ledger, reply)
    }, patienceMs)
  }
}

/**
 * Removes exactly this dead letter. A newer one of the same event stays.
 *
 * @param erase overwrite its bytes on the broker's disk: a hundred times slower (10 ms measured), for personal data
 * @param patienceMs how long the broker may not answer. @default 60_000
 * @returns false when it was gone already
 */
export async function removeDeadLetter(
  connection: NatsConnection,
  sequence: number,
  erase = false,
  patienceMs?: number,
): Promise<boolean> {
  return patiently(async () => {
    try {
      await requestApi(connection, `STREAM.MSG.DELETE.${STREAMS.deadLetters}`, {
        seq: sequence,
        no_erase: !erase,
      })
      return true
    } catch (thrown) {
      if (!(thrown instanceof ApiRefusal) || (await findDeadLetter(connection, { sequence })) !== undefined)
        throw thrown
      return false
    }
  }, patienceMs)
}
