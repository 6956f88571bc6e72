import { Command } from 'commander'
import { EXIT_CODES } from '../../shared/runtime/lifecycle.ts'
import { traceSdk } from '../../shared/runtime/sdk-spans.ts'
import { startTelemetry } from '../../shared/runtime/telemetry.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { auditCommand } from './commands/audit.ts'
import { controlCommand } from './commands/control.ts'
import { deadLettersCommand } from './commands/dead-letters.ts'
import { demoCommand } from './commands/demo.ts'
import { doctorCommand } from './commands/doctor.ts'
import { modelsCommand } from './commands/models.ts'
import { provisionCommand } from './commands/provision.ts'
import { publishCommand } from './commands/publish.ts'
import { replayCommand } from './commands/replay.ts'
import { settingsCommand } from './commands/settings.ts'
import { statusCommand } from './commands/status.ts'
import { upCommand } from './commands/up.ts'
import { watchCommand } from './commands/watch.ts'

// A reader that goes away (`| head`) has seen enough.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) =>
    process.exit(error.code === 'EPIPE' ? 0 : EXIT_CODES.failed),
  )
}

// npm runs scripts in the root of the repository; paths are meant from where it was called.
const { INIT_CWD, npm_lifecycle_event: script } = process.env
if (INIT_CWD && (script === 'pelton' || script === 'start')) process.chdir(INIT_CWD)

const COMMANDS = [
  upCommand(),
  demoCommand(),
  publishCommand(),
  watchCommand(),
  statusCommand(),
  deadLettersCommand(),
  replayCommand(),
  auditCommand(),
  controlCommand(),
  modelsCommand(),
  doctorCommand(),
  provisionCommand(),
  settingsCommand(),
]

const program = new Command('pelton')
  .description(
    'Event-driven inference on NATS JetStream: every accepted event becomes a prediction or a dead letter.',
  )
  .addHelpText(
    'after',
    [
      '',
      'Examples:',
      '  $ pelton up                            # in one terminal',
      '  $ pelton publish flight-delay f.jsonl  # in another',
      '  $ pelton watch --all',
      '',
      'Results go to standard output, everything else to standard error. Settings: docs/configuration.md.',
      'Exit codes: 0 done, 1 failed, 2 arguments or settings cannot be used, 3 forced by a second Ctrl-C.',
    ].join('\n'),
  )
for (const command of COMMANDS) program.addCommand(command)
settle(program)

const telemetry = await startTelemetry({
  serviceName: 'pelton-cli',
  instance: `pelton-cli-${process.pid}`,
  env: process.env,
  hasHttp: false,
  log: { warn: tellTrouble, debug: () => undefined },
})
if (telemetry.hasTraces) traceSdk()
try {
  await program.parseAsync()
} catch (thrown) {
  process.exitCode = explain(thrown)
} finally {
  await telemetry.close()
}

function tellTrouble({ problem }: { readonly problem: string }, what: string): void {
  process.stderr.write(`pelton: ${what}: ${problem}\n`)
}

/** The same manners for every command: they are not inherited by commands that are added. */
function settle(command: Command): void {
  command.showHelpAfterError('(add --help for the options and examples)').exitOverride()
  for (const below of command.commands) settle(below)
}

/** What went wrong, in one message; commander has printed its own already. */
function explain(thrown: unknown): number {
  if (isCommanderError(thrown)) return thrown.exitCode === 0 ? EXIT_CODES.ok : EXIT_CODES.usage
  if (thrown instanceof PeltonError) {
    process.stderr.write(`pelton: ${thrown.message}\n`)
    return thrown.code === 'invalid-argument' || thrown.code === 'invalid-configuration'
      ? EXIT_CODES.usage
      : EXIT_CODES.failed
  }
  process.stderr.write(`pelton: internal: ${thrown instanceof Error ? thrown.message : String(thrown)}\n`)
  if (process.env.PELTON_LOG_LEVEL === 'debug' && thrown instanceof Error)
    process.stderr.write(`${thrown.stack}\n`)
  return EXIT_CODES.failed
}

function isCommanderError(thrown: unknown): thrown is { readonly exitCode: number } {
  return (
    thrown instanceof Error &&
    'exitCode' in thrown &&
    String((thrown as { code?: string }).code).startsWith('commander.')
  )
}
