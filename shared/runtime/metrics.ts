/** Whose process emits a metric. */
export type MetricSource = 'worker' | 'control' | 'gateway'

/** One metric: what stands in this table is emitted, and nothing else is. */
export interface Metric {
  /** Name in OpenTelemetry. */
  readonly name: string
  /** Name on `/metrics`: with unit and `_total`, as a collector would translate it. */
  readonly prometheus: string
  readonly kind: 'counter' | 'histogram' | 'gauge'
  /** UCUM: seconds, bytes, or what is counted in braces. */
  readonly unit: string
  readonly description: string
  /** Every label has few values: names of streams and served models, closed sets. */
  readonly labels: readonly string[]
  readonly sources: readonly MetricSource[]
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[]
}

/** As the conventions of OpenTelemetry ask for, those of messaging and those of HTTP. */
const CONVENTION_S = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
/** From a queue that is empty to a backlog of half an hour. */
const WAIT_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800]
const INFERENCE_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const ROWS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024]

const WORKER = ['worker'] as const
const CONTROL = ['control'] as const
const GATEWAY = ['gateway'] as const
const EVERY = ['worker', 'control', 'gateway'] as const
const MESSAGING = ['messaging.system', 'messaging.operation.name', 'messaging.destination.template'] as const
/** Of a request to an HTTP server: what is known before it is answered. */
const HTTP = ['http.request.method', 'url.scheme'] as const
/** A duration of what failed says so. */
const OPERATION = [...MESSAGING, 'error.type'] as const

/** Of the resource, and with `_` a label of every metric on `/metrics`: tells Peltons apart that share an account. */
export const PREFIX_ATTRIBUTE = 'pelton.prefix'

/** Model label of an event for a model that is not served: names from outside must not become labels. */
export const UNKNOWN_MODEL = '(unknown)'

type Kind = Metric['kind']

function define<K extends Kind>(kind: K, name: string, unit: string, description: string) {
  return { name, kind, unit, description, prometheus: translate(name, unit, kind) }
}

function counter(name: string, unit: string, description: string, labels: Names, sources: Sources) {
  return { ...define('counter', name, unit, description), labels, sources }
}

function gauge(name: string, unit: string, description: string, labels: Names, sources: Sources) {
  return { ...define('gauge', name, unit, description), labels, sources }
}

function histogram(
  name: string,
  unit: string,
  description: string,
  labels: Names,
  sources: Sources,
  buckets: readonly number[],
) {
  return { ...define('histogram', name, unit, description), labels, sources, buckets }
}

type Names = readonly string[]
type Sources = readonly MetricSource[]

const SUFFIXES: Readonly<Record<string, string>> = { s: '_seconds', By: '_bytes', '1': '_ratio' }

/** The name a collector gives a metric in Prometheus: the unit behind it, and `_total` behind a counter. */
function translate(name: string, unit: string, kind: Kind): string {
  const plain = name.replaceAll('.', '_')
  const suffix = SUFFIXES[unit] ?? ''
  const withUnit = plain.endsWith(suffix) ? plain : plain + suffix
  return kind === 'counter' ? `${withUnit}_total` : withUnit
}

/** Every metric of Pelton. docs/telemetry.md shows this table; a test holds the two together. */
export const METRICS = {
  queueWait: histogram(
    'pelton.queue.wait',
    's',
    'From being stored by the broker to being started',
    ['model', 'lane'],
    WORKER,
    WAIT_S,
  ),
  eventDuration: histogram(
    'pelton.event.duration',
    's',
    'From being stored by the broker, the first time, to the stored prediction or dead letter',
    ['model', 'lane'],
    WORKER,
    WAIT_S,
  ),
  inferenceDuration: histogram(
    'pelton.inference.duration',
    's',
    'One model call, the wait for its thread included',
    ['model', 'version', 'error.type'],
    WORKER,
    INFERENCE_S,
  ),
  batchRows: histogram(
    'pelton.batch.rows',
    '{row}',
    'Rows that shared a model call',
    ['model'],
    WORKER,
    ROWS,
  ),
  outcomes: counter(
    'pelton.outcomes',
    '{event}',
    'How deliveries ended: predicted, already-answered, dead-lettered, retried, returned, parked, handed-on, held-back; reason unless predicted',
    ['model', 'outcome', 'reason'],
    WORKER,
  ),
  shed: counter(
    'pelton.shed',
    '{event}',
    'Events that ended because of their deadline: `expired` (it had passed), `predicted` (it would have), `codel` (lane `low` stood)',
    ['model', 'lane', 'kind'],
    WORKER,
  ),
  deadlineMisses: counter(
    'pelton.deadline.misses',
    '{event}',
    'Predictions stored after the deadline of their event',
    ['model', 'lane'],
    WORKER,
  ),
  attempts: counter(
    'pelton.attempts',
    '{event}',
    'Events started to be predicted, `first` or `again`',
    ['model', 'attempt'],
    WORKER,
  ),
  ignoredFeatures: counter(
    'pelton.features.ignored',
    '{feature}',
    'Features that no input of the model takes and its manifest lets pass',
    ['model'],
    WORKER,
  ),
  pulls: counter(
    'pelton.pulls',
    '{pull}',
    'Pulls by how they ended: full, drained, too-large, lost, unavailable, cancelled',
    ['consumer', 'end'],
    WORKER,
  ),
  inFlightRows: gauge('pelton.in_flight.rows', '{row}', 'Rows held, or promised to an open pull', [], WORKER),
  inFlightBytes: gauge('pelton.in_flight.bytes', 'By', 'Bytes held, or promised to an open pull', [], WORKER),
  capacityRows: gauge('pelton.capacity.rows', '{row}', 'Rows that may be in flight', [], WORKER),
  capacityBytes: gauge('pelton.capacity.bytes', 'By', 'Bytes that may be in flight', [], WORKER),
  heldEvents: gauge('pelton.held.events', '{event}', 'Events pulled and not settled', [], WORKER),
  backlogRows: gauge(
    'pelton.backlog.rows',
    '{row}',
    'Rows that wait in the pool, as last seen in a delivery',
    ['lane'],
    WORKER,
  ),
  backlogDuration: gauge(
    'pelton.backlog.duration',
    's',
    'Waiting rows ÷ the drain rate of all workers of the pool; a day at most',
    ['lane'],
    WORKER,
  ),
  storageRefusing: gauge(
    'pelton.storage.refusing',
    '{stream}',
    '1 while a stream does not take what this worker has to store, or LEDGER is nearly full: it stops pulling',
    ['stream_name'],
    WORKER,
  ),
  modelInfo: gauge(
    'pelton.model.info',
    '{model}',
    '1 for each model version served',
    ['model', 'version'],
    WORKER,
  ),
  modelNotServable: gauge(
    'pelton.model.not_servable',
    '{model}',
    '1 while this worker cannot serve a model its pool knows: inspecting, refused, unavailable, missing, operator, breaker',
    ['model', 'cause'],
    WORKER,
  ),
  modelWaiting: gauge(
    'pelton.model.waiting.events',
    '{event}',
    'Events of a model that is not servable here: `parked` in RETRIES by this worker, or `held-back` in their stream',
    ['model', 'cause', 'place'],
    WORKER,
  ),
  laneStanding: gauge(
    'pelton.lane.standing',
    '{lane}',
    '1 while this worker takes no more of a lane, because as many events as may be are held back',
    ['consumer_name'],
    WORKER,
  ),
  conflicts: counter(
    'pelton.conflicts',
    '{event}',
    'Events whose id was answered before for another payload',
    ['model'],
    WORKER,
  ),
  redeliveries: counter(
    'pelton.redeliveries',
    '{event}',
    'Deliveries the broker had handed out before',
    ['lane'],
    WORKER,
  ),
  droppedDeliveries: counter(
    'pelton.dropped_deliveries',
    '{event}',
    'Deliveries that were not kept alive for ack_wait, because the process was stopped or unheard: others have them',
    [],
    WORKER,
  ),
  hungRuns: counter(
    'pelton.hung_runs',
    '{run}',
    'Runs in a thread beyond their time limit: the first of a model costs its process, so look at the last value',
    ['model'],
    WORKER,
  ),
  modelTimedOut: gauge(
    'pelton.model.timed_out',
    '{event}',
    'Events in a row that timed out, of each model that runs apart: from 3 on none is run',
    ['model'],
    WORKER,
  ),
  modelBreaker: gauge(
    'pelton.model.breaker',
    '{model}',
    '1 while the breaker of a model is open, because it fails on everything: none of its events is run but by probes',
    ['model'],
    WORKER,
  ),
  lifecycleState: gauge(
    'pelton.lifecycle.state',
    '{state}',
    '1 for the state the process is in: starting, ready, draining, stopped, failed',
    ['state'],
    EVERY,
  ),
  ready: gauge('pelton.ready', '{process}', '1 while `/readyz` answers 200', [], EVERY),
  brokerReachable: gauge(
    'pelton.broker.reachable',
    '{broker}',
    '1 while there is a connection to the broker',
    [],
    EVERY,
  ),
  credentialsLeft: gauge(
    'pelton.credentials.left',
    's',
    'Until what lets this process in at the broker ends: the JWT of a credentials file, a client certificate',
    ['kind'],
    EVERY,
  ),
  clockSkew: gauge('pelton.clock.skew', 's', "This machine's clock minus the broker's", [], WORKER),
  eventLoopDelayP99: gauge(
    'nodejs.eventloop.delay.p99',
    's',
    'How late timers ran since the last reading, 99th percentile',
    [],
    EVERY,
  ),
  eventLoopDelayMax: gauge(
    'nodejs.eventloop.delay.max',
    's',
    'How late timers ran since the last reading, at most',
    [],
    EVERY,
  ),
  memoryUsage: gauge('process.memory.usage', 'By', 'Resident memory of the process', [], EVERY),
  operationDuration: histogram(
    'messaging.client.operation.duration',
    's',
    'fetch: one pull, its waiting included; publish: the first outcome of a group until stored; ack: a group until settled',
    OPERATION,
    WORKER,
    CONVENTION_S,
  ),
  processDuration: histogram(
    'messaging.process.duration',
    's',
    'One batch, from its start to its last acknowledgement',
    OPERATION,
    WORKER,
    CONVENTION_S,
  ),
  consumedMessages: counter(
    'messaging.client.consumed.messages',
    '{message}',
    'Messages delivered to this worker',
    MESSAGING,
    WORKER,
  ),
  sentMessages: counter(
    'messaging.client.sent.messages',
    '{message}',
    'Messages this worker stored: predictions, failure notices, dead letters, retries',
    MESSAGING,
    WORKER,
  ),
  httpDuration: histogram(
    'http.server.request.duration',
    's',
    'One HTTP request, from its headers to the end of its answer, the wait for a prediction included; `aborted`: the caller left first',
    [...HTTP, 'http.route', 'http.response.status_code', 'error.type'],
    GATEWAY,
    CONVENTION_S,
  ),
  httpActive: gauge('http.server.active_requests', '{request}', 'HTTP requests under way', HTTP, GATEWAY),
  gatewayRequests: counter(
    'pelton.gateway.requests',
    '{request}',
    'Requests for predictions by how they ended: prediction, failure (a dead letter), accepted (answered later), timeout, refused, left (the caller)',
    ['model', 'protocol', 'ended', 'reason', 'http.response.status_code'],
    GATEWAY,
  ),
  gatewayAbandoned: counter(
    'pelton.gateway.abandoned',
    '{run}',
    'Runs for nobody: the caller left before its event was answered',
    ['model'],
    GATEWAY,
  ),
  gatewayRefused: counter(
    'pelton.gateway.refused',
    '{request}',
    'Requests that were not let in, by the limit; `enforced` false: the model is only observed, and it was let in',
    ['model', 'lane', 'limit', 'enforced'],
    GATEWAY,
  ),
  gatewayGate: gauge(
    'pelton.gateway.gate',
    '{gate}',
    'What a gate reads that lets requests in: `backlog <lane>` in seconds, `part`, which part of what comes in at all doors this one lets in, a limit of the pool in its unit',
    ['pool', 'model', 'gate'],
    GATEWAY,
  ),
  gatewayGateThreshold: gauge(
    'pelton.gateway.gate.threshold',
    '{gate}',
    'From where on a gate refuses; missing while the lane has no deadline',
    ['pool', 'model', 'gate'],
    GATEWAY,
  ),
  gatewayConnections: gauge(
    'pelton.gateway.connections',
    '{connection}',
    'Connections that are open, idle ones included',
    [],
    GATEWAY,
  ),
  gatewayInFlightRequests: gauge(
    'pelton.gateway.in_flight.requests',
    '{request}',
    'Requests that were taken and are not answered yet',
    [],
    GATEWAY,
  ),
  gatewayInFlightBytes: gauge(
    'pelton.gateway.in_flight.bytes',
    'By',
    'Bytes of bodies that are held for them',
    [],
    GATEWAY,
  ),
  gatewayLimitUsed: gauge(
    'pelton.gateway.limit.used',
    '1',
    'Share of a limit of the gateway that is used, 0 to 1: connections, requests, bytes; at 1 it refuses',
    ['limit'],
    GATEWAY,
  ),
  gatewayKeys: gauge('pelton.gateway.keys', '{key}', 'API keys that this gateway knows', [], GATEWAY),
  streamMessages: gauge(
    'jetstream.stream.total_messages',
    '{message}',
    'Messages in a stream',
    ['stream_name'],
    CONTROL,
  ),
  streamBytes: gauge('jetstream.stream.total_bytes', 'By', 'Bytes in a stream', ['stream_name'], CONTROL),
  streamLimitMessages: gauge(
    'jetstream.stream.limit_messages',
    '{message}',
    'Messages a stream may hold; -1: no limit',
    ['stream_name'],
    CONTROL,
  ),
  streamLimitBytes: gauge(
    'jetstream.stream.limit_bytes',
    'By',
    'Bytes a stream may hold; -1: no limit',
    ['stream_name'],
    CONTROL,
  ),
  streamLimitUsed: gauge(
    'pelton.stream.limit.used',
    '1',
    'Share of a limit that is used, 0 to 1: max_msgs, max_bytes, max_msgs_per_subject',
    ['stream_name', 'limit'],
    CONTROL,
  ),
  flowGateValue: gauge(
    'pelton.flow.gate.value',
    '1',
    'Share of a limit that is used, as the doors go by it: of a limit for each model, by the fullest; of RESULTS, what outcomes need for as long as they are promised',
    ['limit', 'lane'],
    CONTROL,
  ),
  flowGateThreshold: gauge(
    'pelton.flow.gate.threshold',
    '1',
    'Share of a limit from which on doors refuse events of a lane; a little less while they do',
    ['limit', 'lane'],
    CONTROL,
  ),
  consumerPending: gauge(
    'jetstream.consumer.num_pending',
    '{message}',
    'Messages a consumer has not handed out',
    ['stream_name', 'consumer_name'],
    CONTROL,
  ),
  consumerAckPending: gauge(
    'jetstream.consumer.num_ack_pending',
    '{message}',
    'Messages handed out and not acknowledged',
    ['stream_name', 'consumer_name'],
    CONTROL,
  ),
  consumerRedelivered: gauge(
    'jetstream.consumer.num_redelivered',
    '{message}',
    'Messages handed out more than once and not acknowledged',
    ['stream_name', 'consumer_name'],
    CONTROL,
  ),
  watchAlerts: gauge(
    'pelton.watch.alerts',
    '{alert}',
    'Alerts of the watch, by kind; very many of a kind are put together; 0 once it is over',
    ['kind'],
    CONTROL,
  ),
  serverSilence: gauge(
    'pelton.server.silence',
    's',
    'For how long no leader has heard of a server that holds replicas; 0 for one that leads',
    ['server_name'],
    CONTROL,
  ),
  replicaLag: gauge(
    'pelton.replica.lag',
    '{operation}',
    'Operations by which a replica of a stream, or of what a consumer of it knows, is behind its leader, at most',
    ['server_name', 'stream_name'],
    CONTROL,
  ),
  leaderless: gauge(
    'pelton.leaderless',
    '{group}',
    'A stream and its consumers, as many of them as have no leader that answers',
    ['stream_name'],
    CONTROL,
  ),
  consumerPaused: gauge(
    'pelton.consumer.paused',
    '{consumer}',
    '1 while somebody has paused a consumer',
    ['stream_name', 'consumer_name'],
    CONTROL,
  ),
  orphans: gauge(
    'pelton.orphans',
    '{event}',
    'Events no consumer will hand out: messages − Σ(pending + ack pending), while it is stable',
    ['stream_name'],
    CONTROL,
  ),
  unservedEvents: gauge(
    'pelton.pool.unserved.events',
    '{event}',
    'Events that wait for pools without a consumer',
    [],
    CONTROL,
  ),
  noticesWithoutDeadLetter: gauge(
    'pelton.notices.without_dead_letter',
    '{event}',
    'Failure notices whose dead letter is missing',
    [],
    CONTROL,
  ),
  supersededDeadLetters: gauge(
    'pelton.dead_letters.superseded',
    '{event}',
    'Dead letters of events that were predicted after all',
    [],
    CONTROL,
  ),
  deadLetters: gauge(
    'pelton.dead_letters',
    '{event}',
    'Dead letters that are kept',
    ['model', 'reason'],
    CONTROL,
  ),
  oldestResultAge: gauge(
    'pelton.result.oldest.age',
    's',
    'Age of the oldest result: less than the retention asked for means that results leave early',
    [],
    CONTROL,
  ),
  oldestEventAge: gauge(
    'pelton.event.oldest.age',
    's',
    'Age of the oldest event that waits; 0 when none does',
    [],
    CONTROL,
  ),
  auditLastClean: gauge(
    'pelton.audit.last_clean.timestamp',
    's',
    'When the last audit without a finding ended, seconds since 1970',
    [],
    CONTROL,
  ),
  auditLost: gauge(
    'pelton.audit.lost',
    '{event}',
    'Events without an outcome in the last audit, and those whose sequence FEATURES would give out again',
    [],
    CONTROL,
  ),
  replayEvents: gauge(
    'pelton.replay.events',
    '{event}',
    'Dead letters of the replay tasks under way, by how far they are',
    ['state'],
    CONTROL,
  ),
  replayTasks: gauge(
    'pelton.replay.tasks',
    '{task}',
    'Replay tasks that are not over, wherever they run: running, stalled (their process is gone), paused',
    ['state'],
    CONTROL,
  ),
  durabilityMet: gauge(
    'pelton.durability.met',
    '{promise}',
    '1 while the broker keeps what `PELTON_DURABILITY` asks: copies, writes synced; missing where it cannot be known',
    [],
    CONTROL,
  ),
} satisfies Readonly<Record<string, Metric>>

export type MetricKey = keyof typeof METRICS

/** Keys of the metrics of one kind. */
export type KeyOf<K extends Kind> = {
  [Key in MetricKey]: (typeof METRICS)[Key]['kind'] extends K ? Key : never
}[MetricKey]

const ALL: readonly Metric[] = Object.values(METRICS)
const PROMETHEUS_NAMES: ReadonlyMap<string, string> = new Map(
  ALL.map(({ name, prometheus }) => [name, prometheus]),
)

/** The name on `/metrics` of a metric of the table; others keep theirs. */
export function prometheusName(name: string): string {
  return PROMETHEUS_NAMES.get(name) ?? name
}

/** The table as Markdown, for docs/telemetry.md. */
export function metricsTable(): string {
  const rows = ALL.map(({ name, prometheus, kind, unit, labels, sources, description }) => {
    const names = labels.map((label) => `\`${label}\``).join(', ')
    return `| \`${prometheus}\` | \`${name}\` | ${kind} | \`${unit}\` | ${names} | ${sources.join(', ')} | ${description} |`
  })
  return [
    '| on `/metrics` | in OpenTelemetry | kind | unit | labels | from | what it says |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n')
}
