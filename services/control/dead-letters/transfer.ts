import type { NatsConnection } from '@nats-io/transport-node'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { newId } from '../replay/task.ts'
import { keepAct } from './acts.ts'
import { archiveDeadLetter, type Imported, importDeadLetter } from './archive.ts'
import { readDeadLetters } from './browse.ts'
import type { DeadLetterFilter } from './filter.ts'
import type { OpsStore } from './store.ts'

/**
 * The dead letters that match, each a line of JSON with its line end, exact to the byte: what {@link importLines} reads.
 * Ends early where `signal` is aborted: whoever must have them all asks it at the end.
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
    yield `${JSON.stringify(archiveDeadLetter(letter))}\n`
  }
}

export interface ImportRun {
  /** The operator, for the record. */
  readonly by: string
  readonly signal: AbortSignal
}

export interface ImportResult {
  readonly counts: Readonly<Record<Imported, number>>
  /** What ended it early: a line that is none, a broker that refuses. Those before it are stored. */
  readonly error: unknown
}

/** Stores archived dead letters and writes it down. Those that are there, or have a prediction, stay as they are. */
export async function importLines(
  { connection, window, keyValue }: OpsStore,
  lines: AsyncIterable<{ readonly number: number; readonly bytes: Uint8Array }>,
  { by, signal }: ImportRun,
): Promise<ImportResult> {
  const counts: Record<Imported, number> = { stored: 0, present: 0, answered: 0 }
  let error: unknown
  try {
    for await (const { number, bytes } of lines) {
      const imported = await importDeadLetter(connection, window, bytes).catch((thrown: unknown) => {
        throw atLine(number, thrown)
      })
      counts[imported]++
    }
  } catch (thrown) {
    error = thrown
  }
  const now = new Date()
  const isComplete = error === undefined && !signal.aborted
  const what = { id: newId(now), what: 'imported', by, at: now.toISOString(), because: '' } as const
  await keepAct(keyValue, { ...what, asked: {}, counts, isComplete })
  return { counts, error }
}

function atLine(number: number, thrown: unknown): unknown {
  if (!(thrown instanceof PeltonError)) return thrown
  return new PeltonError(thrown.code, `line ${number}: ${thrown.description}`, {}, thrown)
}
