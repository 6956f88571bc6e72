import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { Command } from 'commander'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { readLines } from '../../../shared/runtime/lines.ts'
import { showCount } from '../../../shared/runtime/quantities.ts'
import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { createProducer } from '../../../shared/sdk/producer.ts'
import { withBroker } from '../broker.ts'
import { type CommandRun, helpTail, runCommand } from '../command-run.ts'
import { lane, wholeNumber } from '../option-values.ts'
import { type PublishCounts, publishLines } from '../publish/publish-lines.ts'

/** A full stream is no fault of a line: the file waits this long for workers to make room. */
const FULL_PATIENCE_MS = 600_000

interface PublishArguments {
  readonly lane: Lane
  readonly source: string
  readonly pool?: string
  readonly idField?: string
  readonly modelVersion?: string
  readonly deadline?: number
  readonly keepGoing?: boolean
}

export function publishCommand(): Command {
  return new Command('publish')
    .summary('publish events from a file or standard input, one JSON object a line')
    .description(
      'Each line is {"features": {…}} or {"inputs": […]}, with an "id" if the event has one. An event of the same model,\n' +
        'source and id is the same event: publishing it again changes nothing. Without ids, each run makes new events.\n' +
        'A full stream is waited for, and so are workers that have too much to do.',
    )
    .argument('<model>', 'model that shall predict them')
    .argument('[file]', 'file of JSON Lines; - for standard input', '-')
    .option('--lane <lane>', 'high, normal or low', lane, 'normal')
    .option('--source <name>', 'CloudEvents source: ids are unique within it', 'pelton-cli')
    .option('--pool <name>', 'pool of workers')
    .option('--id-field <name>', 'take the id from this key or feature, which is then left out')
    .option('--model-version <version>', 'ask for this version')
    .option('--deadline <seconds>', 'give an event up this long after it was sent', wholeNumber)
    .option('--keep-going', 'publish the other lines when one is bad')
    .addHelpText(
      'after',
      helpTail(
        [
          'pelton publish flight-delay flights.jsonl',
          `echo '{"id": "a", "features": {"x": 1}}' | pelton publish linear --lane high`,
          'pelton publish flight-delay flights.jsonl --id-field flight_id --keep-going',
        ],
        { failed: 'a line could not be published, or Ctrl-C came before the end of the file' },
      ),
    )
    .action((model: string, file: string, options: PublishArguments) =>
      runCommand(
        (run) => publish(run, model, file, options),
        'stopping: waiting for what was sent; Ctrl-C again to force',
      ),
    )
}

async function publish(
  run: CommandRun,
  model: string,
  file: string,
  options: PublishArguments,
): Promise<number> {
  const { terminal, signal } = run
  const input = await openInput(file)
  const started = performance.now()
  const counts = await withBroker(run, async ({ connection }) => {
    const { source, pool, modelVersion, deadline, idField } = options
    const producer = await createProducer({
      connection,
      source,
      fullRetryMs: FULL_PATIENCE_MS,
      admissionWaitMs: FULL_PATIENCE_MS,
      ...(pool !== undefined && { pool }),
    })
    try {
      return await publishLines(readLines(input, signal), {
        source: file === '-' ? 'standard input' : file,
        keepGoing: options.keepGoing === true,
        ...(idField !== undefined && { idField }),
        publish: ({ id, body }) =>
          producer.publish({
            model,
            lane: options.lane,
            data: body,
            contentType: 'application/json',
            ...(id !== undefined && { id }),
            ...(modelVersion !== undefined && { modelVersion }),
            ...(deadline !== undefined && { expiresAt: new Date(Date.now() + deadline * 1_000) }),
          }),
        onError: ({ message }) => terminal.note(`pelton: ${message}`),
        onProgress: (now) => terminal.progress(summary(now, performance.now() - started)),
      })
    } finally {
      await producer.close()
    }
  }).finally(() => input.destroy())
  terminal.print(summary(counts, performance.now() - started))
  if (signal.aborted) terminal.note('the rest was not read')
  return counts.failed > 0 || signal.aborted ? EXIT_CODES.failed : EXIT_CODES.ok
}

function summary({ published, duplicates, failed }: PublishCounts, elapsedMs: number): string {
  const rate = ((published + duplicates) * 1_000) / Math.max(1, elapsedMs)
  return `${published} published, ${duplicates} duplicates, ${failed} failed (${showCount(rate)}/s)`
}

/** Opens the file before anything is sent. */
async function openInput(file: string): Promise<Readable> {
  if (file === '-') return process.stdin
  const stream = createReadStream(file, { highWaterMark: 2 ** 18 })
  return new Promise((resolve, reject) => {
    stream.once('open', () => resolve(stream))
    stream.once('error', (cause) => {
      const details = {
        field: 'file',
        value: file,
        remedy: 'Name a file that exists, or - for standard input.',
      }
      reject(new PeltonError('invalid-argument', 'the file cannot be read', details, cause))
    })
  })
}
