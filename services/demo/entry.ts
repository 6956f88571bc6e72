import { EXIT_CODES } from '../../shared/runtime/lifecycle.ts'
import { traceSdk } from '../../shared/runtime/sdk-spans.ts'
import { noteLine } from '../../shared/runtime/standard-streams.ts'
import { startTelemetry, type Telemetry } from '../../shared/runtime/telemetry.ts'
import { messageOf, PeltonError } from '../../shared/sdk/errors.ts'

/**
 * Runs one side of the demo as a process of its own: with telemetry as the `OTEL_*` variables ask for it, so that a trace
 * begins at the producer and ends at the subscriber, and with an exit code that tells wrong settings from a failure.
 *
 * @param side `producer` or `subscriber`: how messages and spans name it
 * @param main resolves with the exit code
 */
export async function runEntry(side: string, main: () => Promise<number>): Promise<void> {
  const telemetry = await openTelemetry(side)
  process.exitCode = await main().catch((thrown: unknown) => {
    tell(side, messageOf(thrown))
    return thrown instanceof PeltonError && thrown.code.startsWith('invalid')
      ? EXIT_CODES.usage
      : EXIT_CODES.failed
  })
  await telemetry.close()
}

async function openTelemetry(side: string): Promise<Telemetry> {
  const serviceName = `pelton-demo-${side}`
  const telemetry = await startTelemetry({
    serviceName,
    instance: `${serviceName}-${process.pid}`,
    env: process.env,
    hasHttp: false,
    log: { warn: ({ problem }, what) => tell(side, `${what}: ${problem}`), debug: () => undefined },
  })
  if (telemetry.hasTraces) traceSdk()
  return telemetry
}

function tell(side: string, text: string): void {
  noteLine(`demo ${side}: ${text}`)
}
