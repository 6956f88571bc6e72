import {
  type Context,
  type ContextManager,
  DiagLogLevel,
  diag,
  type HrTime,
  type Link,
  type SpanKind,
  TraceFlags,
  ValueType,
} from '@opentelemetry/api'
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { metrics, NodeSDK, type NodeSDKConfiguration, resources, tracing } from '@opentelemetry/sdk-node'
import { type Histogram, histograms } from './histograms.ts'
import { PREFIX_ATTRIBUTE, prometheusName } from './metrics.ts'
import { namesOfEnv } from './names-of-env.ts'
import type { TelemetryLog, TelemetryOptions } from './telemetry.ts'
import type { TelemetryPlan } from './telemetry-plan.ts'

/** The OpenTelemetry SDK of this process. Loaded only where it is needed: it costs a quarter of a second and 25 MB. */
export interface RunningSdk {
  readonly scrape: (() => Promise<string>) | undefined
  flush(): Promise<unknown>
  close(): Promise<void>
}

type Reader = metrics.IMetricReader

export async function startSdk(options: TelemetryOptions, plan: TelemetryPlan): Promise<RunningSdk> {
  const { env, serviceName, instance } = options
  const { prefix } = namesOfEnv(env)
  const metricProducers = [produceHistograms()]
  const prometheus = plan.prometheus
    ? new PrometheusExporter({ preventServerStart: true, metricProducers })
    : undefined
  const otlp = plan.otlpMetrics ? await openOtlpMetrics(env, metricProducers) : undefined
  const readers = [prometheus, otlp].filter((reader) => reader !== undefined)
  const sdk = new NodeSDK({
    resource: resources.resourceFromAttributes({
      'service.name': serviceName,
      'service.instance.id': instance,
      ...(prefix !== undefined && { [PREFIX_ATTRIBUTE]: prefix }),
    }),
    metricReaders: readers,
    logRecordProcessors: [],
    ...(plan.traces ? tracesOf(env) : { spanProcessors: [] }),
    contextManager: NO_CONTEXT,
    // The wire contract carries W3C headers and nothing else.
    textMapPropagator: null,
  })
  sdk.start()
  reportTrouble(options.log)
  return {
    scrape: prometheus && (() => scrape(prometheus)),
    flush: () => Promise.all(readers.map((reader) => reader.forceFlush())),
    close: () => sdk.shutdown(),
  }
}

const QUIET_MS = 600_000

/** The SDK reports each export that fails: one line every ten minutes says as much. */
function reportTrouble(log: TelemetryLog): void {
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

/**
 * No span is active: code that makes one below another passes it on. Following them through asynchronous calls would
 * cost every promise of the process something, on Node 20 a third of a worker's time. The types do not know `null`.
 */
const NO_CONTEXT = null as unknown as ContextManager

/** Exporters come from the environment; the sampler too, but a batch goes with its events. */
function tracesOf(env: NodeJS.ProcessEnv): Partial<NodeSDKConfiguration> {
  return {
    sampler: linkedSampler(samplerOf(env)),
    ...(env.OTEL_SPAN_LINK_COUNT_LIMIT === undefined && { spanLimits: { linkCountLimit: MOST_LINKS } }),
  }
}

/** One for each event of a batch. */
const MOST_LINKS = 1_024

/**
 * A batch has no parent, and its own throw of the dice would lose most traces half way: a span that links to a sampled
 * one is sampled.
 */
function linkedSampler(base: tracing.Sampler): tracing.Sampler {
  return {
    shouldSample(context: Context, traceId: string, name: string, kind: SpanKind, attributes, links: Link[]) {
      if (links.some((link) => (link.context.traceFlags & TraceFlags.SAMPLED) !== 0))
        return { decision: tracing.SamplingDecision.RECORD_AND_SAMPLED }
      return base.shouldSample(context, traceId, name, kind, attributes, links)
    },
    toString: () => `Linked{${base.toString()}}`,
  }
}

/** As OTEL_TRACES_SAMPLER says; the SDK keeps its own reading of it to itself. */
function samplerOf({ OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG }: NodeJS.ProcessEnv): tracing.Sampler {
  const [, isParentBased, kind] =
    /^(parentbased_)?(.*)$/.exec(OTEL_TRACES_SAMPLER || 'parentbased_always_on') ?? []
  const given = Number(OTEL_TRACES_SAMPLER_ARG || 1)
  const ratio = given >= 0 && given <= 1 ? given : 1
  const roots: Readonly<Record<string, () => tracing.Sampler>> = {
    always_off: () => new tracing.AlwaysOffSampler(),
    traceidratio: () => new tracing.TraceIdRatioBasedSampler(ratio),
  }
  const root = roots[kind ?? '']?.() ?? new tracing.AlwaysOnSampler()
  return isParentBased === undefined ? root : new tracing.ParentBasedSampler({ root })
}

/** Our own histograms in the form of the SDK. */
function produceHistograms(): metrics.MetricProducer {
  const startTime = toHrTime(Date.now())
  return {
    collect: async () => {
      const endTime = toHrTime(Date.now())
      const all = histograms().map((histogram) => toMetricData(histogram, startTime, endTime))
      const scopeMetrics = [{ scope: { name: 'pelton' }, metrics: all }]
      // The reader puts the resource of the process in its place.
      return { resourceMetrics: { resource: resources.emptyResource(), scopeMetrics }, errors: [] }
    },
  }
}

function toMetricData(
  { metric, bounds, series }: Histogram,
  startTime: HrTime,
  endTime: HrTime,
): metrics.MetricData {
  const { name, description, unit } = metric
  return {
    descriptor: { name, description, unit, valueType: ValueType.DOUBLE },
    aggregationTemporality: metrics.AggregationTemporality.CUMULATIVE,
    dataPointType: metrics.DataPointType.HISTOGRAM,
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

const OTLP_METRICS = {
  grpc: () => import('@opentelemetry/exporter-metrics-otlp-grpc'),
  'http/json': () => import('@opentelemetry/exporter-metrics-otlp-http'),
  'http/protobuf': () => import('@opentelemetry/exporter-metrics-otlp-proto'),
}

async function openOtlpMetrics(
  env: NodeJS.ProcessEnv,
  metricProducers: metrics.MetricProducer[],
): Promise<Reader> {
  const named = env.OTEL_EXPORTER_OTLP_METRICS_PROTOCOL || env.OTEL_EXPORTER_OTLP_PROTOCOL || ''
  const protocol = named in OTLP_METRICS ? (named as keyof typeof OTLP_METRICS) : 'http/protobuf'
  const { OTLPMetricExporter } = await OTLP_METRICS[protocol]()
  const everyMs = Number(env.OTEL_METRIC_EXPORT_INTERVAL || 60_000)
  const timeoutMs = Number(env.OTEL_METRIC_EXPORT_TIMEOUT || 30_000)
  return new metrics.PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter(),
    metricProducers,
    exportIntervalMillis: everyMs,
    exportTimeoutMillis: Math.min(timeoutMs, everyMs),
  })
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
