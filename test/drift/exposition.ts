import { openMeters, type Report } from '../../shared/runtime/meters.ts'
import { METRICS, type Metric, type MetricKey, type MetricSource } from '../../shared/runtime/metrics.ts'
import { startTelemetry } from '../../shared/runtime/telemetry.ts'
import { FOREIGN_SERIES } from './exporter-series.ts'

/** Values of each label in a system that has seen everything. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  model: ['flight-delay', 'other'],
  version: ['1', '2'],
  lane: ['high', 'normal', 'low'],
  outcome: [
    'predicted',
    'already-answered',
    'dead-lettered',
    'retried',
    'returned',
    'parked',
    'handed-on',
    'held-back',
  ],
  cause: ['refused', 'missing'],
  place: ['parked', 'held-back'],
  reason: ['inference-failed', 'deadline-exceeded', 'invalid-output', 'worker-crashed', 'timed-out'],
  attempt: ['first', 'again'],
  consumer: ['worker-default-normal'],
  end: ['full', 'drained'],
  state: ['starting', 'ready', 'predicted', 'failed', 'superseded', 'under_way', 'left', 'running', 'paused'],
  stream_name: ['FEATURES', 'RETRIES', 'RESULTS', 'DEADLETTERS'],
  consumer_name: ['worker-default-normal', 'retry-default-normal'],
  kind: ['orphans', 'idle-pool'],
  limit: ['max_msgs', 'max_bytes', 'connections', 'requests'],
  protocol: ['open-inference', 'cloudevents', 'results'],
  ended: ['prediction', 'failure', 'accepted', 'timeout', 'refused', 'left'],
  'http.response.status_code': ['200', '503'],
  value: ['ok', 'unreachable'],
  cluster: ['pelton'],
  'messaging.operation.name': ['fetch', 'process', 'publish', 'ack'],
}

type Combination = Readonly<Record<string, string>>

function combinations(labels: readonly string[]): readonly Combination[] {
  return labels.reduce<readonly Combination[]>(
    (all, label) =>
      all.flatMap((one) => (VALUES[label] ?? ['x']).map((value) => ({ ...one, [label]: value }))),
    [{}],
  )
}

/** What each kind of process would answer at `/metrics` if every metric of the table had every label. */
export interface Expositions {
  readonly worker: () => Promise<string>
  readonly control: () => Promise<string>
  readonly gateway: () => Promise<string>
  readonly exporter: () => Promise<string>
  close(): Promise<void>
}

/** Fills every metric of the table through the SDK the services use. Once in a process: OpenTelemetry is global. */
export async function fillEveryMetric(): Promise<Expositions> {
  const telemetry = await startTelemetry({
    serviceName: 'pelton-drift',
    instance: 'drift',
    env: {},
    hasHttp: true,
    log: { warn: () => undefined, debug: () => undefined },
  })
  const reports = Object.entries<Metric>(METRICS).map(([key, metric]) => fill(key as MetricKey, metric))
  const scrape = async (source: MetricSource): Promise<string> => {
    for (const report of reports) report()
    return linesOf(source, (await telemetry.scrape?.()) ?? '')
  }
  return {
    worker: () => scrape('worker'),
    control: () => scrape('control'),
    gateway: () => scrape('gateway'),
    exporter: async () => exporterText(),
    close: () => telemetry.close(),
  }
}

/** @returns adds to counters and histograms; gauges are asked by the SDK */
function fill(key: MetricKey, { kind, labels, sources }: Metric): () => void {
  const meters = openMeters(sources[0] ?? 'worker')
  const every = combinations(labels)
  if (kind === 'gauge') {
    meters.gauge(key as Parameters<typeof meters.gauge>[0], (report) => {
      for (const each of every) report(1, each)
    })
    return () => undefined
  }
  const report: Report =
    kind === 'counter'
      ? meters.counter(key as Parameters<typeof meters.counter>[0])
      : meters.histogram(key as Parameters<typeof meters.histogram>[0])
  return () => {
    for (const each of every) report(1, each)
  }
}

/** The lines of the metrics a source has. */
function linesOf(source: MetricSource, text: string): string {
  const names = Object.values<Metric>(METRICS)
    .filter(({ sources }) => sources.includes(source))
    .map(({ prometheus }) => prometheus)
  const isOwn = (line: string): boolean => {
    const [, name = ''] = /^(?:# (?:HELP|TYPE) )?([\w:]+)/.exec(line) ?? []
    return names.some(
      (own) => name === own || (/^_(bucket|sum|count)$/.test(name.slice(own.length)) && name.startsWith(own)),
    )
  }
  return `${text.split('\n').filter(isOwn).join('\n')}\n`
}

/** As prometheus-nats-exporter writes it. */
function exporterText(): string {
  const own = [...FOREIGN_SERIES].filter(([name]) => /^(gnatsd|jetstream)_/.test(name))
  return own
    .flatMap(([name, labels]) => [
      `# TYPE ${name} gauge`,
      ...combinations(labels).map((each) => {
        const pairs = Object.entries(each).map(([label, value]) => `${label}="${value}"`)
        return `${name}{${pairs.join(',')}} 1`
      }),
    ])
    .join('\n')
    .concat('\n')
}
