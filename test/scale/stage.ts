import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import type { FlightEvent } from '../../services/demo/flights.ts'
import { featureConsumer, STREAMS, type TopologyOptions } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { openSecurity } from '../../shared/sdk/jetstream/connection-security.ts'
import { claimNames } from '../../shared/sdk/jetstream/names-of.ts'
import { provision } from '../../shared/sdk/jetstream/provision.ts'
import type { SecurityOptions } from '../../shared/sdk/jetstream/security.ts'
import { createProducer, type Producer } from '../../shared/sdk/producer.ts'
import { lead } from '../kit/cluster.ts'
import { type Ground, type GroundOptions, openGround } from './ground.ts'

/** A fresh broker with Pelton's streams, and what a measurement needs to know of it. */
export interface Stage {
  readonly url: string
  /** Three where it is a cluster. */
  readonly brokerPids: readonly number[]
  /** Monitoring of a server alone. */
  readonly monitorUrl: string | undefined
  /** Kills a server that stands alone, and starts it again on what it has stored. Undefined in a cluster. */
  readonly restart: Ground['restart']
  readonly connection: NatsConnection
  readonly producer: Producer
  /**
   * Publishes flights to a model (or to several in turn), repeating them with new ids until there are `count`.
   *
   * @param traceparentOf trace context of an event. @default none has one
   */
  publishFlights(
    flights: readonly FlightEvent[],
    count: number,
    models: readonly string[],
    traceparentOf?: (index: number) => string,
  ): Promise<void>
  /** Outcomes stored so far. */
  outcomes(): Promise<number>
  /** Resolves when there are this many outcomes: when the first and the last of these were seen, milliseconds. */
  answered(count: number): Promise<Drain>
  close(): Promise<void>
}

export interface Drain {
  readonly events: number
  readonly ms: number
}

const LOOK_EVERY_MS = 20

/** Whom the broker lets in, and which Pelton of it the stage is. */
export interface StageAccess extends Pick<GroundOptions, 'config'> {
  /** Who this process is there, and how it gets there. @default nobody, in the clear */
  readonly security?: SecurityOptions
  /** @default none */
  readonly prefix?: string
}

export interface StageOptions extends Pick<GroundOptions, 'profile' | 'servers'> {
  /** Limits of the streams. @default Pelton's */
  readonly topology?: Partial<TopologyOptions> | undefined
  /** Makes streams and consumers. @default as this checkout does */
  readonly provision?: typeof provision | undefined
  /** @default whoever comes, in the clear */
  readonly access?: StageAccess | undefined
}

export async function openStage(options: StageOptions = {}): Promise<Stage> {
  const { topology, provision: provisionStage = provision, profile, servers, access = {} } = options
  const ground = await openGround({ profile, servers, config: access.config })
  const { settings } = openSecurity({ ...access.security, url: ground.url, naming: 'options' })
  const connection = await connect(settings)
  claimNames(connection, access.prefix)
  await provisionStage(connection, { topology: { replicas: ground.replicas, ...topology } })
  await leadAll(connection, ground)
  const producer = await createProducer({ connection, source: 'bench' })
  let published = 0

  async function outcomes(): Promise<number> {
    return (await streamInfo(connection, STREAMS.results))?.state.messages ?? 0
  }

  /** From the first look that finds progress: start-up is not part of a rate. */
  async function answered(count: number): Promise<Drain> {
    const before = await outcomes()
    let first: { readonly at: number; readonly events: number } | undefined
    for (;;) {
      const events = await outcomes()
      const at = performance.now()
      if (first === undefined && (events > before || events >= count)) first = { at, events }
      if (first !== undefined && events >= count) return { events: events - first.events, ms: at - first.at }
      await sleep(LOOK_EVERY_MS)
    }
  }

  return {
    url: ground.url,
    get brokerPids() {
      return ground.pids
    },
    monitorUrl: ground.monitorUrl,
    restart: ground.restart,
    connection,
    producer,
    async publishFlights(flights, count, models, traceparentOf) {
      for (let done = 0; done < count; ) {
        const chunk = Math.min(5_000, count - done)
        await Promise.all(
          Array.from({ length: chunk }, () => {
            const index = published++
            const features = { ...(flights[index % flights.length] as FlightEvent).features }
            const model = models[index % models.length] as string
            const traced = traceparentOf === undefined ? {} : { traceparent: traceparentOf(index) }
            return producer.publish({ model, id: `event-${index}`, features, ...traced })
          }),
        )
        done += chunk
      }
    },
    outcomes,
    answered,
    async close() {
      await producer.close()
      await connection.close()
      await ground.close()
    },
  }
}

/** The server that clients use leads what an event goes through: each run takes the same way through a cluster. */
async function leadAll(connection: NatsConnection, { used }: Ground): Promise<void> {
  if (used === undefined) return
  const node = { name: used }
  for (const stream of [STREAMS.features, STREAMS.results, STREAMS.ledger])
    await lead(connection, node, stream)
  await lead(connection, node, STREAMS.features, featureConsumer('default', 'normal').durable_name)
}

/** Resident memory of a process in MiB, now and at most since it began (Linux). */
export async function memoryOf(pid: number): Promise<{ readonly nowMiB: number; readonly peakMiB: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024
  return { nowMiB: field('VmRSS'), peakMiB: field('VmHWM') }
}

/** The highest resident memory of some processes together, MiB. */
export async function peakOf(pids: readonly number[]): Promise<number> {
  const each = await Promise.all(pids.map(memoryOf))
  return each.reduce((sum, { peakMiB }) => sum + peakMiB, 0)
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

/** The value below which this share of the values lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

export function rateOf({ events, ms }: Drain): number {
  return (events * 1_000) / ms
}

/** Value of `--name=number` on the command line. */
export function numberArgument(name: string, fallback: number): number {
  const given = process.argv.find((argument) => argument.startsWith(`--${name}=`))
  if (given === undefined) return fallback
  const value = Number(given.slice(name.length + 3))
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new Error(`--${name} needs a whole number above 0, not ${given}`)
}
