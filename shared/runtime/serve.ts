import type { Logger } from 'pino'
import { PeltonError } from '../sdk/errors.ts'
import { EXIT_CODES, runService, type Service, type State } from './lifecycle.ts'
import { createLogger } from './logging.ts'
import { namesOfEnv } from './names-of-env.ts'
import { noteLine } from './standard-streams.ts'
import { startTelemetry, type Telemetry } from './telemetry.ts'

/** What a service's process is before it runs, as its settings have it. */
export interface Identity {
  /** What it is: `worker` or `control`. Names its log and, with `pelton-` before it, its telemetry. */
  readonly kind: string
  /** Its own name, unique among those that run. */
  readonly name: string
  readonly logLevel: string
  /** How long a drain may take, milliseconds. */
  readonly graceMs: number
  /** Whether it has an HTTP side, where metrics can be scraped. */
  readonly hasHttp: boolean
}

/** Where the outside looks into a service: open before the broker is asked, and until everything is settled. */
export interface Outside {
  /** Where the service is in its life. */
  state: State
  close(): Promise<void>
}

/** The parts of a service's process that are its own. */
export interface Program<Settings, Out extends Outside> {
  /** @throws PeltonError `invalid-configuration` naming every setting that cannot be used */
  readonly readSettings: (env: NodeJS.ProcessEnv) => Settings
  readonly identify: (settings: Settings) => Identity
  /** @throws PeltonError `invalid-configuration` when its port cannot be had */
  readonly open: (settings: Settings, log: Logger, telemetry: Telemetry) => Promise<Out>
  /**
   * Connects and composes the service. What it throws fails the process, which its supervisor starts again. `stopping` is
   * aborted when it is to end before: what still waits for the broker throws its reason.
   */
  readonly start: (settings: Settings, log: Logger, outside: Out, stopping: AbortSignal) => Promise<Service>
}

/**
 * The whole life of a service's process: settings, log, telemetry, its outside, and the service until it has drained.
 * Tells the supervisor, where there is one, each state it enters.
 *
 * @returns the exit code: `usage` when settings cannot be used, which no further start would mend
 */
export async function serve<Settings, Out extends Outside>(program: Program<Settings, Out>): Promise<number> {
  let settings: Settings
  try {
    settings = program.readSettings(process.env)
  } catch (thrown) {
    return unusable(thrown)
  }
  const { kind, name, logLevel, graceMs, hasHttp } = program.identify(settings)
  const log = createLogger(kind, logLevel, namesOfEnv(process.env)).child({ [kind]: name })
  // Without its supervisor it drains; what it would tell it, and log, has no reader any more.
  process.on('disconnect', () => {
    log.level = 'silent'
  })
  const serviceName = `pelton-${kind}`
  const telemetry = await startTelemetry({ serviceName, instance: name, env: process.env, hasHttp, log })
  try {
    const outside = await program.open(settings, log, telemetry).catch((thrown: unknown) => unusable(thrown))
    if (typeof outside === 'number') return outside
    const onState = (state: State): void => tellState(outside, state)
    const start = (stopping: AbortSignal): Promise<Service> => program.start(settings, log, outside, stopping)
    return await runService(start, { log, graceMs, onState }).finally(() => outside.close())
  } finally {
    await telemetry.close()
  }
}

function tellState(outside: Outside, state: State): void {
  outside.state = state
  if (process.connected) process.send?.({ kind: 'state', state }, undefined, undefined, () => undefined)
}

function unusable(thrown: unknown): number {
  noteLine(thrown instanceof PeltonError ? thrown.message : String(thrown))
  return EXIT_CODES.usage
}
