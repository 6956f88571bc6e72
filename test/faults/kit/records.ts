import type { NatsConnection } from '@nats-io/transport-node'
import { decodeLedgerRecord, type LedgerOutcome } from '../../../shared/sdk/contract/ledger.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../../shared/sdk/jetstream/api.ts'
import { readStream } from '../../kit/outcomes.ts'

/** Outcomes by `<stream> <sequence>`: several where an acknowledgement was lost. */
export type Ledger = ReadonlyMap<string, readonly LedgerOutcome[]>

export async function readLedger(connection: NatsConnection): Promise<Ledger> {
  const ledger = new Map<string, LedgerOutcome[]>()
  for (const { body } of await readStream(connection, STREAMS.ledger)) {
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
