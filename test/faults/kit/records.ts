import { jetstreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { readDeliverySubject } from '../../../shared/sdk/contract/delivery-subject.ts'
import type { Headers } from '../../../shared/sdk/contract/headers.ts'
import { decodeLedgerRecord, type LedgerOutcome } from '../../../shared/sdk/contract/ledger.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../../shared/sdk/jetstream/api.ts'

/** A message as it lies in a stream, and since when (broker time, milliseconds since 1970). */
export interface TimedRecord {
  readonly subject: string
  readonly sequence: number
  readonly storedAt: number
  readonly headers: Headers
  readonly body: Uint8Array
}

/** Everything a stream holds, in order, read past Pelton's own readers. */
export async function readRecords(connection: NatsConnection, stream: string): Promise<TimedRecord[]> {
  const info = await streamInfo(connection, stream)
  if (info === undefined || info.state.messages === 0) return []
  const manager = await jetstreamManager(connection)
  const records: TimedRecord[] = []
  const inbox = `_INBOX.read.${crypto.randomUUID()}`
  const subscription = connection.subscribe(inbox)
  const consumer = await manager.consumers.add(stream, {
    deliver_subject: inbox,
    ack_policy: 'none',
    inactive_threshold: 30e9,
  })
  for await (const message of subscription) {
    const delivered = readDeliverySubject(message.reply ?? '')
    if (delivered === undefined) continue
    const headers = new Map(
      [...(message.headers ?? [])].map(([name, values]) => [name.toLowerCase(), values[0] ?? '']),
    )
    const { streamSequence: sequence, storedAt, pending } = delivered
    records.push({ subject: message.subject, sequence, storedAt, headers, body: message.data })
    if (pending === 0 || sequence >= info.state.last_seq) break
  }
  await manager.consumers.delete(stream, consumer.name)
  return records
}

/** The last segment of a result's or dead letter's subject. */
export function tokenOf({ subject }: TimedRecord): string {
  return subject.slice(subject.lastIndexOf('.') + 1)
}

/** Outcomes by `<stream> <sequence>`: several where an acknowledgement was lost. */
export type Ledger = ReadonlyMap<string, readonly LedgerOutcome[]>

export async function readLedger(connection: NatsConnection): Promise<Ledger> {
  const ledger = new Map<string, LedgerOutcome[]>()
  for (const { body } of await readRecords(connection, STREAMS.ledger)) {
    const { stream, entries } = decodeLedgerRecord(body)
    for (const { sequence, outcome } of entries) {
      const key = `${stream} ${sequence}`
      const known = ledger.get(key)
      if (known === undefined) ledger.set(key, [outcome])
      else known.push(outcome)
    }
  }
  return ledger
}

interface ConsumerState {
  readonly name: string
  readonly delivered: { readonly consumer_seq: number }
  readonly num_ack_pending: number
  readonly num_pending: number
}

/** The consumers of the streams that deliver. */
export async function deliveringConsumers(connection: NatsConnection): Promise<ConsumerState[]> {
  const lists = await Promise.all(
    [STREAMS.features, STREAMS.retries].map((stream) =>
      requestApi<{ readonly consumers?: readonly ConsumerState[] }>(connection, `CONSUMER.LIST.${stream}`),
    ),
  )
  return lists.flatMap(({ consumers }) => consumers ?? [])
}

/** Deliveries beyond the first of each message: what the consumers handed out, less what the ledger names. */
export function countRedeliveries(consumers: readonly ConsumerState[], ledger: Ledger): number {
  const deliveries = consumers.reduce((sum, { delivered }) => sum + delivered.consumer_seq, 0)
  return Math.max(0, deliveries - ledger.size)
}
