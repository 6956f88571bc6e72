import { Command } from 'commander'
import { listActs } from '../../../shared/operations/dead-letters/acts.ts'
import { browseDeadLetters, describeEntry } from '../../../shared/operations/dead-letters/browse.ts'
import { groupDeadLetters } from '../../../shared/operations/dead-letters/groups.ts'
import { pageDeadLetters } from '../../../shared/operations/dead-letters/page.ts'
import { deadLetterJson } from '../../../shared/operations/dead-letters/show.ts'
import { readWhich } from '../../../shared/operations/dead-letters/which.ts'
import { findDeadLetter } from '../../../shared/operations/records/dead-letter.ts'
import { superseded } from '../../../shared/operations/records/superseded-mark.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { standardOutput } from '../../../shared/runtime/standard-streams.ts'
import { withBroker } from '../broker.ts'
import { type CommandRun, helpTail, runCommand } from '../command-run.ts'
import { exportCommand, importCommand } from '../dead-letters/archive-command.ts'
import { COUNT_HEADING, countRows } from '../dead-letters/count-rows.ts'
import {
  addFilterOptions,
  type FilterArguments,
  operator,
  readFilter,
} from '../dead-letters/filter-options.ts'
import { LIST_HEADING, listRow, printDeadLetter } from '../dead-letters/print.ts'
import { removeCommand } from '../dead-letters/removal-command.ts'
import { withStore } from '../dead-letters/with-store.ts'
import { wholeNumber } from '../option-values.ts'

interface ListArguments extends FilterArguments {
  readonly from?: number
  readonly limit: number
  readonly newest?: boolean
  readonly json?: boolean
}

interface ShowArguments {
  readonly json?: boolean
  readonly payload?: boolean
}

interface RecordedArguments {
  readonly because: string
  readonly by?: string
  readonly yes?: boolean
}

const FAILED = { failed: 'the broker does not answer, or may not be read' }

export function deadLettersCommand(): Command {
  return new Command('dead-letters')
    .summary('look at the events Pelton gave up on, and why; keep, discard or purge them')
    .addCommand(listCommand())
    .addCommand(countCommand())
    .addCommand(showCommand())
    .addCommand(exportingCommand())
    .addCommand(importingCommand())
    .addCommand(discardCommand())
    .addCommand(purgeCommand())
    .addCommand(historyCommand())
}

function listCommand(): Command {
  const examples = [
    'pelton dead-letters list --newest --limit 20',
    'pelton dead-letters list --since 1h',
    'pelton dead-letters list --model flight-delay --reason schema-mismatch --json',
    'pelton dead-letters list --text "not served"',
  ]
  return addFilterOptions(new Command('list').summary('list dead letters, oldest or newest first'))
    .option('--from <sequence>', 'go on from this sequence', wholeNumber)
    .option('--limit <n>', 'how many at most', wholeNumber, 50)
    .option('--newest', 'newest first')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', helpTail(examples, FAILED))
    .action((options: ListArguments) => runCommand((run) => list(run, options)))
}

function countCommand(): Command {
  const examples = ['pelton dead-letters count', 'pelton dead-letters count --model flight-delay --json']
  return addFilterOptions(new Command('count').summary('count them by model, reason and description'))
    .option('--json', 'one JSON object a line')
    .addHelpText('after', helpTail(examples, FAILED))
    .action((options: FilterArguments & { readonly json?: boolean }) =>
      runCommand((run) => count(run, options)),
    )
}

function showCommand(): Command {
  const examples = ['pelton dead-letters show 17', 'pelton dead-letters show 17 --payload > event.json']
  return new Command('show')
    .summary('show one dead letter whole: reason, history, headers, payload')
    .argument('<token-or-sequence>', 'as `dead-letters list` shows them')
    .option('--json', 'as one JSON object')
    .option('--payload', 'nothing but the bytes of the payload')
    .addHelpText(
      'after',
      helpTail(examples, { failed: 'there is no such dead letter, or the broker does not answer' }),
    )
    .action((which: string, options: ShowArguments) => runCommand((run) => show(run, which, options)))
}

function exportingCommand(): Command {
  const examples = ['pelton dead-letters export letters.jsonl --model flight-delay']
  return addFilterOptions(new Command('export').summary('write them whole, one JSON object a line'))
    .argument('[file]', 'a new file; - for standard output', '-')
    .addHelpText('after', helpTail(examples, { failed: 'the broker does not answer, or Ctrl-C' }))
    .action((file: string, options: FilterArguments) =>
      runCommand((run) => exportCommand(run, file, readFilter(options))),
    )
}

function importingCommand(): Command {
  const failed = 'a line is no dead letter, or the broker refuses; those before it are stored'
  return new Command('import')
    .summary('store what export wrote; what is there or was answered since stays as it is')
    .argument('[file]', 'file of JSON Lines; - for standard input', '-')
    .option('--by <name>', 'who does it, for the record')
    .addHelpText('after', helpTail(['pelton dead-letters import letters.jsonl'], { failed }))
    .action((file: string, options: { readonly by?: string }) =>
      runCommand((run) => importCommand(run, file, operator(options.by))),
    )
}

function discardCommand(): Command {
  const examples = [
    'pelton dead-letters discard 17 --because "test event" --yes',
    'pelton dead-letters discard --model old-model --until 30d --because "model retired" --yes',
  ]
  return addFilterOptions(new Command('discard').summary('give them up for good, and record why'))
    .argument('[token-or-sequence...]', 'as `dead-letters list` shows them; none: all that match the filter')
    .requiredOption('--because <text>', 'why, for the record')
    .option('--by <name>', 'who does it, for the record')
    .option('--yes', 'do it; without, only count')
    .addHelpText('after', helpTail(examples, { failed: 'some could not be discarded: a replay has them' }))
    .action((which: readonly string[], options: FilterArguments & RecordedArguments) =>
      runCommand((run) =>
        removeCommand(
          run,
          {
            outcome: 'discarded',
            which: which.map(readWhich),
            filter: readFilter(options),
            because: options.because,
            by: operator(options.by),
          },
          options.yes === true,
        ),
      ),
    )
}

function purgeCommand(): Command {
  const examples = ['pelton dead-letters purge --subject person-4711 --because "erasure request 12" --yes']
  return new Command('purge')
    .summary("remove a person's data, by ce-subject; the record names nobody")
    .requiredOption('--subject <subject>', 'ce-subject of the events')
    .requiredOption('--because <text>', 'why, for the record: do not name the person')
    .option('--by <name>', 'who does it, for the record')
    .option('--yes', 'do it; without, only count')
    .addHelpText('after', helpTail(examples, { failed: 'some could not be purged: a replay has them' }))
    .action((options: RecordedArguments & { readonly subject: string }) =>
      runCommand((run) =>
        removeCommand(
          run,
          {
            outcome: 'purged',
            which: [],
            filter: { subject: options.subject },
            because: options.because,
            by: operator(options.by),
          },
          options.yes === true,
        ),
      ),
    )
}

function historyCommand(): Command {
  return new Command('history')
    .summary('what was discarded, purged and imported: who, when, why')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', helpTail(['pelton dead-letters history'], FAILED))
    .action((options: { readonly json?: boolean }) => runCommand((run) => history(run, options)))
}

async function list(run: CommandRun, options: ListArguments): Promise<number> {
  const { terminal } = run
  const { from, limit, newest } = options
  return withBroker(run, async ({ connection }) => {
    const page = await pageDeadLetters(connection, {
      filter: readFilter(options),
      limit,
      first: newest === true ? 'newest' : 'oldest',
      ...(from !== undefined && { cursor: from }),
    })
    if (options.json === true) for (const entry of page.entries) terminal.json(describeEntry(entry))
    else if (page.entries.length === 0) terminal.note('no dead letters')
    else terminal.table([LIST_HEADING, ...page.entries.map(listRow)])
    const order = newest === true ? '--newest ' : ''
    if (page.next !== undefined) terminal.note(`there are more; go on with ${order}--from ${page.next}`)
    return EXIT_CODES.ok
  })
}

async function count(
  run: CommandRun,
  options: FilterArguments & { readonly json?: boolean },
): Promise<number> {
  return withBroker(run, async ({ connection }) => {
    const groups = await groupDeadLetters(browseDeadLetters(connection, { filter: readFilter(options) }))
    if (options.json === true) for (const group of groups) run.terminal.json(group)
    else if (groups.length === 0) run.terminal.note('no dead letters')
    else run.terminal.table([COUNT_HEADING, ...countRows(groups)])
    return EXIT_CODES.ok
  })
}

async function show(run: CommandRun, text: string, options: ShowArguments): Promise<number> {
  const which = readWhich(text)
  return withBroker(run, async ({ connection }) => {
    const deadLetter = await findDeadLetter(connection, which)
    if (deadLetter === undefined) {
      run.terminal.note(`pelton: there is no dead letter ${text}: it was replayed, discarded, or never was`)
      return EXIT_CODES.failed
    }
    if (options.payload === true) {
      writePayload(run, deadLetter.body)
      return EXIT_CODES.ok
    }
    const mark = await superseded(connection, deadLetter)
    if (options.json === true) run.terminal.json(deadLetterJson(deadLetter, mark))
    else printDeadLetter(run.terminal, deadLetter, mark)
    return EXIT_CODES.ok
  })
}

/** Exactly its bytes into a file or pipe; to a person the lines of its text, cleaned like all text. */
function writePayload({ terminal }: CommandRun, body: Uint8Array): void {
  const output = standardOutput()
  if (!output.isTTY) output.write(body)
  else for (const line of Buffer.from(body).toString().split('\n')) terminal.print(line)
}

async function history(run: CommandRun, options: { readonly json?: boolean }): Promise<number> {
  return withStore(run, async ({ keyValue }) => {
    const acts = await listActs(keyValue)
    if (options.json === true) for (const act of acts) run.terminal.json(act)
    else if (acts.length === 0) run.terminal.note('nothing was discarded, purged or imported')
    else
      run.terminal.table([
        ['AT', 'BY', 'WHAT', 'COMPLETE', 'COUNTS', 'BECAUSE'],
        ...acts.map(({ at, by, what, isComplete, counts, because, note }) => [
          at,
          by,
          what,
          isComplete ? 'yes' : `no: do it again${note === undefined ? '' : ` (${note})`}`,
          Object.entries(counts)
            .map(([name, value]) => `${name} ${value}`)
            .join(', '),
          because,
        ]),
      ])
    return EXIT_CODES.ok
  })
}
