import { planTelemetry, type TelemetryPlan } from './telemetry-plan.ts'

/** What a service's process tells the outside of itself, beside its log. */
export interface Telemetry {
  /** Whether spans are exported: without, none should be made. */
  readonly hasTraces: boolean
  /** Whether metrics are exported or scraped: without, none should be recorded. */
  readonly hasMetrics: boolean
  /** The metrics as Prometheus text; undefined without an HTTP side. */
  readonly scrape: (() => Promise<string>) | undefined
  /** Sends the metrics as they are now; gives up after two seconds. Never rejects. */
  flush(): Promise<void>
  /** Sends everything for the last time, within the same bound. Safe to call twice. */
  close(): Promise<void>
}

/** Where it tells of itself; a pino logger is one. */
export interface TelemetryLog {
  warn(about: { readonly problem: string }, what: string): void
  debug(about: { readonly problem: string }, what: string): void
}

export interface TelemetryOptions {
  /** `pelton-worker`; OTEL_SERVICE_NAME comes before it. */
  readonly serviceName: string
  /** Tells this process from others of its service. */
  readonly instance: string
  readonly env: NodeJS.ProcessEnv
  /** Whether `/metrics` is served. */
  readonly hasHttp: boolean
  readonly log: TelemetryLog
}

/** What runs of OpenTelemetry in this process. */
export interface RunningSdk {
  readonly scrape: (() => Promise<string>) | undefined
  flush(): Promise<unknown>
  close(): Promise<void>
}

/** How long a process waits for what it has to send, milliseconds. */
const CLOSE_MS = 2_000

const OFF: Telemetry = {
  hasTraces: false,
  hasMetrics: false,
  scrape: undefined,
  flush: async () => undefined,
  close: async () => undefined,
}

/**
 * Starts OpenTelemetry as the standard `OTEL_*` variables say. Where they ask for nothing and there is no HTTP side,
 * the SDK is not even loaded, and for `/metrics` alone only what counts is: exporters of all kinds cost a fifth of a second
 * and 11 MB more. An endpoint that is down costs nothing but one log line every ten minutes: what cannot be sent is dropped
 * from a bounded queue.
 */
export async function startTelemetry(options: TelemetryOptions): Promise<Telemetry> {
  const plan = planTelemetry(options.env, options.hasHttp)
  for (const problem of plan.problems) options.log.warn({ problem }, 'a telemetry setting is not used')
  if (!plan.traces && !plan.otlpMetrics && !plan.prometheus) return OFF
  const sdk = await start(options, plan)
  let closing: Promise<void> | undefined
  return {
    hasTraces: plan.traces,
    hasMetrics: plan.otlpMetrics || plan.prometheus,
    scrape: sdk.scrape,
    flush: () => within(CLOSE_MS, sdk.flush()),
    close: () => {
      closing ??= within(CLOSE_MS, sdk.close())
      return closing
    },
  }
}

async function start(options: TelemetryOptions, plan: TelemetryPlan): Promise<RunningSdk> {
  if (plan.traces || plan.otlpMetrics) return (await import('./telemetry-sdk.ts')).startSdk(options, plan)
  return (await import('./telemetry-metrics.ts')).startMetrics(options)
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work.catch(() => undefined), late])
  clearTimeout(timer)
}
