import type { NatsConnection } from '@nats-io/transport-node'
import {
  type ConsumerSpec,
  consumerSpecs,
  DEFAULT_TOPOLOGY,
  STREAMS,
  type StreamSpec,
  streamSpecs,
  type TopologyOptions,
} from '../contract/topology.ts'
import { PeltonError, showValue } from '../errors.ts'
import { ApiRefusal, consumerInfo, patientApi, requestApi, type StreamInfo, streamInfo } from './api.ts'
import { refusedConsumer, refusedStream } from './provision-refusal.ts'

export interface ProvisionOptions {
  readonly topology?: Partial<TopologyOptions>
  /** Pools to create consumers for. @default ['default'] */
  readonly pools?: readonly string[]
  /** Told each thing that was changed or left larger than asked. */
  readonly note?: (text: string) => void
  /** Ends the wait for a broker that elects a leader: its reason is thrown. */
  readonly signal?: AbortSignal
}

/** The stream exists with another configuration. */
const NAME_IN_USE = 10058

type Config = Readonly<Record<string, unknown>>

/** Limits that may grow in place; the number is what means "no limit". */
const GROWING: Readonly<Record<string, number>> = {
  max_msgs: -1,
  max_bytes: -1,
  max_age: 0,
  max_msgs_per_subject: -1,
  max_msg_size: -1,
  num_replicas: Number.POSITIVE_INFINITY,
}

/** Settings whose change loses nothing. */
const FREE = new Set([
  'description',
  'duplicate_window',
  'ack_wait',
  'max_ack_pending',
  'max_deliver',
  'allow_direct',
  'allow_msg_ttl',
])

/**
 * Creates what is missing of Pelton's streams and consumers, and lets limits grow. Safe to run again and by several at
 * once; where those ask for different limits, one of them holds. Limits an operator made larger stay.
 *
 * @throws PeltonError `not-provisioned` when a stream or consumer differs in a way whose change could lose events, or when
 *   the account or the broker refuses one: with the setting that would help
 */
export async function provision(connection: NatsConnection, options: ProvisionOptions = {}): Promise<void> {
  const { pools = ['default'], note = () => {}, signal } = options
  const topology = { ...DEFAULT_TOPOLOGY, ...options.topology }
  const maxPayload = connection.info?.max_payload ?? 1024 * 1024
  const patiently = (act: () => Promise<void>): Promise<void> =>
    patientApi(act, { onWait: (reason) => note(`waiting for the broker: ${reason}`), signal })
  for (const spec of streamSpecs(topology, maxPayload))
    await patiently(() => provisionStream(connection, spec, note))
  for (const pool of pools) {
    for (const spec of consumerSpecs(pool, topology))
      await patiently(() => provisionConsumer(connection, spec, note))
  }
}

async function provisionStream(
  connection: NatsConnection,
  spec: StreamSpec,
  note: (text: string) => void,
): Promise<void> {
  const present = await streamInfo(connection, spec.name)
  if (present === undefined) {
    if (await createFitting(connection, spec, note)) note(`created stream ${spec.name}`)
    else await provisionStream(connection, spec, note)
    return
  }
  const wanted = { ...fitted(spec, present.config) }
  const change = planChange(`stream ${spec.name}`, present.config, wanted, note)
  if (change === undefined) return
  await orRefused(requestApi(connection, `STREAM.UPDATE.${spec.name}`, change.config), (refusal) =>
    refusedStream(spec, 'changed', refusal),
  )
  note(`changed stream ${spec.name}: ${change.summary}`)
}

/** Less is no bound worth having: a ledger of so few bytes is full within a day. */
const LEAST_LEDGER_BYTES = 16 * 1024 ** 2
/** More than the account has, than the server has, or than the account lets one stream have: by error code. */
const NO_ROOM = new Set([10023, 10047, 10122])
/** A cluster names the cause in words only; that its servers are away is another, which passes. */
const NO_PEERS = 10005

function isForRoom(thrown: unknown): boolean {
  const refusal = thrown instanceof PeltonError ? thrown.cause : undefined
  if (!(refusal instanceof ApiRefusal)) return false
  return (
    NO_ROOM.has(refusal.code) || (refusal.code === NO_PEERS && /insufficient storage/.test(refusal.message))
  )
}

/** Whether a stream may have less than it asks for: the ledger, of which nobody said how large it may be. */
function isWish(spec: StreamSpec): boolean {
  return spec.name === STREAMS.ledger && spec.max_bytes === DEFAULT_TOPOLOGY.ledgerMaxBytes
}

/** A spec as it is held against a stream that is there: a bound that was halved to fit is as good. */
export function fitted(spec: StreamSpec, present: Config): StreamSpec {
  const most = Number(present.max_bytes ?? -1)
  return isWish(spec) && most > 0 ? { ...spec, max_bytes: most } : spec
}

/** Creates a stream; one that may have less than it asks for, with as much as the broker has room for. */
async function createFitting(
  connection: NatsConnection,
  spec: StreamSpec,
  note: (text: string) => void,
): Promise<boolean> {
  for (let asked = spec; ; asked = { ...asked, max_bytes: Math.floor((asked.max_bytes ?? 0) / 2) }) {
    try {
      const isCreated = await createStream(connection, asked)
      if (isCreated && asked !== spec)
        note(
          `stream ${spec.name}: the broker has room for ${asked.max_bytes} bytes, not for ${spec.max_bytes}`,
        )
      return isCreated
    } catch (thrown) {
      if (!isForRoom(thrown) || !isWish(spec) || (asked.max_bytes ?? 0) < 2 * LEAST_LEDGER_BYTES) throw thrown
    }
  }
}

/** False where another client created it meanwhile with other limits. */
async function createStream(connection: NatsConnection, spec: StreamSpec): Promise<boolean> {
  try {
    await requestApi(connection, `STREAM.CREATE.${spec.name}`, { max_consumers: -1, ...spec })
    return true
  } catch (thrown) {
    if (thrown instanceof ApiRefusal && thrown.code === NAME_IN_USE) return false
    throw thrown instanceof ApiRefusal ? refusedStream(spec, 'created', thrown) : thrown
  }
}

async function provisionConsumer(
  connection: NatsConnection,
  spec: ConsumerSpec,
  note: (text: string) => void,
): Promise<void> {
  const { stream, ...config } = spec
  const name = config.durable_name
  const subject = `CONSUMER.CREATE.${stream}.${name}.${config.filter_subject}`
  const present = await consumerInfo(connection, stream, name)
  if (present === undefined) {
    const wanted = { stream_name: stream, config: { name, ...config } }
    await orRefused(requestApi(connection, subject, wanted), (refusal) =>
      refusedConsumer(spec, 'created', refusal),
    )
    note(`created consumer ${name}`)
    return
  }
  if (present.config.backoff !== undefined) {
    throw differs(`consumer ${name}`, 'backoff', present.config.backoff, 'none')
  }
  const change = planChange(`consumer ${name}`, present.config, config, note)
  if (change === undefined) return
  const changed = { stream_name: stream, config: change.config, action: 'update' }
  await orRefused(requestApi(connection, subject, changed), (refusal) =>
    refusedConsumer(spec, 'changed', refusal),
  )
  note(`changed consumer ${name}: ${change.summary}`)
}

/** What the account or the broker refuses is told with the way out. */
async function orRefused(
  request: Promise<unknown>,
  explain: (refusal: ApiRefusal) => PeltonError,
): Promise<void> {
  await request.catch((thrown: unknown) => {
    throw thrown instanceof ApiRefusal ? explain(thrown) : thrown
  })
}

/**
 * What to update, if anything. Pure but for its notes.
 *
 * @throws PeltonError `not-provisioned` for a difference that is neither a growing limit nor harmless
 */
export function planChange(
  what: string,
  present: Config,
  wanted: Config,
  note: (text: string) => void,
): { readonly config: Config; readonly summary: string } | undefined {
  const changes: string[] = []
  const config: Record<string, unknown> = { ...present }
  for (const [key, value] of Object.entries(wanted)) {
    const current = present[key] ?? unset(value)
    if (isSame(current, value)) continue
    const unlimited = GROWING[key]
    if (unlimited !== undefined && isLarger(current, value, unlimited)) {
      note(`${what}: ${key} stays at ${showValue(current)}, larger than ${showValue(value)}`)
      continue
    }
    if (unlimited === undefined && !FREE.has(key) && !isLedgerToRefuse(wanted, key))
      throw differs(what, key, current, value)
    config[key] = value
    changes.push(`${key} ${showValue(current)} → ${showValue(value)}`)
  }
  return changes.length === 0 ? undefined : { config, summary: changes.join(', ') }
}

/** An older Pelton had the ledger drop the oldest; without a limit but its age it never did, and refusing loses nothing. */
function isLedgerToRefuse(wanted: Config, key: string): boolean {
  return wanted.name === STREAMS.ledger && key === 'discard' && wanted.discard === 'new'
}

function unset(like: unknown): unknown {
  return typeof like === 'boolean' ? false : typeof like === 'number' ? 0 : undefined
}

function isSame(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b))
    return JSON.stringify([...a].sort()) === JSON.stringify([...b].sort())
  return a === b
}

function isLarger(current: unknown, wanted: unknown, unlimited: number): boolean {
  const size = (value: unknown): number =>
    value === unlimited || value === 0 ? Number.POSITIVE_INFINITY : Number(value)
  return size(current) > size(wanted)
}

function differs(what: string, field: string, current: unknown, wanted: unknown): PeltonError {
  return new PeltonError(
    'not-provisioned',
    `${what} differs from what Pelton needs, and changing it could lose events`,
    {
      field,
      value: `${showValue(current)}, needed ${showValue(wanted)}`,
      remedy: 'Use another account or broker, or drain and delete it by hand first.',
    },
  )
}

/** The streams a service relies on. @throws PeltonError `not-provisioned` naming the first that is missing */
export async function requireStreams(
  connection: NatsConnection,
  names: readonly string[],
): Promise<ReadonlyMap<string, StreamInfo>> {
  const found = new Map<string, StreamInfo>()
  for (const name of names) {
    const info = await streamInfo(connection, name)
    if (info === undefined) throw missing(`stream ${name}`)
    found.set(name, info)
  }
  return found
}

/** @throws PeltonError `not-provisioned` when the consumer is missing or the server would count attempts for us */
export async function requireConsumer(
  connection: NatsConnection,
  stream: string,
  name: string,
): Promise<ConsumerInfoChecked> {
  const info = await consumerInfo(connection, stream, name)
  if (info === undefined) throw missing(`consumer ${name}`)
  if (info.config.max_deliver !== -1)
    throw differs(`consumer ${name}`, 'max_deliver', info.config.max_deliver, -1)
  const { ack_wait: ackWait, max_ack_pending: maxAckPending } = info.config
  return { ackWaitMs: Number(ackWait) / 1e6, maxAckPending: unlimited(Number(maxAckPending)) }
}

/** The server's -1 is no limit. */
function unlimited(most: number): number {
  return most > 0 ? most : Number.POSITIVE_INFINITY
}

export interface ConsumerInfoChecked {
  readonly ackWaitMs: number
  /** Deliveries that may be in flight at once, over all who pull. */
  readonly maxAckPending: number
}

function missing(what: string): PeltonError {
  return new PeltonError('not-provisioned', `${what} does not exist on this broker`, {
    remedy: 'Run `pelton provision`, or `pelton up`, once.',
  })
}
