import type { NatsConnection } from '@nats-io/transport-node'
import type { BrokerLook } from '../../../shared/operations/broker/broker-look.ts'
import { type ListedConsumer, pausedUntil } from '../../../shared/operations/broker/consumer-list.ts'
import { countSubjects } from '../../../shared/operations/broker/snapshot.ts'
import { type Names, PLAIN_NAMES } from '../../../shared/sdk/contract/names.ts'
import { decodeSegment, LANES, readRoute, subjects } from '../../../shared/sdk/contract/subjects.ts'
import { dueConsumer, featureConsumer, STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../../shared/sdk/jetstream/api.ts'
import { namesOf } from '../../../shared/sdk/jetstream/names-of.ts'

/** A consumer of FEATURES or RETRIES, and what it does not know of. */
export interface LaneLook {
  readonly stream: string
  readonly consumer: string
  /** Pool it serves; undefined for a consumer that is none of Pelton's. */
  readonly pool: string | undefined
  readonly filter: string
  readonly pending: number
  readonly inFlight: number
  readonly redelivered: number
  readonly waitingPulls: number
  /** When it last handed out or settled anything, broker milliseconds; undefined for never. */
  readonly lastActiveAt: number | undefined
  /** How its configuration differs from what Pelton provisions in a way that loses events. */
  readonly drift: string | undefined
  /** Until when somebody paused it, RFC 3339; undefined for one that hands out. */
  readonly pausedUntil: string | undefined
  /** At least so many events match its filter and are neither pending nor in flight. */
  readonly orphans: number
}

/** Events no consumer asks for. */
export interface UnservedLook {
  readonly pool: string
  readonly count: number
  /** Subjects they wait under, with wildcards. */
  readonly filter: string
}

/** A work queue at one look. */
export interface StreamLook {
  readonly stream: string
  /** Creation time of the stream. */
  readonly epoch: string
  /** Last sequence it gave out, at the time of `at`. */
  readonly lastSequence: number
  /** Broker time, milliseconds since 1970. */
  readonly at: number
  readonly lanes: readonly LaneLook[]
  readonly unserved: readonly UnservedLook[]
}

/** Subjects of one stream are counted up to here: ten answers of 100,000. */
const MAX_PAGES = 10

/**
 * Looks at a work queue: its consumers as they were listed, and what waits under their filters. The reads are no snapshot, so that orphans
 * are a lower bound: what was stored while it looked is taken off, and what was settled meanwhile counts for no
 * consumer.
 *
 * @returns `undefined` when the stream is missing, or holds more subjects than are counted
 * @throws PeltonError `broker-unavailable`
 */
export async function lookAtStream(
  connection: NatsConnection,
  stream: typeof STREAMS.features | typeof STREAMS.retries,
  { infos, lists }: Pick<BrokerLook, 'infos' | 'lists'>,
): Promise<StreamLook | undefined> {
  const before = infos.get(stream)
  if (before === undefined) return undefined
  const consumers = lists.get(stream)?.consumers ?? []
  // Schedules are copies that wait for their time: only what is due is for a consumer.
  const root = stream === STREAMS.features ? subjects.allFeatures() : subjects.allDue()
  const { counts, isComplete } = await countSubjects(connection, stream, root, MAX_PAGES)
  const after = await streamInfo(connection, stream)
  if (!isComplete || after?.created !== before.created) return undefined
  const storedMeanwhile = after.state.last_seq - before.state.last_seq
  return {
    stream,
    epoch: after.created,
    lastSequence: after.state.last_seq,
    at: Date.parse(after.ts),
    ...accountFor(stream, consumers, counts, storedMeanwhile, namesOf(connection)),
  }
}

/** Assigns every waiting event to the consumer whose filter it matches. Pure. @param names those of the broker, for what it tells of filters */
export function accountFor(
  stream: string,
  consumers: readonly ListedConsumer[],
  counts: ReadonlyMap<string, number>,
  storedMeanwhile: number,
  names: Pick<Names, 'subject'> = PLAIN_NAMES,
): Pick<StreamLook, 'lanes' | 'unserved'> {
  const stored = new Map<ListedConsumer, number>()
  const unserved = new Map<string, UnservedLook>()
  const finders = consumers.map((consumer) => ({ consumer, matches: matcherOf(filtersOf(consumer)) }))
  for (const [subject, count] of counts) {
    const found = finders.find(({ matches }) => matches(subject))
    if (found !== undefined) stored.set(found.consumer, (stored.get(found.consumer) ?? 0) + count)
    else addUnserved(unserved, subject, count)
  }
  const lanes = consumers.map((consumer) =>
    toLane(stream, consumer, (stored.get(consumer) ?? 0) - storedMeanwhile, names),
  )
  return { lanes, unserved: [...unserved.values()] }
}

function addUnserved(unserved: Map<string, UnservedLook>, subject: string, count: number): void {
  const [root, segment = ''] = subject.split('.')
  const pool = readRoute(subject)?.pool ?? segment
  const before = unserved.get(pool)?.count ?? 0
  unserved.set(pool, { pool, count: before + count, filter: `${root}.${segment}.>` })
}

function toLane(
  stream: string,
  consumer: ListedConsumer,
  stored: number,
  names: Pick<Names, 'subject'>,
): LaneLook {
  const { name, num_pending: pending, num_ack_pending: inFlight } = consumer
  const pool = poolOf(stream, name)
  return {
    stream,
    consumer: name,
    pool,
    filter: filtersOf(consumer).join(', '),
    pending,
    inFlight,
    redelivered: consumer.num_redelivered,
    waitingPulls: consumer.num_waiting,
    lastActiveAt: lastActive(consumer),
    drift: pool === undefined ? undefined : driftOf(stream, consumer, pool, names),
    pausedUntil: pausedUntil(consumer),
    orphans: Math.max(0, stored - pending - inFlight),
  }
}

function lastActive({ delivered, ack_floor }: ListedConsumer): number | undefined {
  const times = [delivered?.last_active, ack_floor?.last_active].map((time) => Date.parse(time ?? ''))
  const known = times.filter((time) => !Number.isNaN(time))
  return known.length === 0 ? undefined : Math.max(...known)
}

/** Pelton's consumers are named after pool and lane. */
function poolOf(stream: string, name: string): string | undefined {
  const prefix = stream === STREAMS.features ? 'worker' : 'retry'
  const [, segment] = new RegExp(`^${prefix}-(.+)-(?:${LANES.join('|')})$`).exec(name) ?? []
  return segment === undefined ? undefined : (decodeSegment(segment) ?? segment)
}

/**
 * Past `max_deliver` an event is handed out no more; `backoff` replaces `ack_wait`; a filter that changed leaves
 * events.
 */
function driftOf(
  stream: string,
  { name, config }: ListedConsumer,
  pool: string,
  names: Pick<Names, 'subject'>,
): string | undefined {
  const consumerOf = stream === STREAMS.features ? featureConsumer : dueConsumer
  const filterOf = stream === STREAMS.features ? subjects.featureFilter : subjects.dueFilter
  const lane = LANES.find((each) => consumerOf(pool, each).durable_name === name)
  const filter = config.filter_subject
  if (config.max_deliver !== -1) return `max_deliver is ${config.max_deliver}`
  if (Array.isArray(config.backoff) && config.backoff.length > 0) return 'it has a backoff'
  if (lane !== undefined && filter !== filterOf(pool, lane))
    return `filter_subject is ${shownFilter(config, names)}`
  return undefined
}

function shownFilter(
  { filter_subject: filter, filter_subjects: several }: ListedConsumer['config'],
  { subject }: Pick<Names, 'subject'>,
): string {
  if (typeof filter === 'string') return filter === '' ? 'empty' : subject(filter)
  return JSON.stringify(Array.isArray(several) ? several.map((each) => subject(String(each))) : 'none')
}

function filtersOf({ config }: Pick<ListedConsumer, 'config'>): readonly string[] {
  if (typeof config.filter_subject === 'string' && config.filter_subject !== '')
    return [config.filter_subject]
  const several = config.filter_subjects
  return Array.isArray(several) && several.length > 0 ? several.map(String) : ['>']
}

/** Whether a subject matches one of several filters, with the broker's wildcards. */
export function matcherOf(filters: readonly string[]): (subject: string) => boolean {
  const wanted = filters.map((filter) => filter.split('.'))
  return (subject) => {
    const parts = subject.split('.')
    return wanted.some((filter) => matches(filter, parts))
  }
}

function matches(filter: readonly string[], parts: readonly string[]): boolean {
  for (const [index, token] of filter.entries()) {
    if (token === '>') return parts.length > index
    if (parts[index] === undefined || (token !== '*' && token !== parts[index])) return false
  }
  return filter.length === parts.length
}
