import { jetstreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, type Headers, readHeader } from '../../shared/sdk/contract/headers.ts'
import { decodeLedgerRecord, type LedgerOutcome } from '../../shared/sdk/contract/ledger.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'

/** A message as it lies in a stream. */
export interface StoredRecord {
  readonly subject: string
  readonly sequence: number
  readonly headers: Headers
  readonly body: Uint8Array
}

/** Everything a stream holds, in order, read past every consumer of Pelton. */
export async function readStream(connection: NatsConnection, stream: string): Promise<StoredRecord[]> {
  const info = await streamInfo(connection, stream)
  if (info === undefined || info.state.messages === 0) return []
  const manager = await jetstreamManager(connection)
  const records: StoredRecord[] = []
  const inbox = `_INBOX.read.${Math.random().toString(36).slice(2)}`
  const done = new Promise<void>((resolve) => {
    connection.subscribe(inbox, {
      callback: (_error, message) => {
        if ((message.reply ?? '') === '') return
        const sequence = Number(message.reply?.split('.').at(-4))
        const headers = new Map(
          [...(message.headers ?? [])].map(([name, values]) => [name.toLowerCase(), values[0] ?? '']),
        )
        records.push({ subject: message.subject, sequence, headers, body: message.data })
        if (sequence >= info.state.last_seq) resolve()
      },
    })
  })
  const consumer = await manager.consumers.add(stream, {
    deliver_subject: inbox,
    ack_policy: 'none',
    inactive_threshold: 30e9,
  })
  await done
  await manager.consumers.delete(stream, consumer.name)
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
  const waiting = await Promise.all(
    [STREAMS.features, STREAMS.retries].map((name) => streamInfo(connection, name)),
  )
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
