import { jetstream } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, type Headers, readHeader } from '../../shared/sdk/contract/headers.ts'
import { decodeLedgerRecord, type LedgerOutcome } from '../../shared/sdk/contract/ledger.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'

/** A message as it lies in a stream. */
export interface StoredRecord {
  readonly subject: string
  readonly sequence: number
  /** Broker time, milliseconds since 1970. */
  readonly storedAt: number
  readonly headers: Headers
  readonly body: Uint8Array
}

/**
 * Everything a stream holds, in order, read past every consumer and reader of Pelton: by the client's ordered consumer,
 * which notices what did not arrive and reads it again.
 */
export async function readStream(connection: NatsConnection, stream: string): Promise<StoredRecord[]> {
  const info = await streamInfo(connection, stream)
  if (info === undefined || info.state.messages === 0) return []
  const records: StoredRecord[] = []
  const reader = await jetstream(connection).consumers.get(stream)
  const messages = await reader.consume({ max_messages: 1_000 })
  for await (const message of messages) {
    const { info: delivered, subject, seq: sequence, data: body } = message
    const headers = new Map(
      [...(message.headers ?? [])].map(([name, values]) => [name.toLowerCase(), values[0] ?? '']),
    )
    records.push({ subject, sequence, storedAt: delivered.timestampNanos / 1e6, headers, body })
    if (delivered.pending === 0 || sequence >= info.state.last_seq) break
  }
  await reader.delete()
  return records
}

/** What became of every event of a broker: the register, the dead letters, the ledger. */
export interface Outcomes {
  readonly predictions: ReadonlyMap<string, StoredRecord>
  readonly failures: ReadonlyMap<string, StoredRecord>
  readonly deadLetters: ReadonlyMap<string, StoredRecord>
  /** Outcomes by FEATURES sequence: several when an acknowledgement was lost. */
  readonly ledger: ReadonlyMap<number, readonly LedgerOutcome[]>
  /** Events still in FEATURES or RETRIES. */
  readonly waiting: number
}

export async function readOutcomes(connection: NatsConnection): Promise<Outcomes> {
  // First: what waits no more by now has left its outcome and its record.
  const waiting = await Promise.all(
    [STREAMS.features, STREAMS.retries].map((name) => streamInfo(connection, name)),
  )
  const results = await readStream(connection, STREAMS.results)
  const ofKind = (kind: string): Map<string, StoredRecord> =>
    byToken(results.filter(({ headers }) => readHeader(headers, HEADERS.outcome) === kind))
  const ledger = new Map<number, LedgerOutcome[]>()
  for (const { body } of await readStream(connection, STREAMS.ledger)) {
    const record = decodeLedgerRecord(body)
    if (record.stream !== STREAMS.features) continue
    for (const { sequence, outcome } of record.entries)
      ledger.set(sequence, [...(ledger.get(sequence) ?? []), outcome])
  }
  return {
    predictions: ofKind('prediction'),
    failures: ofKind('dead-letter'),
    deadLetters: byToken(await readStream(connection, STREAMS.deadLetters)),
    ledger,
    waiting: waiting.reduce((sum, info) => sum + (info?.state.messages ?? 0), 0),
  }
}

function byToken(records: readonly StoredRecord[]): Map<string, StoredRecord> {
  return new Map(records.map((record) => [record.subject.split('.').at(-1) ?? '', record]))
}
