import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { DeadLetterFilter } from '../../../shared/operations/dead-letters/filter.ts'
import { exportLines, importLines } from '../../../shared/operations/dead-letters/transfer.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { readLines } from '../../../shared/runtime/lines.ts'
import { standardOutput } from '../../../shared/runtime/standard-streams.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { withBroker } from '../broker.ts'
import type { CommandRun } from '../command-run.ts'
import { withStore } from './with-store.ts'

/** Writes the dead letters that match, one JSON object a line, to a new file or standard output. */
export async function exportCommand(
  run: CommandRun,
  file: string,
  filter: DeadLetterFilter,
): Promise<number> {
  const output = await openOutput(file)
  let written = 0
  const counted = async function* (lines: AsyncIterable<string>): AsyncGenerator<string> {
    for await (const line of lines) {
      run.terminal.progress(`${++written} written`)
      yield line
    }
  }
  const failure = await withBroker(run, ({ connection }) =>
    write(counted(exportLines(connection, filter, run.signal)), output),
  )
  if (failure !== undefined) {
    const remedy = 'It is cut short: remove it, make room, and export again'
    run.terminal.note(`pelton: ${file} cannot be written on (${failure.code ?? failure.message}). ${remedy}.`)
    return EXIT_CODES.failed
  }
  run.terminal.note(`${written} dead letters written`)
  return run.signal.aborted ? EXIT_CODES.failed : EXIT_CODES.ok
}

/** @returns why the output takes no more. @throws what the lines throw */
async function write(
  lines: AsyncIterable<string>,
  output: Writable,
): Promise<NodeJS.ErrnoException | undefined> {
  try {
    await pipeline(lines, output, { end: output !== standardOutput() })
    return undefined
  } catch (thrown) {
    if (output.errored === null || thrown !== output.errored) throw thrown
    return output.errored
  }
}

/** Stores archived dead letters. Those that are there, or have ended, stay as they are. */
export async function importCommand(run: CommandRun, file: string, by: string): Promise<number> {
  const { signal } = run
  const input = await openInput(file)
  const { counts, error } = await withStore(run, (store) =>
    importLines(store, readLines(input, signal), { by, signal }),
  ).finally(() => input.destroy())
  const { stored, present, answered, purged } = counts
  const left = `${present} there already, ${answered} answered by a prediction, ${purged} purged`
  run.terminal.print(`${stored} stored, ${left}`)
  if (error !== undefined) throw error
  return signal.aborted ? EXIT_CODES.failed : EXIT_CODES.ok
}

async function openOutput(file: string): Promise<Writable> {
  if (file === '-') return standardOutput()
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
