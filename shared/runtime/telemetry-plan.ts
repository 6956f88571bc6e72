/** What of OpenTelemetry a process needs. */
export interface TelemetryPlan {
  readonly traces: boolean
  readonly otlpMetrics: boolean
  /** Metrics for `/metrics`. */
  readonly prometheus: boolean
  /** Settings that are understood and not followed, in sentences. */
  readonly problems: readonly string[]
}

const NOTHING = { traces: false, otlpMetrics: false, prometheus: false }

/**
 * Reads the standard variables. Unlike the SDK alone, nothing is sent anywhere unless an endpoint or an exporter is
 * named: a service must not knock on ports that no setting names.
 *
 * @param hasHttp whether `/metrics` is served
 */
export function planTelemetry(env: NodeJS.ProcessEnv, hasHttp: boolean): TelemetryPlan {
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === 'true') return { ...NOTHING, problems: [] }
  const problems: string[] = []
  const traces = exportersOf(env, 'TRACES', ['otlp', 'console', 'zipkin', 'none'], problems)
  const metrics = exportersOf(env, 'METRICS', ['otlp', 'prometheus', 'none'], problems)
  if (metrics.includes('prometheus') && !hasHttp)
    problems.push('OTEL_METRICS_EXPORTER = prometheus needs PELTON_HTTP_PORT, where /metrics is served')
  return {
    traces: traces.length > 0,
    otlpMetrics: metrics.includes('otlp'),
    prometheus: hasHttp,
    problems,
  }
}

function exportersOf(
  env: NodeJS.ProcessEnv,
  signal: 'TRACES' | 'METRICS',
  known: readonly string[],
  problems: string[],
): string[] {
  const variable = `OTEL_${signal}_EXPORTER`
  const endpoint = env.OTEL_EXPORTER_OTLP_ENDPOINT || env[`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`]
  const named = env[variable] || (endpoint ? 'otlp' : 'none')
  const exporters = named.split(',').map((exporter) => exporter.trim().toLowerCase())
  const unknown = exporters.filter((exporter) => !known.includes(exporter))
  if (unknown.length > 0) problems.push(`${variable} = ${unknown.join(',')}: use ${known.join(', ')}`)
  if (exporters.includes('none')) return []
  return exporters.filter((exporter) => known.includes(exporter))
}
