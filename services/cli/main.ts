#!/usr/bin/env node
import { EXIT_CODES } from '../../shared/runtime/lifecycle.ts'
import { namesOfEnv } from '../../shared/runtime/names-of-env.ts'
import { noteLine, standardError, standardOutput } from '../../shared/runtime/standard-streams.ts'
import { startTelemetry, type Telemetry } from '../../shared/runtime/telemetry.ts'
import { namedError } from '../../shared/sdk/contract/named-error.ts'
import { messageOf, PeltonError } from '../../shared/sdk/errors.ts'
import type { ApiRefusal } from '../../shared/sdk/jetstream/api.ts'
import { createProgram } from './program.ts'

// A reader that goes away (`| head`) has seen enough.
for (const stream of [standardOutput(), standardError()]) {
  stream.on('error', (error: NodeJS.ErrnoException) =>
    process.exit(error.code === 'EPIPE' ? 0 : EXIT_CODES.failed),
  )
}

// npm runs scripts in the root of the repository; paths are meant from where it was called.
const { INIT_CWD, npm_lifecycle_event: script } = process.env
if (INIT_CWD && (script === 'pelton' || script === 'start')) process.chdir(INIT_CWD)

let telemetry: Telemetry | undefined
try {
  const program = await createProgram(process.argv.slice(2))
  await program.hook('preAction', openTelemetry).parseAsync()
} catch (thrown) {
  process.exitCode = await explain(thrown)
} finally {
  await telemetry?.close()
}

/** Before a command works; help and wrong arguments need none. */
async function openTelemetry(): Promise<void> {
  telemetry = await startTelemetry({
    serviceName: 'pelton-cli',
    instance: `pelton-cli-${process.pid}`,
    env: process.env,
    hasHttp: false,
    log: { warn: tellTrouble, debug: () => undefined },
  })
  if (telemetry.hasTraces) (await import('../../shared/runtime/sdk-spans.ts')).traceSdk()
}

function tellTrouble({ problem }: { readonly problem: string }, what: string): void {
  noteLine(`pelton: ${what}: ${problem}`)
}

/** What went wrong, in one message; commander has printed its own already. */
async function explain(thrown: unknown): Promise<number> {
  if (isCommanderError(thrown)) return thrown.exitCode === 0 ? EXIT_CODES.ok : EXIT_CODES.usage
  if (thrown instanceof PeltonError) {
    noteLine(`pelton: ${messageOf(namedError(namesOfEnv(process.env), thrown))}`)
    return thrown.code === 'invalid-argument' || thrown.code === 'invalid-configuration'
      ? EXIT_CODES.usage
      : EXIT_CODES.failed
  }
  if (thrown instanceof Error && thrown.name === 'ApiRefusal') {
    // Loaded only where it is needed.
    const { explainRefusal } = await import('../../shared/sdk/jetstream/provision-refusal.ts')
    noteLine(`pelton: ${explainRefusal(thrown as ApiRefusal).message}`)
    return EXIT_CODES.failed
  }
  noteLine(`pelton: internal: ${messageOf(thrown)}`)
  if (process.env.PELTON_LOG_LEVEL === 'debug' && thrown instanceof Error) noteLine(thrown.stack ?? '')
  return EXIT_CODES.failed
}

function isCommanderError(thrown: unknown): thrown is { readonly exitCode: number } {
  return (
    thrown instanceof Error &&
    'exitCode' in thrown &&
    String((thrown as { code?: string }).code).startsWith('commander.')
  )
}
