import { DiagLogLevel, diag, type HrTime, metrics, ValueType } from '@opentelemetry/api'
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { emptyResource, type Resource, resourceFromAttributes } from '@opentelemetry/resources'
import {
  AggregationTemporality,
  DataPointType,
  MeterProvider,
  type MetricData,
  type MetricProducer,
} from '@opentelemetry/sdk-metrics'
import { type Histogram, histograms } from './histograms.ts'
import { PREFIX_ATTRIBUTE, prometheusName } from './metrics.ts'
import { namesOfEnv } from './names-of-env.ts'
import type { RunningSdk, TelemetryLog, TelemetryOptions } from './telemetry.ts'

/**
 * Metrics for `/metrics` and nothing that is sent: of OpenTelemetry only what counts is loaded, not the exporters of traces,
 * logs and metrics that the whole SDK brings.
 */
export function startMetrics(options: TelemetryOptions): RunningSdk {
  const { reader, scrape } = openPrometheus()
  const provider = new MeterProvider({ resource: resourceOf(options), readers: [reader] })
  metrics.setGlobalMeterProvider(provider)
  reportTrouble(options.log)
  return { scrape, flush: () => provider.forceFlush(), close: () => provider.shutdown() }
}

const QUIET_MS = 600_000

/** The SDK reports each export that fails: one line every ten minutes says as much. */
export function reportTrouble(log: TelemetryLog): void {
  let quietUntil = Number.NEGATIVE_INFINITY
  const tell = (problem: string): void => {
    const isQuiet = performance.now() < quietUntil
    if (!isQuiet) quietUntil = performance.now() + QUIET_MS
    log[isQuiet ? 'debug' : 'warn']({ problem: problem.slice(0, 300) }, 'telemetry cannot be sent')
  }
  const ignore = (): void => undefined
  const logger = { error: tell, warn: tell, info: ignore, debug: ignore, verbose: ignore }
  diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true })
}

/** What tells this process from others. */
export function resourceOf({ env, serviceName, instance }: TelemetryOptions): Resource {
  const { prefix } = namesOfEnv(env)
  return resourceFromAttributes({
    'service.name': serviceName,
    'service.instance.id': instance,
    ...(prefix !== undefined && { [PREFIX_ATTRIBUTE]: prefix }),
  })
}

/** @returns what reads the metrics, and how they are read as Prometheus text */
export function openPrometheus(): { readonly reader: PrometheusExporter; scrape(): Promise<string> } {
  const metricProducers = [produceHistograms()]
  const reader = new PrometheusExporter({ preventServerStart: true, metricProducers })
  return { reader, scrape: () => scrape(reader) }
}

/** Of the resource only this becomes a label. */
const PREFIX_ONLY = new RegExp(`^${PREFIX_ATTRIBUTE.replaceAll('.', '\\.')}$`)

/** The names of the table, which carry their units; the exporter alone would leave those out. */
async function scrape(reader: PrometheusExporter): Promise<string> {
  const { resourceMetrics } = await reader.collect()
  const scopeMetrics = resourceMetrics.scopeMetrics.map((scope) => ({
    ...scope,
    metrics: scope.metrics.map((metric) => ({
      ...metric,
      descriptor: { ...metric.descriptor, name: prometheusName(metric.descriptor.name), unit: '' },
    })),
  }))
  const serializer = new PrometheusSerializer(undefined, false, PREFIX_ONLY, true, true)
  return `${serializer.serialize({ ...resourceMetrics, scopeMetrics })}\n`
}

/** Our own histograms in the form of the SDK. */
export function produceHistograms(): MetricProducer {
  const startTime = toHrTime(Date.now())
  return {
    collect: async () => {
      const endTime = toHrTime(Date.now())
      const all = histograms().map((histogram) => toMetricData(histogram, startTime, endTime))
      const scopeMetrics = [{ scope: { name: 'pelton' }, metrics: all }]
      // The reader puts the resource of the process in its place.
      return { resourceMetrics: { resource: emptyResource(), scopeMetrics }, errors: [] }
    },
  }
}

function toMetricData({ metric, bounds, series }: Histogram, startTime: HrTime, endTime: HrTime): MetricData {
  const { name, description, unit } = metric
  return {
    descriptor: { name, description, unit, valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPointType: DataPointType.HISTOGRAM,
    dataPoints: [...series.values()].map(({ labels, counts, count, sum }) => ({
      startTime,
      endTime,
      attributes: labels,
      value: { buckets: { boundaries: [...bounds], counts: [...counts] }, count, sum },
    })),
  }
}

function toHrTime(ms: number): HrTime {
  return [Math.floor(ms / 1_000), Math.round((ms % 1_000) * 1e6)]
}
