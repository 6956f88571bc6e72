import { Command } from 'commander'
import { EXIT_CODES } from '../../shared/runtime/lifecycle.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { demoCommand } from './commands/demo.ts'

const program = new Command('pelton')
  .description(
    'Event-driven inference on NATS JetStream: every accepted event becomes a prediction or a dead letter.',
  )
  .showHelpAfterError('(add --help for the options and examples)')
  .exitOverride()
  .addCommand(demoCommand())

try {
  await program.parseAsync()
} catch (thrown) {
  process.exitCode = explain(thrown)
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
