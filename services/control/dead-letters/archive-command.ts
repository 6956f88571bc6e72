import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { withBroker } from '../broker.ts'
import type { CommandRun } from '../command-run.ts'
import { readLines } from '../publish/lines.ts'
import { newId } from '../replay/task.ts'
import { keepAct } from './acts.ts'
import { archiveDeadLetter, type Imported, importDeadLetter } from './archive.ts'
import { readDeadLetters } from './browse.ts'
import type { DeadLetterFilter } from './filter.ts'
import { withStore } from './with-store.ts'

/** Writes the dead letters that match, one JSON object a line, to a new file or standard output. */
export async function exportCommand(
  run: CommandRun,
  file: string,
  filter: DeadLetterFilter,
): Promise<number> {
  const output = await openOutput(file)
  let written = 0
  await withBroker(run, async ({ connection }) => {
    for await (const letter of readDeadLetters(connection, { filter })) {
      if (run.signal.aborted) break
      if (!output.write(`${JSON.stringify(archiveDeadLetter(letter))}\n`)) await once(output, 'drain')
      run.terminal.progress(`${++written} written`)
    }
  })
  if (output !== process.stdout) await new Promise<void>((resolve) => output.end(() => resolve()))
  run.terminal.note(`${written} dead letters written`)
  return run.signal.aborted ? EXIT_CODES.failed : EXIT_CODES.ok
}

/** Stores archived dead letters. Those that are there, or have a prediction, stay as they are. */
export async function importCommand(run: CommandRun, file: string, by: string): Promise<number> {
  const input = await openInput(file)
  const counts: Record<Imported, number> = { stored: 0, present: 0, answered: 0 }
  const failure = await withStore(run, async ({ connection, window, keyValue }) => {
    let error: unknown
    try {
      for await (const { number, bytes } of readLines(input, run.signal)) {
        const imported = await importDeadLetter(connection, window, bytes).catch((thrown: unknown) => {
          throw atLine(number, thrown)
        })
        counts[imported]++
      }
    } catch (thrown) {
      error = thrown
    }
    const now = new Date()
    const isComplete = error === undefined && !run.signal.aborted
    const what = { id: newId(now), what: 'imported', by, at: now.toISOString(), because: '' } as const
    await keepAct(keyValue, { ...what, asked: {}, counts, isComplete })
    return error
  }).finally(() => input.destroy())
  const { stored, present, answered } = counts
  run.terminal.print(`${stored} stored, ${present} there already, ${answered} answered by a prediction`)
  if (failure !== undefined) throw failure
  return run.signal.aborted ? EXIT_CODES.failed : EXIT_CODES.ok
}

function atLine(number: number, thrown: unknown): unknown {
  if (!(thrown instanceof PeltonError)) return thrown
  return new PeltonError(thrown.code, `line ${number}: ${thrown.description}`, {}, thrown)
}

async function openOutput(file: string): Promise<Writable> {
  if (file === '-') return process.stdout
  const output = createWriteStream(file, { flags: 'wx', mode: 0o600 })
  await once(output, 'open').catch((cause: unknown) => {
    throw unusable(file, 'the file cannot be written', 'Name a file that does not exist yet.', cause)
  })
  return output
}

async function openInput(file: string): Promise<Readable> {
  if (file === '-') return process.stdin
  const input = createReadStream(file)
  await once(input, 'open').catch((cause: unknown) => {
    throw unusable(
      file,
      'the file cannot be read',
      'Name a file that exists, or - for standard input.',
      cause,
    )
  })
  return input
}

function unusable(file: string, description: string, remedy: string, cause: unknown): PeltonError {
  return new PeltonError('invalid-argument', description, { field: 'file', value: file, remedy }, cause)
}
