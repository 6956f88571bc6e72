import { userInfo } from 'node:os'
import type { NatsConnection } from '@nats-io/transport-node'
import { Command, InvalidArgumentError } from 'commander'
import { type Audited, audit } from '../../../shared/operations/audit/audit.ts'
import { declarePurged } from '../../../shared/operations/audit/declare-purged.ts'
import { writeFloor } from '../../../shared/operations/audit/floor.ts'
import type { AuditReport } from '../../../shared/operations/audit/report.ts'
import { reportLines } from '../../../shared/operations/audit/report-lines.ts'
import { marksFolder } from '../../../shared/operations/broker/operator-settings.ts'
import type { UsedBroker } from '../../../shared/operations/broker/running-broker.ts'
import { parseRanges, type SequenceRange } from '../../../shared/operations/broker/sequence-set.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { namesOfEnv } from '../../../shared/runtime/names-of-env.ts'
import { showCount } from '../../../shared/runtime/quantities.ts'
import { sanitizeHeaderValue } from '../../../shared/sdk/contract/headers.ts'
import type { Names } from '../../../shared/sdk/contract/names.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { withBroker } from '../broker.ts'
import { type CommandRun, helpTail, runCommand } from '../command-run.ts'
import type { Terminal } from '../terminal.ts'

interface AuditArguments {
  readonly deep?: boolean
  readonly full?: boolean
  readonly json?: boolean
  readonly signOff?: boolean
  readonly purged?: readonly SequenceRange[]
  readonly reason?: string
}

export function auditCommand(): Command {
  return new Command('audit')
    .summary('prove that every accepted event has its outcome, or still waits')
    .description(
      'Holds the ledger against what is stored, to the sequence. Works while producers and workers go on. Changes\n' +
        'nothing, but with --sign-off and --purged.',
    )
    .option(
      '--deep',
      'read the results and dead letters too: there, once, as the ledger says; implies --full',
    )
    .option('--full', 'start from the first event, not from the signed-off floor')
    .option('--sign-off', 'if nothing is lost, sign for the rest, and let later audits start from here')
    .option('--purged <sequences>', 'enter lost sequences as removed by an operator: 17,40-44', sequences)
    .option('--reason <text>', 'why they were removed; needed with --purged')
    .option('--json', 'the report as one JSON object')
    .addHelpText(
      'after',
      helpTail(
        [
          'pelton audit',
          'pelton audit --sign-off',
          'pelton audit --deep --json | jq .lost',
          'pelton audit --purged 17,40-44 --reason "test events, ticket 4711"',
        ],
        {
          ok: 'every event is accounted for',
          failed:
            'events without an outcome, contradictions, or what cannot be proven and nobody signed off; or the broker does not answer',
        },
      ),
    )
    .action((options: AuditArguments) =>
      runCommand((run) => withBroker(run, (broker) => runAudit(run, broker, options))),
    )
}

async function runAudit(
  run: CommandRun,
  { connection, monitorUrls }: UsedBroker,
  options: AuditArguments,
): Promise<number> {
  const { deep = false, full = false, purged, reason } = options
  if ((purged === undefined) !== (reason === undefined)) throw needsBoth()
  const { signal, terminal } = run
  const look = (): Promise<Audited> =>
    audit(connection, {
      deep,
      full: full || deep,
      outside: { marksFolder: marksFolder(run.env), monitorUrls },
      signal,
      ...(terminal.isInteractive && { progress: (text) => terminal.progress(text) }),
    })
  let audited = await look()
  if (purged !== undefined) {
    const by = `operator ${userName()}: ${sanitizeHeaderValue(reason ?? '')}`
    const count = await declarePurged(connection, audited.report, purged, by)
    terminal.note(`entered ${showCount(count)} events as purged, by ${by}`)
    audited = await look()
  }
  print(run, audited, options)
  const isSigned = options.signOff === true && (await signOff(run, connection, audited))
  return audited.report.clean || isSigned ? EXIT_CODES.ok : EXIT_CODES.failed
}

function print({ terminal, env }: CommandRun, { report }: Audited, { json = false }: AuditArguments): void {
  if (json) terminal.json(report)
  else printReport(terminal, report, namesOfEnv(env))
}

/** A report for people, in colours where there are any. */
export function printReport(terminal: Terminal, report: AuditReport, names: Pick<Names, 'text'>): void {
  const { good, warn, bad } = terminal
  const styles = { plain: (text: string) => text, good, warn, bad }
  for (const { level, text } of reportLines(report)) terminal.print(styles[level](names.text(text)))
}

async function signOff(
  { terminal, env }: CommandRun,
  connection: NatsConnection,
  { report, floor, revision }: Audited,
): Promise<boolean> {
  if (floor === undefined) {
    terminal.note('not signed off: only an audit that finds nothing wrong can be')
    return false
  }
  await writeFloor(connection, floor, revision)
  for (const doubt of report.doubts) terminal.note(`signed for: ${namesOfEnv(env).text(doubt)}`)
  terminal.note(`signed off: the next audit starts from sequence ${showCount(floor.sequence)}`)
  return true
}

function sequences(text: string): readonly SequenceRange[] {
  const ranges = parseRanges(text)
  if (ranges === undefined) throw new InvalidArgumentError('It must be sequences like 17,40-44.')
  return ranges
}

function needsBoth(): PeltonError {
  return new PeltonError('invalid-argument', '--purged and --reason belong together', {
    field: '--reason',
    remedy: 'Say which sequences, and why they were removed.',
  })
}

/** The user who runs this command, where the system knows one. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return 'unknown'
  }
}
