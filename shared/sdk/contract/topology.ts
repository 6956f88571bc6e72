import { PeltonError } from '../errors.ts'
import { ARTIFACTS, BUCKETS, LANES, type Lane, subjects } from './subjects.ts'

/** The oldest nats-server Pelton runs on: scheduled messages, consumer reset, work-queue fixes. */
export const MINIMUM_SERVER = '2.14.0'

/** Room kept below the server's `max_payload` for the headers of a retry or dead-letter copy, bytes. */
export const COPY_HEADROOM_BYTES = 16 * 1024

/** Room an event leaves in FEATURES for what a replay of it adds: its dead letter must fit in there again, bytes. */
export const REPLAY_HEADROOM_BYTES = 1024

export const STREAMS = {
  features: 'FEATURES',
  retries: 'RETRIES',
  results: 'RESULTS',
  deadLetters: 'DEADLETTERS',
  ledger: 'LEDGER',
  advisories: 'ADVISORIES',
} as const

/** The streams behind key-value buckets. */
export const STORES = {
  models: `KV_${BUCKETS.models}`,
  starts: `KV_${BUCKETS.starts}`,
  replays: `KV_${BUCKETS.replays}`,
  keys: `KV_${BUCKETS.keys}`,
  requests: `KV_${BUCKETS.requests}`,
} as const

/** The stream behind the object store. */
export const ARTIFACTS_STREAM = `OBJ_${ARTIFACTS}`

/**
 * The part of each bound of FEATURES from which on doors refuse a lane; what is above is left to those before it, and all of it
 * to `high`: there the stream itself is the wall.
 */
export const STOPS_AT: Readonly<Record<'normal' | 'low', number>> = { normal: 0.85, low: 0.6 }

/** Events of one model and lane that may wait, where nobody said how many. */
const MOST_PER_SUBJECT = 500_000

/** Limits an operator may set. Sizes in bytes, times in milliseconds. */
export interface TopologyOptions {
  /** Copies of each stream in a cluster. @default 1 */
  readonly replicas: number
  /** Events that may wait. @default 1_000_000 */
  readonly featuresMaxMessages: number
  /** Bytes of events that may wait. @default 4 GiB */
  readonly featuresMaxBytes: number
  /**
   * Events of one model and lane that may wait: less than {@link STOPS_AT} `low` of all.
   * @default half of `featuresMaxMessages`, 500_000 at most
   */
  readonly featuresMaxPerSubject: number | undefined
  /**
   * Bytes RETRIES may have, of which workers keep a quarter filled at most. @default none; where the account wants a bound,
   * as for the four below: docs/provisioning.md
   */
  readonly retriesMaxBytes: number | undefined
  /** How long results are kept. @default 24 h */
  readonly resultsMaxAgeMs: number
  /** Results kept at most: each costs about 0.45 KB of broker memory. @default 5_000_000 */
  readonly resultsMaxMessages: number
  /** Bytes of results kept at most; beyond it the oldest go. @default none */
  readonly resultsMaxBytes: number | undefined
  /** Dead letters kept at most; beyond it the stream refuses, it never drops. @default 10_000_000 */
  readonly deadLettersMaxMessages: number
  /** Bytes of dead letters kept at most, likewise. @default none */
  readonly deadLettersMaxBytes: number | undefined
  /** How long the ledger is kept: longer than anything it accounts for. @default 30 d */
  readonly ledgerMaxAgeMs: number
  /**
   * Bytes the ledger may have; beyond it the stream refuses, and workers stop. The default is a wish: where the broker has
   * no room for it, it is halved until it fits. @default 32 GiB: five million events a day, each settled by itself
   */
  readonly ledgerMaxBytes: number
  /** Bytes each bucket may have. @default none */
  readonly bucketsMaxBytes: number | undefined
  /** How long a worker may hold a delivery without a sign of life. @default 30 s */
  readonly ackWaitMs: number
  /** Deliveries a pool's lane may have in flight over all workers. @default 20_000 */
  readonly maxAckPending: number
}

export const DEFAULT_TOPOLOGY: TopologyOptions = {
  replicas: 1,
  featuresMaxMessages: 1_000_000,
  featuresMaxBytes: 4 * 1024 ** 3,
  featuresMaxPerSubject: undefined,
  retriesMaxBytes: undefined,
  resultsMaxAgeMs: 24 * 3_600_000,
  resultsMaxMessages: 5_000_000,
  resultsMaxBytes: undefined,
  deadLettersMaxMessages: 10_000_000,
  deadLettersMaxBytes: undefined,
  ledgerMaxAgeMs: 30 * 24 * 3_600_000,
  ledgerMaxBytes: 32 * 1024 ** 3,
  bucketsMaxBytes: undefined,
  ackWaitMs: 30_000,
  maxAckPending: 20_000,
}

/** A stream as the JetStream API takes it: durations in nanoseconds, -1 for no limit. */
export interface StreamSpec {
  readonly name: string
  readonly description: string
  readonly subjects: readonly string[]
  readonly retention: 'workqueue' | 'limits'
  readonly discard: 'new' | 'old'
  readonly num_replicas: number
  readonly storage: 'file'
  readonly max_msgs?: number
  readonly max_bytes?: number
  readonly max_age?: number
  readonly max_msgs_per_subject?: number
  readonly discard_new_per_subject?: boolean
  readonly max_msg_size?: number
  readonly duplicate_window?: number
  readonly allow_msg_schedules?: boolean
  readonly allow_rollup_hdrs?: boolean
  readonly allow_direct?: boolean
  readonly allow_msg_ttl?: boolean
  readonly deny_delete?: boolean
}

export interface ConsumerSpec {
  readonly stream: string
  readonly durable_name: string
  readonly filter_subject: string
  readonly ack_policy: 'explicit'
  readonly ack_wait: number
  readonly max_deliver: -1
  readonly max_ack_pending: number
  readonly max_waiting: number
}

const NANOS_PER_MS = 1_000_000

type Common = Pick<StreamSpec, 'num_replicas' | 'storage'>

/**
 * Every stream and store of Pelton (design of the wire contract: docs/protocol.md).
 *
 * @param maxPayloadBytes the server's `max_payload`
 * @throws PeltonError `not-provisioned` where `max_payload` leaves no room for events
 */
export function streamSpecs(options: TopologyOptions, maxPayloadBytes: number): readonly StreamSpec[] {
  const common: Common = { num_replicas: options.replicas, storage: 'file' }
  return [
    featuresSpec(common, options, maxPayloadBytes),
    {
      ...common,
      name: STREAMS.retries,
      description: 'Events waiting for another attempt, and those that are due',
      subjects: ['retries.*.*.*.*', 'due.*.*.*.*'],
      retention: 'workqueue',
      discard: 'old', // the server takes no schedules with `new`: workers keep it well below its bound
      allow_msg_schedules: true,
      ...bounded(options.retriesMaxBytes),
    },
    ...outcomeSpecs(common, options),
    advisoriesSpec(common),
    ...storeSpecs(common, options),
    ledgerSpec(common, options), // last: it may take all the room that is left
  ]
}

/** No limit in bytes is one that is not named. */
function bounded(maxBytes: number | undefined): Pick<StreamSpec, 'max_bytes'> {
  return maxBytes === undefined ? {} : { max_bytes: maxBytes }
}

function featuresSpec(common: Common, options: TopologyOptions, maxPayloadBytes: number): StreamSpec {
  if (maxPayloadBytes < 2 * COPY_HEADROOM_BYTES) {
    throw new PeltonError('not-provisioned', "the broker's max_payload leaves no room for events", {
      field: 'max_payload',
      value: String(maxPayloadBytes),
      remedy: `Set it to ${2 * COPY_HEADROOM_BYTES} bytes or more.`,
    })
  }
  return {
    ...common,
    name: STREAMS.features,
    description: 'Feature events waiting to be predicted',
    subjects: LANES.map((lane) => `features.*.*.${lane}`),
    retention: 'workqueue',
    discard: 'new',
    max_msgs: options.featuresMaxMessages,
    max_bytes: options.featuresMaxBytes,
    max_msgs_per_subject: perSubject(options),
    discard_new_per_subject: true,
    max_msg_size: maxPayloadBytes - COPY_HEADROOM_BYTES,
    duplicate_window: 30_000 * NANOS_PER_MS,
  }
}

/**
 * Events of one model and lane that may wait: so few that one model's `low` alone does not shut all doors to that lane. One at
 * least, also in a stream of one.
 *
 * @throws PeltonError `invalid-configuration` where more was asked for
 */
function perSubject({ featuresMaxMessages: all, featuresMaxPerSubject: asked }: TopologyOptions): number {
  if (asked === undefined) return Math.max(1, Math.min(MOST_PER_SUBJECT, Math.floor(all / 2)))
  const most = Math.max(1, Math.ceil(all * STOPS_AT.low) - 1)
  if (asked <= most) return asked
  throw new PeltonError(
    'invalid-configuration',
    'events of one model alone would stop lane low of all models',
    {
      field: 'PELTON_FEATURES_MAX_PER_SUBJECT',
      value: String(asked),
      remedy: `Set it to ${most} or less (below ${100 * STOPS_AT.low} % of PELTON_FEATURES_MAX_MESSAGES, now ${all}), or leave it out.`,
    },
  )
}

function outcomeSpecs(common: Common, options: TopologyOptions): readonly StreamSpec[] {
  return [
    {
      ...common,
      name: STREAMS.results,
      description: 'The one outcome of each event',
      subjects: ['results.*.*'],
      retention: 'limits',
      discard: 'old',
      max_age: options.resultsMaxAgeMs * NANOS_PER_MS,
      max_msgs: options.resultsMaxMessages,
      ...bounded(options.resultsMaxBytes),
    },
    {
      ...common,
      name: STREAMS.deadLetters,
      description: 'Events Pelton gave up on, kept until replayed or discarded',
      subjects: ['deadletters.*.*'],
      retention: 'limits',
      discard: 'new',
      max_msgs: options.deadLettersMaxMessages,
      max_msgs_per_subject: 1,
      ...bounded(options.deadLettersMaxBytes),
    },
  ]
}

function ledgerSpec(common: Common, options: TopologyOptions): StreamSpec {
  return {
    ...common,
    name: STREAMS.ledger,
    description: 'How each delivery ended, one message per settled batch',
    subjects: ['ledger.*'],
    retention: 'limits',
    discard: 'new', // what is dropped would look lost to the audit
    max_age: options.ledgerMaxAgeMs * NANOS_PER_MS,
    max_bytes: options.ledgerMaxBytes,
  }
}

function advisoriesSpec(common: Common): StreamSpec {
  return {
    ...common,
    name: STREAMS.advisories,
    description: 'What the broker said when a consumer gave up on an event: for people, no process reads it',
    subjects: subjects.advisories(STREAMS.features),
    retention: 'limits',
    discard: 'old',
    max_age: 7 * 24 * 3_600_000 * NANOS_PER_MS,
    max_msgs: 100_000,
  }
}

/** Key-value buckets and the object store, as the streams they are (ADR-8, ADR-20). */
function storeSpecs(common: Common, { bucketsMaxBytes }: TopologyOptions): readonly StreamSpec[] {
  const store = {
    ...common,
    retention: 'limits',
    discard: 'new',
    allow_rollup_hdrs: true,
    allow_direct: true,
  } as const
  const bucket = (name: string, description: string, history: number, maxAgeMs = 0): StreamSpec => ({
    ...store,
    name: `KV_${name}`,
    description,
    subjects: [`$KV.${name}.>`],
    max_msgs_per_subject: history,
    deny_delete: true,
    ...bounded(bucketsMaxBytes),
    ...(maxAgeMs > 0 && { max_age: maxAgeMs * NANOS_PER_MS }),
  })
  return [
    {
      ...bucket(
        BUCKETS.models,
        'What each pool serves, which workers are alive, what the last audit signed off',
        16,
      ),
      allow_msg_ttl: true, // the presence of a worker ends by itself
    },
    {
      ...bucket(BUCKETS.starts, 'Start marks of events suspected of ending their worker', 1, 24 * 3_600_000),
      allow_msg_ttl: true, // that an event was handed on is of use for minutes
    },
    bucket(BUCKETS.replays, 'Replay tasks, and who holds which dead letter', 8),
    bucket(BUCKETS.keys, 'API keys of the gateway, hashed', 4),
    {
      ...bucket(
        BUCKETS.requests,
        'Requests with an idempotency key while they run; dead letters superseded',
        1,
      ),
      allow_msg_ttl: true, // each entry is of use for its time
    },
    {
      ...store,
      name: ARTIFACTS_STREAM,
      description: 'Reserved for model files by SHA-256: nothing writes here yet',
      subjects: [`$O.${ARTIFACTS}.C.>`, `$O.${ARTIFACTS}.M.>`],
    },
  ]
}

/** The durable consumers of one pool: per lane one on FEATURES and one on RETRIES. */
export function consumerSpecs(pool: string, options: TopologyOptions): readonly ConsumerSpec[] {
  const common = {
    ack_policy: 'explicit',
    ack_wait: options.ackWaitMs * NANOS_PER_MS,
    max_deliver: -1,
    max_ack_pending: options.maxAckPending,
    max_waiting: 512,
  } as const
  return LANES.flatMap((lane) => [
    { ...common, ...featureConsumer(pool, lane), filter_subject: subjects.featureFilter(pool, lane) },
    { ...common, ...dueConsumer(pool, lane), filter_subject: subjects.dueFilter(pool, lane) },
  ])
}

export function featureConsumer(pool: string, lane: Lane): Pick<ConsumerSpec, 'stream' | 'durable_name'> {
  return { stream: STREAMS.features, durable_name: `worker-${encodeConsumerName(pool)}-${lane}` }
}

export function dueConsumer(pool: string, lane: Lane): Pick<ConsumerSpec, 'stream' | 'durable_name'> {
  return { stream: STREAMS.retries, durable_name: `retry-${encodeConsumerName(pool)}-${lane}` }
}

function encodeConsumerName(pool: string): string {
  return subjects.ledger(pool).slice('ledger.'.length)
}
