import type { NatsConnection } from '@nats-io/transport-node'
import { namedError } from '../contract/named-error.ts'
import {
  type ConsumerSpec,
  consumerSpecs,
  DEFAULT_TOPOLOGY,
  type StreamSpec,
  streamSpecs,
  type TopologyOptions,
} from '../contract/topology.ts'
import { PeltonError } from '../errors.ts'
import {
  ApiRefusal,
  consumerAtBroker,
  consumerInfo,
  lastOfSubject,
  NOT_FOUND,
  patientApi,
  requestApi,
  type StreamInfo,
  streamAtBroker,
  streamInfo,
} from './api.ts'
import { namedConfig } from './api-names.ts'
import { isForeign, nameTaken } from './foreign-stream.ts'
import { namesOf } from './names-of.ts'
import { notOnBroker } from './not-on-broker.ts'
import { differs, fitted, planChange, planConsumerChange } from './plan-change.ts'
import { readFound } from './provision-found.ts'
import { type PlannedStream, planProvision } from './provision-plan.ts'
import { explained, refusedConsumer, refusedPlan, refusedStream } from './provision-refusal.ts'

export interface ProvisionOptions {
  readonly topology?: Partial<TopologyOptions>
  /** Pools to create consumers for. @default ['default'] */
  readonly pools?: readonly string[]
  /** Told each thing that was changed or left larger than asked. */
  readonly note?: (text: string) => void
  /** Tells each thing that would be made or changed, and leaves it at that. @default false */
  readonly isDry?: boolean
  /** Ends the wait for a broker that elects a leader: its reason is thrown. */
  readonly signal?: AbortSignal
}

/** The stream exists with another configuration. */
const NAME_IN_USE = 10058

/**
 * Creates what is missing of Pelton's streams and consumers, and lets limits grow. Safe to run again and by several at
 * once; where those ask for different limits, one of them holds. Limits an operator made larger stay.
 *
 * All of it is planned first, and held against what the account may have: where not everything can be made, nothing is.
 *
 * @throws PeltonError `not-provisioned` when a stream or consumer differs in a way whose change could lose events, or when
 *   the account or the broker refuses one: with everything that is in the way, and the settings that would help
 */
export async function provision(connection: NatsConnection, options: ProvisionOptions = {}): Promise<void> {
  const names = namesOf(connection)
  const note = (text: string): void => options.note?.(names.text(text))
  await provisionAll(connection, { ...options, note }).catch((thrown: unknown) => {
    throw namedError(names, thrown)
  })
}

async function provisionAll(connection: NatsConnection, options: ProvisionOptions): Promise<void> {
  const { pools = ['default'], note = () => {}, isDry = false, signal } = options
  const topology = { ...DEFAULT_TOPOLOGY, ...options.topology }
  const maxPayload = connection.info?.max_payload ?? 1024 * 1024
  const patiently = <Result>(act: () => Promise<Result>): Promise<Result> =>
    patientApi(act, { onWait: (reason) => note(`waiting for the broker: ${reason}`), signal })
  const specs = streamSpecs(topology, maxPayload)
  const consumers = pools.flatMap((pool) => consumerSpecs(pool, topology))
  const found = await patiently(() => readFound(connection, specs, consumers, topology.replicas)).catch(
    throwExplained,
  )
  const plan = planProvision({ specs, consumers, maxPayload, names: namesOf(connection) }, found)
  if (plan.obstacles.length > 0) throw refusedPlan(plan.obstacles)
  if (isDry) {
    for (const step of plan.steps) note(step)
    return
  }
  for (const stream of plan.streams) await patiently(() => provisionStream(connection, stream, note))
  for (const consumer of consumers) await patiently(() => provisionConsumer(connection, consumer, note))
}

/** Nothing that an account says is a defect. */
function throwExplained(thrown: unknown): never {
  throw explained(thrown)
}

async function provisionStream(
  connection: NatsConnection,
  planned: PlannedStream,
  note: (text: string) => void,
): Promise<void> {
  const { spec, asked } = planned
  const names = namesOf(connection)
  const present = await streamAtBroker(connection, spec.name)
  if (present === undefined) {
    if (await createFitting(connection, planned, note)) note(`created stream ${spec.name}`)
    else await provisionStream(connection, planned, note)
    return
  }
  const wanted = namedConfig(names, fitted(asked, present.config))
  if (isForeign(wanted, present.config)) throw nameTaken(wanted, present.config)
  const change = planChange(`stream ${spec.name}`, present.config, { ...wanted }, note)
  if (change === undefined) return
  // By its own name it is changed as it is there.
  const subject = `STREAM.UPDATE.${names.stream(spec.name)}`
  await orRefused(requestApi(connection, subject, change.config), (refusal) =>
    refusedStream(spec, 'changed', refusal),
  )
  note(`changed stream ${spec.name}: ${change.summary}`)
}

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

/** Creates a stream; one that may have less than it asks for, with as much as the broker has room for. */
async function createFitting(
  connection: NatsConnection,
  { spec, wish }: PlannedStream,
  note: (text: string) => void,
): Promise<boolean> {
  for (let asked = spec; ; asked = { ...asked, max_bytes: Math.floor((asked.max_bytes ?? 0) / 2) }) {
    try {
      const isCreated = await createStream(connection, asked)
      if (isCreated && wish !== undefined && asked.max_bytes !== wish.bytes)
        note(`stream ${spec.name}: the broker has room for ${asked.max_bytes} bytes, not for ${wish.bytes}`)
      return isCreated
    } catch (thrown) {
      const isLeast = wish === undefined || (asked.max_bytes ?? 0) < 2 * wish.least
      if (!isForRoom(thrown) || isLeast) throw thrown
    }
  }
}

/** False where another client created it meanwhile with other limits. */
async function createStream(connection: NatsConnection, spec: StreamSpec): Promise<boolean> {
  try {
    await requestApi(connection, `STREAM.CREATE.${spec.name}`, { max_consumers: -1, ...spec })
    return true
  } catch (thrown) {
    if (!(thrown instanceof ApiRefusal)) throw thrown
    if (thrown.code === NAME_IN_USE) return false
    throw refusedStream(spec, 'created', thrown)
  }
}

async function provisionConsumer(
  connection: NatsConnection,
  spec: ConsumerSpec,
  note: (text: string) => void,
): Promise<void> {
  const { stream, ...config } = spec
  const name = config.durable_name
  const names = namesOf(connection)
  const subject = `CONSUMER.CREATE.${stream}.${name}.${config.filter_subject}`
  const present = await consumerAtBroker(connection, stream, name)
  if (present === undefined) {
    const wanted = { stream_name: stream, config: { name, ...config } }
    await orRefused(requestApi(connection, subject, wanted), (refusal) =>
      refusedConsumer(spec, 'created', refusal),
    )
    note(`created consumer ${name}`)
    return
  }
  const change = planConsumerChange(namedConfig(names, spec), present.config, note)
  if (change === undefined) return
  const own = names.stream(stream)
  const changed = { stream_name: own, config: change.config, action: 'update' }
  const place = `CONSUMER.CREATE.${own}.${name}.${names.subject(config.filter_subject)}`
  await orRefused(requestApi(connection, place, changed), (refusal) =>
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

/** The streams a service relies on. @throws PeltonError `not-provisioned` naming the first that is missing */
export async function requireStreams(
  connection: NatsConnection,
  names: readonly string[],
): Promise<ReadonlyMap<string, StreamInfo>> {
  const found = new Map<string, StreamInfo>()
  for (const name of names) {
    const info = await streamInfo(connection, name)
    if (info === undefined) throw notOnBroker(`stream ${namesOf(connection).stream(name)}`)
    found.set(name, info)
  }
  return found
}

/**
 * The same for buckets of which a user may only ask for a message.
 *
 * @param subjects one of each bucket, by the stream behind it
 * @throws PeltonError `not-provisioned` naming the first one that is missing
 */
export async function requireBuckets(
  connection: NatsConnection,
  subjects: Iterable<readonly [stream: string, subject: string]>,
): Promise<void> {
  for (const [stream, subject] of subjects) {
    await lastOfSubject(connection, stream, subject).catch((thrown: unknown) => {
      const isMissing = thrown instanceof ApiRefusal && thrown.code === NOT_FOUND.stream
      throw isMissing ? notOnBroker(`stream ${namesOf(connection).stream(stream)}`) : thrown
    })
  }
}

/** @throws PeltonError `not-provisioned` when the consumer is missing or the server would count attempts for us */
export async function requireConsumer(
  connection: NatsConnection,
  stream: string,
  name: string,
): Promise<ConsumerInfoChecked> {
  const info = await consumerInfo(connection, stream, name)
  if (info === undefined) throw notOnBroker(`consumer ${name}`)
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
