import type { NatsConnection } from '@nats-io/transport-node'
import { STORES, STREAMS } from '../../sdk/contract/topology.ts'
import { isUnled, type StreamInfo, streamInfo } from '../../sdk/jetstream/api.ts'
import { type ConsumerList, type ListedConsumer, listAllConsumers } from './consumer-list.ts'
import { groupOf, type ReplicaGroup } from './replicas.ts'

/** Pelton's streams and consumers, and the servers that hold them, at one look. */
export interface BrokerLook extends StreamReading {
  /** Consumers of the work queues that are there and led. */
  readonly lists: ReadonlyMap<string, ConsumerList>
  readonly groups: readonly ReplicaGroup[]
}

/** Pelton's streams and buckets as one look found them. */
interface StreamReading {
  /** Those that are there and led. */
  readonly infos: ReadonlyMap<string, StreamInfo>
  /** Those for whom no leader answered. */
  readonly unled: ReadonlySet<string>
  /** Broker time, milliseconds since 1970. */
  readonly at: number
  /** Name of the server that was asked. */
  readonly server: string
}

const NAMES: readonly string[] = [...Object.values(STREAMS), ...Object.values(STORES)]
const OF_EVENTS: ReadonlySet<string> = new Set(Object.values(STREAMS))

/**
 * Asks for each stream once, and lists the consumers of the work queues.
 *
 * @throws PeltonError `broker-unavailable` when no stream answers
 */
export async function lookAtBroker(connection: NatsConnection): Promise<BrokerLook> {
  const reading = await readStreams(connection)
  const queues = [STREAMS.features, STREAMS.retries].filter((stream) => reading.infos.has(stream))
  const lists = new Map(
    await Promise.all(
      queues.map(async (stream) => [stream, await listAllConsumers(connection, stream)] as const),
    ),
  )
  const ofConsumers = [...lists].flatMap(([stream, list]) => consumerGroups(reading, stream, list))
  return { ...reading, lists, groups: [...streamGroups(reading), ...ofConsumers] }
}

/**
 * Asks for each stream once. One that does not answer while others do has no leader; buckets that may not be read are left
 * out.
 *
 * @throws PeltonError `broker-unavailable` when none answers
 */
async function readStreams(connection: NatsConnection): Promise<StreamReading> {
  const asked = await Promise.allSettled(NAMES.map((name) => streamInfo(connection, name)))
  const isAnswered = asked.some(({ status }) => status === 'fulfilled')
  const infos = new Map<string, StreamInfo>()
  const unled = new Set<string>()
  for (const [index, result] of asked.entries()) {
    const name = NAMES[index] ?? ''
    if (result.status === 'rejected') {
      if (isAnswered && isUnled(result.reason)) unled.add(name)
      else if (OF_EVENTS.has(name)) throw result.reason
    } else if (result.value !== undefined) {
      if (isLed(result.value)) infos.set(name, result.value)
      else unled.add(name)
    }
  }
  const times = [...infos.values()].map(({ ts }) => Date.parse(ts))
  const at = times.length === 0 ? Date.now() : Math.max(...times)
  return { infos, unled, at, server: connection.info?.server_name ?? '' }
}

/** A server answers for a stream without a leader, too: from what it has. */
function isLed({ cluster }: StreamInfo): boolean {
  return cluster === undefined || (cluster.leader ?? '') !== ''
}

/** The streams and buckets of a reading, with the servers that hold them. */
function streamGroups({ infos, unled, at, server }: StreamReading): readonly ReplicaGroup[] {
  const led = [...infos].map(([stream, { cluster, state }]) => {
    const progress = `${state.last_seq} ${state.first_seq} ${state.messages}`
    return groupOf({ stream, progress }, cluster, { at, alone: server })
  })
  return [...led, ...[...unled].map((stream) => unledGroup(stream))]
}

/** The consumers of a stream, likewise. */
function consumerGroups(
  { at, server }: Pick<StreamReading, 'at' | 'server'>,
  stream: string,
  { consumers, unled }: ConsumerList,
): readonly ReplicaGroup[] {
  const led = consumers.map((one) =>
    groupOf({ stream, consumer: one.name, progress: progressOf(one) }, one.cluster, { at, alone: server }),
  )
  return [...led, ...unled.map((consumer) => unledGroup(stream, consumer))]
}

function progressOf({ delivered, ack_floor, num_pending, num_ack_pending }: ListedConsumer): string {
  return [delivered?.consumer_seq, ack_floor?.stream_seq, num_pending, num_ack_pending].join(' ')
}

function unledGroup(stream: string, consumer?: string): ReplicaGroup {
  return {
    stream,
    ...(consumer !== undefined && { consumer }),
    leader: undefined,
    replicas: [],
    progress: '',
  }
}
