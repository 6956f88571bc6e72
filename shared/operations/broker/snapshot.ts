import type { NatsConnection } from '@nats-io/transport-node'
import { decodeSegment, readOutcomeSubject, subjects } from '../../sdk/contract/subjects.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { requestApi, type StreamInfo } from '../../sdk/jetstream/api.ts'
import { lookAtBroker } from './broker-look.ts'
import { type ListedConsumer, pausedUntil } from './consumer-list.ts'
import type { ReplicaGroup } from './replicas.ts'
import { boundOf } from './stream-bound.ts'

/** A stream of Pelton as it is now. */
export interface StreamStatus {
  readonly name: string
  readonly isMissing: boolean
  /** Whether a leader answered for it; without one the rest is not known. */
  readonly isLed: boolean
  readonly messages: number
  readonly bytes: number
  readonly lastSequence: number
  /** Share of the limit that is nearest to being reached; undefined where there is none. */
  readonly full: number | undefined
  /** Which limit that is. */
  readonly limit: string | undefined
}

/** A consumer of a pool's lane as it is now. */
export interface ConsumerStatus {
  readonly stream: string
  readonly name: string
  /** Not handed out yet. */
  readonly pending: number
  /** Handed out, not settled. */
  readonly inFlight: number
  /** Handed out more than once, not settled. */
  readonly redelivered: number
  /** Pulls that wait for events: workers that are idle. */
  readonly waitingPulls: number
  /** Until when somebody paused it, RFC 3339; absent for one that hands out. */
  readonly pausedUntil?: string
}

/** Streams, consumers and dead letters at one moment, or nearly: they are asked one after the other. */
export interface StatusSnapshot {
  /** Broker time, milliseconds since 1970. */
  readonly at: number
  readonly streams: readonly StreamStatus[]
  readonly consumers: readonly ConsumerStatus[]
  /** Events that wait or are in flight, those due for a retry included. */
  readonly backlog: number
  /** Events whose retry is scheduled for later. */
  readonly retriesScheduled: number
  readonly deadLetters: DeadLetterCounts
  /** Every stream and lane with the servers that hold it. */
  readonly groups: readonly ReplicaGroup[]
}

/** How many dead letters there are, by model. */
export interface DeadLetterCounts {
  readonly total: number
  readonly byModel: Readonly<Record<string, number>>
  /** Whether `byModel` counts them all: there is an end to how many subjects are read. */
  readonly isComplete: boolean
}

/**
 * Looks at everything once. Streams that do not exist, or have no leader, are among `streams`, marked.
 *
 * @throws PeltonError `broker-unavailable` when no stream answers
 */
export async function takeSnapshot(connection: NatsConnection): Promise<StatusSnapshot> {
  const { infos, unled, at, lists, groups } = await lookAtBroker(connection)
  const streams = Object.values(STREAMS).map((name) =>
    toStreamStatus(name, infos.get(name), !unled.has(name)),
  )
  const consumers = [...lists].flatMap(([stream, list]) =>
    list.consumers.map((info) => toConsumer(stream, info)),
  )
  const due = sum(
    consumers.filter(({ stream }) => stream === STREAMS.retries).map((one) => one.pending + one.inFlight),
  )
  const stored = (name: string): number => streams.find((one) => one.name === name)?.messages ?? 0
  const deadLetters = stored(STREAMS.deadLetters)
  return {
    at,
    streams,
    consumers,
    backlog: stored(STREAMS.features) + due,
    retriesScheduled: Math.max(0, stored(STREAMS.retries) - due),
    deadLetters:
      deadLetters === 0
        ? { total: 0, byModel: {}, isComplete: true }
        : await countDeadLetters(connection, deadLetters),
    groups,
  }
}

/** Subjects of a stream and how many messages each has; at most `maxPages` answers of the broker (100,000 each). */
export async function countSubjects(
  connection: NatsConnection,
  stream: string,
  filter: string,
  maxPages = 10,
): Promise<{ readonly counts: ReadonlyMap<string, number>; readonly isComplete: boolean }> {
  const counts = new Map<string, number>()
  for (let page = 0; page < maxPages; page++) {
    const { state, total = 0 } = await requestApi<{
      total?: number
      state: { subjects?: Record<string, number> }
    }>(connection, `STREAM.INFO.${stream}`, { subjects_filter: filter, offset: counts.size })
    const found = Object.entries(state.subjects ?? {})
    for (const [subject, count] of found) counts.set(subject, count)
    if (found.length === 0 || counts.size >= total) return { counts, isComplete: true }
  }
  return { counts, isComplete: false }
}

async function countDeadLetters(connection: NatsConnection, total: number): Promise<DeadLetterCounts> {
  const { counts, isComplete } = await countSubjects(
    connection,
    STREAMS.deadLetters,
    subjects.deadLetterFilter(),
  )
  const byModel = new Map<string, number>()
  for (const [subject, count] of counts) {
    const model = readOutcomeSubject(subject)?.model ?? decodeSegment(subject) ?? subject
    byModel.set(model, (byModel.get(model) ?? 0) + count)
  }
  return { total, byModel: Object.fromEntries([...byModel].sort(([, a], [, b]) => b - a)), isComplete }
}

const NOTHING_KNOWN = { messages: 0, bytes: 0, lastSequence: 0, full: undefined, limit: undefined }

function toStreamStatus(name: string, info: StreamInfo | undefined, isLed: boolean): StreamStatus {
  if (info === undefined) return { name, isMissing: isLed, isLed, ...NOTHING_KNOWN }
  const { messages, bytes, last_seq: lastSequence } = info.state
  const shares = (
    [
      ['max_msgs', messages],
      ['max_bytes', bytes],
    ] as const
  ).flatMap(([limit, used]) => {
    const most = boundOf(info, limit)
    return Number.isFinite(most) ? [{ limit, share: used / most }] : []
  })
  const nearest = shares.sort((a, b) => b.share - a.share)[0]
  return {
    name,
    isMissing: false,
    isLed,
    messages,
    bytes,
    lastSequence,
    full: nearest?.share,
    limit: nearest?.limit,
  }
}

function toConsumer(stream: string, info: ListedConsumer): ConsumerStatus {
  const until = pausedUntil(info)
  return {
    stream,
    name: info.name,
    pending: info.num_pending,
    inFlight: info.num_ack_pending,
    redelivered: info.num_redelivered,
    waitingPulls: info.num_waiting,
    ...(until !== undefined && { pausedUntil: until }),
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
