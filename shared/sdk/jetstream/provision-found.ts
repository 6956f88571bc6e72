import type { NatsConnection } from '@nats-io/transport-node'
import type { ConsumerSpec, StreamSpec } from '../contract/topology.ts'
import { type Account, readAccount } from './account.ts'
import { consumerAtBroker, requestApi, streamAtBroker } from './api.ts'
import { namesOf } from './names-of.ts'
import type { Config } from './plan-change.ts'

/** A stream that is there, as the broker has it. */
export interface FoundStream {
  readonly config: Config
  /** How many consumers it has, of whomever. */
  readonly consumers: number
}

/** A subject that Pelton needs for a stream, and another stream that takes it. */
export interface Overlap {
  readonly stream: string
  /** As the broker has it. */
  readonly subject: string
  readonly by: string
}

/** What is there before anything is made. */
export interface Found {
  readonly account: Account
  /** Of the streams that are wanted, those that are there; by their plain names. */
  readonly streams: ReadonlyMap<string, FoundStream>
  /** Likewise the consumers, as the broker has them. */
  readonly consumers: ReadonlyMap<string, Config>
  readonly overlaps: readonly Overlap[]
}

/**
 * Looks at everything provisioning depends on. The account is asked first: what others make meanwhile is then counted as
 * there, never twice.
 *
 * @throws ApiRefusal, PeltonError `broker-unavailable`
 */
export async function readFound(
  connection: NatsConnection,
  specs: readonly StreamSpec[],
  consumers: readonly ConsumerSpec[],
  replicas: number,
): Promise<Found> {
  const account = await readAccount(connection, replicas)
  const infos = await Promise.all(specs.map(({ name }) => streamAtBroker(connection, name)))
  const streams = new Map<string, FoundStream>()
  for (const [at, info] of infos.entries())
    if (info !== undefined)
      streams.set(specs[at]?.name ?? '', { config: info.config, consumers: info.state.consumer_count ?? 0 })
  const missing = specs.filter(({ name }) => !streams.has(name))
  const ofPresent = consumers.filter(({ stream }) => streams.has(stream))
  return {
    account,
    streams,
    consumers: await readConsumers(connection, ofPresent),
    overlaps: await findOverlaps(connection, missing),
  }
}

async function readConsumers(
  connection: NatsConnection,
  specs: readonly ConsumerSpec[],
): Promise<ReadonlyMap<string, Config>> {
  const found = new Map<string, Config>()
  const read = async ({ stream, durable_name }: ConsumerSpec): Promise<void> => {
    const info = await consumerAtBroker(connection, stream, durable_name)
    if (info !== undefined) found.set(durable_name, info.config)
  }
  await Promise.all(specs.map(read))
  return found
}

/** Who takes the subjects of streams that are missing. A user who may not ask is told by the refusal of the stream. */
async function findOverlaps(
  connection: NatsConnection,
  missing: readonly StreamSpec[],
): Promise<readonly Overlap[]> {
  const named = namesOf(connection)
  const asked = missing.flatMap(({ name, subjects }) =>
    subjects.map(async (subject): Promise<readonly Overlap[]> => {
      const names = await streamsOf(connection, subject).catch(() => [])
      const others = names.filter((by) => by !== named.stream(name))
      return others.map((by) => ({ stream: name, subject: named.subject(subject), by }))
    }),
  )
  return (await Promise.all(asked)).flat()
}

/** Names at the broker of the streams that take a subject, or a part of it. */
async function streamsOf(connection: NatsConnection, subject: string): Promise<readonly string[]> {
  const { streams } = await requestApi<{ streams: readonly string[] | null }>(connection, 'STREAM.NAMES', {
    subject,
  })
  return streams ?? []
}
