import { type Context, type ContextManager, type Link, type SpanKind, TraceFlags } from '@opentelemetry/api'
import { metrics, NodeSDK, type NodeSDKConfiguration, tracing } from '@opentelemetry/sdk-node'
import type { RunningSdk, TelemetryOptions } from './telemetry.ts'
import { openPrometheus, produceHistograms, reportTrouble, resourceOf } from './telemetry-metrics.ts'
import type { TelemetryPlan } from './telemetry-plan.ts'

type Reader = metrics.IMetricReader

/** The whole OpenTelemetry SDK, with all its exporters: loaded only where something is sent. */
export async function startSdk(options: TelemetryOptions, plan: TelemetryPlan): Promise<RunningSdk> {
  const { env } = options
  const prometheus = plan.prometheus ? openPrometheus() : undefined
  const otlp = plan.otlpMetrics ? await openOtlpMetrics(env) : undefined
  const readers = [prometheus?.reader, otlp].filter((reader) => reader !== undefined)
  const sdk = new NodeSDK({
    resource: resourceOf(options),
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
    scrape: prometheus?.scrape,
    flush: () => Promise.all(readers.map((reader) => reader.forceFlush())),
    close: () => sdk.shutdown(),
  }
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

const OTLP_METRICS = {
  grpc: () => import('@opentelemetry/exporter-metrics-otlp-grpc'),
  'http/json': () => import('@opentelemetry/exporter-metrics-otlp-http'),
  'http/protobuf': () => import('@opentelemetry/exporter-metrics-otlp-proto'),
}

async function openOtlpMetrics(env: NodeJS.ProcessEnv): Promise<Reader> {
  const named = env.OTEL_EXPORTER_OTLP_METRICS_PROTOCOL || env.OTEL_EXPORTER_OTLP_PROTOCOL || ''
  const protocol = named in OTLP_METRICS ? (named as keyof typeof OTLP_METRICS) : 'http/protobuf'
  const { OTLPMetricExporter } = await OTLP_METRICS[protocol]()
  const everyMs = Number(env.OTEL_METRIC_EXPORT_INTERVAL || 60_000)
  const timeoutMs = Number(env.OTEL_METRIC_EXPORT_TIMEOUT || 30_000)
  return new metrics.PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter(),
    metricProducers: [produceHistograms()],
    exportIntervalMillis: everyMs,
    exportTimeoutMillis: Math.min(timeoutMs, everyMs),
  })
}
