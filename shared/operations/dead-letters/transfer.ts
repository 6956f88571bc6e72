import type { NatsConnection } from '@nats-io/transport-node'
import type { NumberedLine } from '../../runtime/lines.ts'
import { printableJson } from '../../runtime/printable.ts'
import { newId } from '../records/ids.ts'
import type { OpsStore } from '../records/store.ts'
import { keepAct } from './acts.ts'
import { archiveDeadLetter } from './archive.ts'
import { readDeadLetters } from './browse.ts'
import type { DeadLetterFilter } from './filter.ts'
import { createImporter, type ImportCounts, storeInOrder } from './import.ts'

/**
 * The dead letters that match, each a line of JSON with its line end, exact to the byte: what {@link importLines}
 * reads. Ends early where `signal` is aborted: a caller that must have them all asks it at the end.
 *
 * @throws PeltonError `broker-unavailable`
 */
export async function* exportLines(
  connection: NatsConnection,
  filter: DeadLetterFilter,
  signal: AbortSignal,
): AsyncGenerator<string> {
  for await (const letter of readDeadLetters(connection, { filter })) {
    if (signal.aborted) return
    yield `${printableJson(JSON.stringify(archiveDeadLetter(letter)))}\n`
  }
}

export interface ImportRun {
  /** The operator, for the record. */
  readonly by: string
  readonly signal: AbortSignal
}

export interface ImportResult {
  readonly counts: ImportCounts
  /** What ended it early: a line that is none, a broker that refuses. Those before it are stored. */
  readonly error: unknown
}

/** Stores archived dead letters and writes it down. Those that are there, or have ended, stay as they are. */
export async function importLines(
  store: OpsStore,
  lines: AsyncIterable<NumberedLine>,
  { by, signal }: ImportRun,
): Promise<ImportResult> {
  const result = await storeInOrder(lines, createImporter(store))
  const now = new Date()
  const isComplete = result.error === undefined && !signal.aborted
  const what = { id: newId(now), what: 'imported', by, at: now.toISOString(), because: '' } as const
  await keepAct(store.keyValue, { ...what, asked: {}, counts: result.counts, isComplete })
  return result
}
