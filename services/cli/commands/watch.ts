import { Command, InvalidArgumentError } from 'commander'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { showCount } from '../../../shared/runtime/quantities.ts'
import { createSubscriber, type Result } from '../../../shared/sdk/subscriber.ts'
import { withBroker } from '../broker.ts'
import { type CommandRun, helpTail, runCommand } from '../command-run.ts'
import { NameLimit } from '../name-limit.ts'
import { moment, wholeNumber } from '../option-values.ts'
import { describeResult, resultJson } from '../watch-lines.ts'

interface WatchArguments {
  readonly model?: string
  readonly failures?: boolean
  readonly all?: boolean
  readonly from: 'new' | 'all' | Date
  readonly count?: number
  readonly json?: boolean
}

export function watchCommand(): Command {
  return new Command('watch')
    .summary('print predictions and failures as they come')
    .option('--model <name>', 'only those of this model')
    .option('--failures', 'failures instead of predictions')
    .option('--all', 'predictions and failures')
    .option('--from <when>', 'new, all that is kept, or since a time (also 15m, 2h, 7d)', from, 'new')
    .option('--count <n>', 'end after this many', wholeNumber)
    .option('--json', 'one JSON object a line')
    .addHelpText(
      'after',
      helpTail(
        [
          'pelton watch',
          'pelton watch --model flight-delay --all --json',
          'pelton watch --failures --from 1h',
          'pelton watch --from all --count 10',
        ],
        { ok: 'ended by --count or Ctrl-C', failed: 'the broker does not answer, or may not be read' },
      ),
    )
    .action((options: WatchArguments) => runCommand((run) => watch(run, options), 'stopping'))
}

async function watch(run: CommandRun, options: WatchArguments): Promise<number> {
  return withBroker(run, async ({ connection }) => {
    const include = options.all === true ? 'all' : options.failures === true ? 'failures' : 'predictions'
    const subscriber = await createSubscriber({
      connection,
      include,
      from: options.from,
      ...(options.model !== undefined && { model: options.model }),
    })
    const close = (): void => void subscriber.close()
    run.signal.addEventListener('abort', close)
    if (run.signal.aborted) close()
    try {
      run.terminal.note(`watching ${include === 'all' ? 'everything' : include}; Ctrl-C to end`)
      await printAll(run, subscriber, options)
    } finally {
      run.signal.removeEventListener('abort', close)
      await subscriber.close()
    }
    return EXIT_CODES.ok
  })
}

async function printAll(
  { terminal }: CommandRun,
  results: AsyncIterable<Result>,
  { json = false, count = Number.POSITIVE_INFINITY }: WatchArguments,
): Promise<void> {
  const limit = new NameLimit((more) =>
    terminal.note(`and ${showCount(more)} failures of more models: see \`pelton dead-letters count\``),
  )
  let seen = 0
  try {
    for await (const result of results) {
      if (result.kind === 'prediction') limit.predicted(result.model)
      if (json) terminal.json(resultJson(result))
      else if (result.kind === 'prediction' || limit.admit(result.model))
        terminal.print(describeResult(result, terminal))
      result.ack()
      if (++seen >= count) return
    }
  } finally {
    limit.close()
  }
}

function from(text: string): 'new' | 'all' | Date {
  if (text === 'new' || text === 'all') return text
  try {
    return moment(text)
  } catch {
    throw new InvalidArgumentError(
      'It must be new, all, a time like 2026-01-31T12:00:00Z, or 90s, 15m, 2h, 7d.',
    )
  }
}
