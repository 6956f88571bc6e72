import { createRequire } from 'node:module'
import { describe, expect, it } from 'vitest'
import { startTelemetry, type TelemetryOptions } from './telemetry.ts'
import { planTelemetry } from './telemetry-plan.ts'

const ENDPOINT = 'http://collector:4318'

describe('planTelemetry', () => {
  it.each<[string, NodeJS.ProcessEnv, boolean, object]>([
    ['nothing without a variable', {}, false, { traces: false, otlpMetrics: false, prometheus: false }],
    ['Prometheus with an HTTP side', {}, true, { traces: false, otlpMetrics: false, prometheus: true }],
    [
      'both by OTLP with an endpoint',
      { OTEL_EXPORTER_OTLP_ENDPOINT: ENDPOINT },
      false,
      { traces: true, otlpMetrics: true, prometheus: false },
    ],
    [
      'one of the two with its own endpoint',
      { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: ENDPOINT },
      true,
      { traces: true, otlpMetrics: false, prometheus: true },
    ],
    [
      'none where that is said',
      { OTEL_EXPORTER_OTLP_ENDPOINT: ENDPOINT, OTEL_TRACES_EXPORTER: 'none', OTEL_METRICS_EXPORTER: 'none' },
      false,
      { traces: false, otlpMetrics: false },
    ],
    ['what is named', { OTEL_TRACES_EXPORTER: 'otlp' }, false, { traces: true, otlpMetrics: false }],
    [
      'nothing with empty variables, as compose sets what nobody gave',
      {
        OTEL_EXPORTER_OTLP_ENDPOINT: '',
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: '',
        OTEL_TRACES_EXPORTER: '',
        OTEL_METRICS_EXPORTER: '',
        OTEL_SDK_DISABLED: '',
      },
      false,
      { traces: false, otlpMetrics: false, prometheus: false },
    ],
    [
      'nothing when disabled',
      { OTEL_SDK_DISABLED: 'TRUE', OTEL_EXPORTER_OTLP_ENDPOINT: ENDPOINT },
      true,
      { traces: false, otlpMetrics: false, prometheus: false },
    ],
  ])('%s', (_what, env, hasHttp, plan) => {
    expect(planTelemetry(env, hasHttp)).toMatchObject({ ...plan, problems: [] })
  })

  it('says what it does not follow, and does the rest', () => {
    const env = { OTEL_TRACES_EXPORTER: 'jaeger,otlp', OTEL_METRICS_EXPORTER: 'prometheus' }
    const { problems, ...plan } = planTelemetry(env, false)
    expect(plan).toEqual({ traces: true, otlpMetrics: false, prometheus: false })
    expect(problems).toEqual([
      'OTEL_TRACES_EXPORTER = jaeger: use otlp, console, zipkin, none',
      expect.stringContaining('PELTON_HTTP_PORT'),
    ])
  })
})

describe('startTelemetry', () => {
  const isLoaded = (): boolean =>
    Object.keys(createRequire(import.meta.url).cache).some((path) => path.includes('@opentelemetry/sdk-node'))
  const options = (env: NodeJS.ProcessEnv, hasHttp: boolean): TelemetryOptions => ({
    serviceName: 'test',
    instance: 'one',
    env,
    hasHttp,
    log: { warn: () => undefined, debug: () => undefined },
  })

  it('loads the whole SDK where something is sent only, and of it what counts for /metrics', async () => {
    const off = await startTelemetry(options({}, false))
    expect(off).toMatchObject({ hasTraces: false, hasMetrics: false, scrape: undefined })
    expect(isLoaded()).toBe(false)
    await off.close()

    const counting = await startTelemetry(options({}, true))
    expect(counting).toMatchObject({ hasTraces: false, hasMetrics: true })
    expect(await counting.scrape?.()).toMatch(/\n$/)
    expect(isLoaded()).toBe(false)
    await Promise.all([counting.close(), counting.close()])

    const sending = await startTelemetry(options({ OTEL_TRACES_EXPORTER: 'otlp' }, true))
    expect(sending).toMatchObject({ hasTraces: true, hasMetrics: true })
    expect(isLoaded()).toBe(true)
    await Promise.all([sending.close(), sending.close()])
  })
})
