import { Command, InvalidArgumentError } from 'commander'
import { stringify } from 'lossless-json'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { isToken } from '../../../shared/sdk/contract/token.ts'
import { isReason, PeltonError, REASONS, type Reason } from '../../../shared/sdk/errors.ts'
import { withBroker } from '../broker.ts'
import { type CommandRun, helpTail, runCommand } from '../command-run.ts'
import {
  browseDeadLetters,
  type DeadLetterEntry,
  describeEntry,
  findDeadLetter,
  type StoredDeadLetter,
} from '../dead-letters/browse.ts'
import { readPayload, type ShownPayload } from '../dead-letters/payload.ts'
import { moment, wholeNumber } from '../option-values.ts'
import { showBytes } from '../quantities.ts'
import { alignColumns } from '../terminal.ts'

interface ListArguments {
  readonly model?: string
  readonly reason?: Reason
  readonly since?: Date
  readonly from?: number
  readonly limit: number
  readonly json?: boolean
}

interface ShowArguments {
  readonly json?: boolean
  readonly payload?: boolean
}

export function deadLettersCommand(): Command {
  return new Command('dead-letters')
    .summary('look at the events Pelton gave up on, and why')
    .addCommand(listCommand())
    .addCommand(showCommand())
}

function listCommand(): Command {
  return new Command('list')
    .summary('list dead letters, oldest first')
    .option('--model <name>', 'only those of this model')
    .option('--reason <reason>', `only those with this reason: ${Object.keys(REASONS).join(', ')}`, reason)
    .option('--since <time>', 'only those stored since: a time, or 90s, 15m, 2h, 7d ago', (text) =>
      moment(text),
    )
    .option('--from <sequence>', 'go on from this sequence', wholeNumber)
    .option('--limit <n>', 'how many at most', wholeNumber, 50)
    .option('--json', 'one JSON object a line')
    .addHelpText(
      'after',
      helpTail(
        [
          'pelton dead-letters list --since 1h',
          'pelton dead-letters list --model flight-delay --reason schema-mismatch --json',
        ],
        { failed: 'the broker does not answer, or may not be read' },
      ),
    )
    .action((options: ListArguments) => runCommand((run) => list(run, options)))
}

function showCommand(): Command {
  return new Command('show')
    .summary('show one dead letter whole: reason, history, headers, payload')
    .argument('<token-or-sequence>', 'as `dead-letters list` shows them')
    .option('--json', 'as one JSON object')
    .option('--payload', 'nothing but the bytes of the payload')
    .addHelpText(
      'after',
      helpTail(['pelton dead-letters show 17', 'pelton dead-letters show 17 --payload > event.json'], {
        failed: 'there is no such dead letter, or the broker does not answer',
      }),
    )
    .action((which: string, options: ShowArguments) => runCommand((run) => show(run, which, options)))
}

async function list(run: CommandRun, options: ListArguments): Promise<number> {
  const { terminal, signal } = run
  const { model, since, from: fromSequence } = options
  const filter = {
    ...(model !== undefined && { model }),
    ...(since !== undefined && { since }),
    ...(fromSequence !== undefined && { fromSequence }),
  }
  return withBroker(run, async ({ connection }) => {
    const rows: string[][] = [['SEQUENCE', 'FAILED AT', 'MODEL', 'REASON', 'TOKEN', 'SIZE', 'DESCRIPTION']]
    let shown = 0
    for await (const entry of browseDeadLetters(connection, filter)) {
      if (signal.aborted) break
      const facts = describeEntry(entry)
      if (options.reason !== undefined && facts.reason !== options.reason) continue
      if (++shown > options.limit) {
        terminal.note(`there are more; go on with --from ${entry.sequence}`)
        break
      }
      if (options.json === true) terminal.json(facts)
      else rows.push(toRow(entry))
    }
    if (options.json === true) return EXIT_CODES.ok
    if (rows.length === 1) terminal.note('no dead letters')
    else terminal.table(rows)
    return EXIT_CODES.ok
  })
}

function toRow(entry: DeadLetterEntry): string[] {
  const { sequence, failedAt = '', model, reason: why, token, sizeBytes, description } = describeEntry(entry)
  return [String(sequence), failedAt, model, why, token, showBytes(sizeBytes), description]
}

async function show(run: CommandRun, text: string, options: ShowArguments): Promise<number> {
  const which = readWhich(text)
  return withBroker(run, async ({ connection }) => {
    const deadLetter = await findDeadLetter(connection, which)
    if (deadLetter === undefined) {
      run.terminal.note(`pelton: there is no dead letter ${text}: it was replayed, discarded, or never was`)
      return EXIT_CODES.failed
    }
    if (options.payload === true) process.stdout.write(deadLetter.body)
    else if (options.json === true) run.terminal.json(toJson(deadLetter))
    else print(run, deadLetter)
    return EXIT_CODES.ok
  })
}

function readWhich(text: string): { readonly token: string } | { readonly sequence: number } {
  if (/^[1-9]\d{0,15}$/.test(text)) return { sequence: Number(text) }
  if (isToken(text)) return { token: text }
  throw new PeltonError('invalid-argument', 'this is neither a token nor a sequence', {
    field: 'token-or-sequence',
    value: text,
    remedy: 'Take one of `pelton dead-letters list`.',
  })
}

function toJson(deadLetter: StoredDeadLetter) {
  const { headers, body, storedAt } = deadLetter
  const history = historyOf(deadLetter)
  return {
    ...describeEntry(deadLetter),
    storedAt,
    history,
    headers: Object.fromEntries(headers),
    payload: readPayload(headers, body),
  }
}

function historyOf({ headers }: DeadLetterEntry): string[] {
  return readHeader(headers, HEADERS.history)?.split('; ') ?? []
}

function print({ terminal }: CommandRun, deadLetter: StoredDeadLetter): void {
  const { reason: why, description, ...facts } = describeEntry(deadLetter)
  terminal.print(terminal.bad(`${why}: ${description}`))
  const known = Object.entries(facts).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)]],
  )
  for (const line of alignColumns(known)) terminal.print(`  ${line}`)
  const sections: [string, readonly string[]][] = [
    ['History', historyOf(deadLetter)],
    ['Headers', [...deadLetter.headers].map(([name, value]) => `${name}: ${value}`)],
    [
      `Payload (${showBytes(deadLetter.sizeBytes)})`,
      payloadLines(readPayload(deadLetter.headers, deadLetter.body)),
    ],
  ]
  for (const [title, lines] of sections) {
    terminal.print(`\n${terminal.strong(title)}`)
    for (const line of lines) terminal.print(`  ${line}`)
  }
}

function payloadLines(payload: ShownPayload): string[] {
  if (payload.kind === 'json') return (stringify(payload.value, null, 2) ?? '').split('\n')
  if (payload.kind === 'text') return payload.text.split('\n')
  if (payload.kind === 'bytes') return [`not text; base64: ${payload.base64}`]
  return payload.tensors.map(
    ({ name, datatype, shape, first }) => `${name} ${datatype}[${shape.join(', ')}]: ${first.join(', ')} …`,
  )
}

function reason(text: string): Reason {
  if (isReason(text)) return text
  throw new InvalidArgumentError(`It must be one of ${Object.keys(REASONS).join(', ')}.`)
}
