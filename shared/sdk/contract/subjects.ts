import { PeltonError, showValue } from '../errors.ts'
import { payloadDigest } from './token.ts'

/** The priority classes of an event, in order. */
export const LANES = ['high', 'normal', 'low'] as const
export type Lane = (typeof LANES)[number]

export function isLane(value: unknown): value is Lane {
  return (LANES as readonly unknown[]).includes(value)
}

const utf8 = new TextEncoder()
/** A longer model name would not fit the broker's control line together with a token and a reply inbox. */
const MAX_SEGMENT_LENGTH = 255

const MAX_REPLY_LENGTH = 255

/** A name may begin with U+FEFF: without `ignoreBOM` the decoder would drop it, and two names would be one. */
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * A name as one segment of a subject: `[A-Za-z0-9_-]` as they are, every other byte of its UTF-8 percent-encoded.
 *
 * @param field what the error names
 * @throws PeltonError `invalid-argument` for a name that is empty, too long, or not well-formed Unicode
 */
export function encodeSegment(name: string, field = 'name'): string {
  const segment = /^[A-Za-z0-9_-]+$/.test(name) ? name : percentEncode(name)
  if (name !== '' && name.isWellFormed() && segment.length <= MAX_SEGMENT_LENGTH) return segment
  throw new PeltonError('invalid-argument', 'a name in a subject must be non-empty, well-formed text', {
    field,
    value: showValue(name),
    remedy: `Use at most ${MAX_SEGMENT_LENGTH} characters of [A-Za-z0-9_-]; others count three for each byte.`,
  })
}

function percentEncode(name: string): string {
  return [...utf8.encode(name)]
    .map((byte) => {
      const character = String.fromCharCode(byte)
      return /[A-Za-z0-9_-]/.test(character)
        ? character
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
    })
    .join('')
}

/**
 * The name behind a segment: the reverse of {@link encodeSegment}, which also reads what others encode more of than
 * they need.
 *
 * @returns `undefined` where the segment is not percent-encoded UTF-8
 */
export function decodeSegment(segment: string): string | undefined {
  if (/^[A-Za-z0-9_-]+$/.test(segment)) return segment
  if (!/^(?:[A-Za-z0-9_-]|%[0-9A-Fa-f]{2})+$/.test(segment)) return undefined
  const bytes = Buffer.from(
    segment.replace(/%([0-9A-Fa-f]{2})/g, (_match, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    ),
    'latin1',
  )
  try {
    return strictUtf8.decode(bytes)
  } catch {
    return undefined
  }
}

/** Where an event goes: the pool and model that shall predict it, and its lane. */
export interface Route {
  readonly pool: string
  readonly model: string
  readonly lane: Lane
}

/** One key for a model of a pool: names hold no control characters, so the two never run together. */
export function modelKey({ pool, model }: Pick<Route, 'pool' | 'model'>): string {
  return `${pool}\n${model}`
}

/** The key-value buckets. */
export const BUCKETS = {
  models: 'pelton-models',
  starts: 'pelton-starts',
  replays: 'pelton-replays',
  keys: 'pelton-keys',
  requests: 'pelton-requests',
} as const

/** The object store. */
export const ARTIFACTS = 'pelton-artifacts'

/** First words of the subjects of streams. */
export const ROOTS = ['features', 'retries', 'due', 'results', 'deadletters', 'ledger'] as const

/** Subjects as people and telemetry read them, with the names of their parts. */
export const SUBJECT_TEMPLATES = {
  features: 'features.{pool}.{model}.{lane}',
  due: 'due.{pool}.{model}.{lane}.{token}',
  retries: 'retries.{pool}.{model}.{lane}.{token}',
  results: 'results.{model}.{token}',
  deadLetters: 'deadletters.{model}.{token}',
} as const

/** The subject of an event with its names as they are: for people and telemetry, never for the wire. Throws nothing. */
export function showFeatureSubject({ pool, model, lane }: Route): string {
  return `features.${pool}.${model}.${lane}`
}

function routeOf({ pool, model, lane }: Route): string {
  return `${encodeSegment(pool, 'pool')}.${encodeSegment(model, 'model')}.${lane}`
}

export const subjects = {
  /** Where producers publish events. */
  feature: (route: Route): string => `features.${routeOf(route)}`,
  /** Where a worker stores a scheduled retry. */
  retry: (route: Route, token: string): string => `retries.${routeOf(route)}.${token}`,
  /** Where the broker puts a retry once it is due. */
  due: (route: Route, token: string): string => `due.${routeOf(route)}.${token}`,
  /** The register of an event's one outcome. */
  result: (model: string, token: string): string => `results.${encodeSegment(model)}.${token}`,
  deadLetter: (model: string, token: string): string => `deadletters.${encodeSegment(model)}.${token}`,
  /** The key of an event's start mark in the bucket `pelton-starts`. */
  startMark: (token: string): string => `$KV.${BUCKETS.starts}.${token}`,
  /** A record of what operators do, in the bucket `pelton-replays`. */
  replayRecord: (key: string): string => `$KV.${BUCKETS.replays}.${key}`,
  /** An API key of the gateway, in the bucket `pelton-keys`. */
  apiKey: (id: string): string => `$KV.${BUCKETS.keys}.key.${id}`,
  /** Every API key. */
  apiKeys: (): string => `$KV.${BUCKETS.keys}.key.*`,
  /** What gateways know of requests with an idempotency key while they run, in the bucket `pelton-requests`. */
  keyedRequest: (digest: string): string => `$KV.${BUCKETS.requests}.request.${digest}`,
  /** That a dead letter was superseded by its caller, who asked again. */
  supersededMark: (token: string): string => `$KV.${BUCKETS.requests}.superseded.${token}`,
  /** What gateways sign with. */
  gatewaySecret: (): string => `$KV.${BUCKETS.requests}.secret`,
  /**
   * Where an audit is signed off. Its key has two segments and that of a model three, so that no model's name is in its
   * way in the bucket `pelton-models`.
   */
  auditFloor: (): string => `$KV.${BUCKETS.models}.audit.floor`,
  /** What a pool knows of a model, in the bucket `pelton-models`. */
  modelRecord: (pool: string, model: string): string =>
    `$KV.${BUCKETS.models}.model.${encodeSegment(pool, 'pool')}.${encodeSegment(model, 'model')}`,
  /** That a worker of a pool is alive, in the bucket `pelton-models`. */
  workerPresence: (pool: string, worker: string): string =>
    `$KV.${BUCKETS.models}.worker.${encodeSegment(pool, 'pool')}.${encodeSegment(worker, 'worker')}`,
  /** Presence of the workers of all pools. */
  workerPresences: (): string => `$KV.${BUCKETS.models}.worker.*.*`,
  /** All that the bucket `pelton-models` holds of a pool: records of its models, presence of its workers. */
  poolRecords: (pool: string): string => `$KV.${BUCKETS.models}.*.${encodeSegment(pool, 'pool')}.*`,
  /** The same of all pools. */
  allPoolRecords: (): string => `$KV.${BUCKETS.models}.*.*.*`,
  ledger: (pool: string): string => `ledger.${encodeSegment(pool)}`,
  /** Where the processes of a pool say how busy they are with a model: core NATS, no stream. */
  flow: (pool: string, model: string): string =>
    `pelton.flow.${encodeSegment(pool, 'pool')}.${encodeSegment(model, 'model')}`,
  /** What the consumers of a pool's lane select. Never changes for the life of a consumer. */
  featureFilter: (pool: string, lane: Lane): string => `features.${encodeSegment(pool)}.*.${lane}`,
  dueFilter: (pool: string, lane: Lane): string => `due.${encodeSegment(pool)}.*.${lane}.*`,
  /** Every event of every pool. */
  allFeatures: (): string => 'features.>',
  /** What waits for its time in the retry lane, of one model of a pool. */
  retryFilter: (pool: string, model: string): string =>
    `retries.${encodeSegment(pool, 'pool')}.${encodeSegment(model, 'model')}.*.*`,
  /** Every retry that is due, and none that still waits for its time. */
  allDue: (): string => 'due.>',
  /** The ledger of every pool. */
  allLedger: (): string => 'ledger.*',
  /** Results of one model, or of all of them. */
  resultFilter: (model?: string): string => `results.${model === undefined ? '*' : encodeSegment(model)}.*`,
  /** Dead letters of one model, or of all of them. */
  deadLetterFilter: (model?: string): string =>
    `deadletters.${model === undefined ? '*' : encodeSegment(model)}.*`,
  /** The register of an event whose model is not known. */
  resultOf: (token: string): string => `results.*.${token}`,
  /** The dead letter of an event whose model is not known. */
  deadLetterOf: (token: string): string => `deadletters.*.${token}`,
  /** What the broker says when it gives up on an event of a stream. */
  advisories: (stream: string): readonly string[] =>
    ['MAX_DELIVERIES', 'MSG_TERMINATED'].map((kind) => `$JS.EVENT.ADVISORY.CONSUMER.${kind}.${stream}.>`),
} as const

/** Where {@link subjects.flow} is; `undefined` for a name that fits no subject: then no door sends its events. Throws nothing. */
export function flowSubject(pool: string, model: string): string | undefined {
  try {
    return subjects.flow(pool, model)
  } catch {
    return undefined
  }
}

/** The token that ends the subject of a retry, a result or a dead letter. Checks nothing: for subjects that a stream holds. */
export function tokenOfSubject(subject: string): string {
  return subject.slice(subject.lastIndexOf('.') + 1)
}

/**
 * Reads the route of an event from the subject it was stored under (`features.…` or `due.…`).
 * A segment that does not decode stands for itself. One that is too long for the subject of an outcome stands for its
 * digest, so that such an event still ends as a dead letter.
 */
export function readRoute(subject: string): Route | undefined {
  const known = routes.get(subject)
  if (known !== undefined) return known
  const route = parseRoute(subject)
  // Subjects of `due.…` have a token each, and are met once.
  if (route !== undefined && subject.startsWith('features.')) remember(subject, route)
  return route
}

/** Routes by subject: producers use few, and who makes many up has them read anew. */
const routes = new Map<string, Route>()
const MOST_ROUTES = 4_096

function remember(subject: string, route: Route): void {
  if (routes.size >= MOST_ROUTES) routes.clear()
  routes.set(subject, route)
}

function parseRoute(subject: string): Route | undefined {
  const [root, pool, model, lane] = subject.split('.')
  if (root !== 'features' && root !== 'due') return undefined
  if (pool === undefined || model === undefined || lane === undefined || !isLane(lane)) return undefined
  return { pool: decodeSegment(pool) ?? pool, model: readModel(model), lane }
}

function readModel(segment: string): string {
  const name = decodeSegment(segment) ?? segment
  // What any client may put into a subject as it is can take three times its length once it is encoded.
  const isTooLong = Math.max(segment.length, percentEncode(name).length) > MAX_SEGMENT_LENGTH
  return isTooLong ? `too-long-${payloadDigest(utf8.encode(segment))}` : name
}

/** Reads model and token from a `results.…` or `deadletters.…` subject. */
export function readOutcomeSubject(
  subject: string,
): { readonly model: string; readonly token: string } | undefined {
  const [root, model, token, ...rest] = subject.split('.')
  if ((root !== 'results' && root !== 'deadletters') || rest.length > 0) return undefined
  if (model === undefined || token === undefined) return undefined
  return { model: decodeSegment(model) ?? model, token }
}

/** Whose record lies under a subject of {@link subjects.poolRecords}; `undefined` for what is none. */
export function readPoolRecord(
  subject: string,
): { readonly kind: 'model' | 'worker'; readonly pool: string; readonly name: string } | undefined {
  const [root, bucket, kind, of = '', segment, ...rest] = subject.split('.')
  if (root !== '$KV' || bucket !== BUCKETS.models || segment === undefined || rest.length > 0)
    return undefined
  const name = decodeSegment(segment)
  const pool = decodeSegment(of)
  if ((kind !== 'model' && kind !== 'worker') || name === undefined || pool === undefined) return undefined
  return { kind, pool, name }
}

/** Below what reply inboxes lie, where nothing else is said. */
export const REPLY_ROOTS: readonly string[] = ['_INBOX', '_pelton.reply']

const BELOW_ROOT = /^(?:\.[A-Za-z0-9_$=-]+)+$/

/**
 * Whether a worker may publish a wake-up to `subject`: only reply inboxes, or a producer could make it publish anywhere.
 *
 * @param roots below what inboxes lie
 */
export function isReplySubject(subject: string, roots = REPLY_ROOTS): boolean {
  if (subject.length > MAX_REPLY_LENGTH) return false
  return roots.some((root) => subject.startsWith(root) && BELOW_ROOT.test(subject.slice(root.length)))
}
