import { jetstream } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, type Headers, readHeader } from '../../shared/sdk/contract/headers.ts'
import { decodeLedgerRecord, type LedgerOutcome } from '../../shared/sdk/contract/ledger.ts'
import { tokenOfSubject } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { namesOf } from '../../shared/sdk/jetstream/names-of.ts'

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
  const records: StoredRecord[] = []
  for await (const record of recordsOf(connection, stream)) records.push(record)
  return records
}

/** The same one by one, for streams that do not fit into memory. */
export async function* recordsOf(connection: NatsConnection, stream: string): AsyncGenerator<StoredRecord> {
  const info = await streamInfo(connection, stream)
  if (info === undefined || info.state.messages === 0) return
  const names = namesOf(connection)
  const reader = await jetstream(connection).consumers.get(names.stream(stream))
  const messages = await reader.consume({ max_messages: 1_000 })
  for await (const message of messages) {
    const { info: delivered, seq: sequence, data: body } = message
    const subject = names.plainSubject(message.subject)
    const headers = new Map(
      [...(message.headers ?? [])].map(([name, values]) => [name.toLowerCase(), values[0] ?? '']),
    )
    yield { subject, sequence, storedAt: delivered.timestampNanos / 1e6, headers, body }
    if (delivered.pending === 0 || sequence >= info.state.last_seq) break
  }
  await reader.delete()
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

export interface ReadOutcomesOptions {
  /** Dead letters were replayed: a failure notice may have another outcome behind it. @default false */
  readonly hasReplays?: boolean
}

/**
 * Reads what became of every event.
 *
 * @throws when an event has two outcomes: the promise every test stands on, so none has to ask for it
 */
export async function readOutcomes(
  connection: NatsConnection,
  options: ReadOutcomesOptions = {},
): Promise<Outcomes> {
  // First: what waits no more by now has left its outcome and its record.
  const waiting = await countWaiting(connection)
  const results = await readStream(connection, STREAMS.results)
  refuseDoubled(results, options.hasReplays === true)
  const ofKind = (kind: string): Map<string, StoredRecord> =>
    byToken(results.filter((record) => kindOf(record) === kind))
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
    waiting,
  }
}

/** Events still in FEATURES or RETRIES. */
export async function countWaiting(connection: NatsConnection): Promise<number> {
  const infos = await Promise.all(
    [STREAMS.features, STREAMS.retries].map((name) => streamInfo(connection, name)),
  )
  return infos.reduce((sum, info) => sum + (info?.state.messages ?? 0), 0)
}

const kindOf = ({ headers }: StoredRecord): string | undefined => readHeader(headers, HEADERS.outcome)

/** RESULTS keeps every message of a register: a second one is a second outcome, unless a replay followed a failure. */
export function refuseDoubled(results: readonly StoredRecord[], hasReplays: boolean): void {
  const last = new Map<string, StoredRecord>()
  for (const record of results) {
    const earlier = last.get(record.subject)
    last.set(record.subject, record)
    if (earlier === undefined || (hasReplays && kindOf(earlier) !== 'prediction')) continue
    const [one, other] = [earlier, record].map((each) => `${kindOf(each)} at ${each.sequence}`)
    throw new Error(`an event has two outcomes: ${record.subject} holds a ${one} and a ${other}`)
  }
}

function byToken(records: readonly StoredRecord[]): Map<string, StoredRecord> {
  return new Map(records.map((record) => [tokenOfSubject(record.subject), record]))
}
