import { basename } from 'node:path'
import type { NatsConnection } from '@nats-io/transport-node'
import { expect, onTestFinished } from 'vitest'
import { DEMO_MODELS } from '../../../services/demo/models.ts'
import type { TopologyOptions } from '../../../shared/sdk/contract/topology.ts'
import { provision } from '../../../shared/sdk/jetstream/provision.ts'
import { createProducer, type Producer } from '../../../shared/sdk/producer.ts'
import type { ProducerOptions } from '../../../shared/sdk/producer-settings.ts'
import { startTestBroker } from '../../kit/broker.ts'
import { createRandom } from '../../kit/random.ts'
import type { WorkerProcessOptions } from '../../kit/worker-process.ts'
import {
  demandKept,
  describeRest,
  drained,
  type Expectations,
  examine,
  type Findings,
  type Scene,
} from './conclude.ts'
import { createFeed, type Feed, type FeedOptions } from './feed.ts'
import { createFleet, type Fleet } from './fleet.ts'
import { EVENTS, IS_FULL, SEED } from './form.ts'
import { appendRow } from './row.ts'
import { flightEvents, type StagedEvent } from './stage-events.ts'
import { longestGapMs, recoveredMs } from './timeline.ts'

export { EVENTS, IS_FULL, SEED } from './form.ts'
export type { StagedEvent } from './stage-events.ts'

/** What a stage needs of its broker: one server or a cluster. */
export interface StageBroker {
  /** Addresses of the servers, comma-separated. */
  readonly url: string
  connect(): Promise<NatsConnection>
}

export interface StageOptions<Broker extends StageBroker> {
  /** The broker of the scenario, which the caller ends. Default: a server of its own, ended with the stage. */
  readonly broker?: Broker
  /** Worker processes, each replaced when it ends. @default 3 */
  readonly workers?: number
  /** Events to publish, in this order. @default {@link EVENTS} real flights */
  readonly events?: number | readonly StagedEvent[]
  /** Models folder. @default the demo's */
  readonly models?: string
  readonly pool?: string
  /** @default 2_000 */
  readonly ackWaitMs?: number
  readonly topology?: Partial<TopologyOptions>
  /** Further settings of workers, by the place they have in the fleet. */
  readonly worker?: (place: number) => Partial<WorkerProcessOptions>
  /** Further settings of the producer. */
  readonly producer?: Partial<ProducerOptions>
}

/** A broker, workers, and events on their way: everything real, and one fault to come. */
export interface Stage<Broker extends StageBroker = StageBroker> {
  readonly broker: Broker
  /** A connection for looking on; nothing of Pelton runs over it. */
  readonly connection: NatsConnection
  readonly fleet: Fleet
  /** The events of the scenario. Nothing is published until `feed.send()` or `feed.run()`. */
  readonly feed: Feed
  readonly producer: Producer
  /** Numbers in [0, 1), fixed by the seed. */
  readonly random: () => number
  /** Another feed beside the first, of another producer or source where given; judged with it. */
  addFeed(events: readonly StagedEvent[], from?: Partial<FeedOptions>): Feed
  /** The fault is over: `recovered in s` counts from the last time this was said. */
  faultEnded(): void
  /** Waits until all events are accepted and none waits anywhere. */
  drained(): Promise<void>
  /** Waits until all is drained, judges, adds a row to the table, and fails where a promise was broken. */
  conclude(expectations?: Expectations): Promise<Findings>
}

/**
 * Sets the stage for one scenario, inside a test: `const stage = await openStage('worker kill -9', { workers: 4 })`.
 * Clears everything away when the test has ended, however it ended. Resolves when all workers are ready.
 *
 * @param fault its name in the table
 */
export async function openStage(fault: string): Promise<Stage<Awaited<ReturnType<typeof startTestBroker>>>>
export async function openStage<Broker extends StageBroker = Awaited<ReturnType<typeof startTestBroker>>>(
  fault: string,
  options: StageOptions<Broker>,
): Promise<Stage<Broker>>
export async function openStage(fault: string, options: StageOptions<StageBroker> = {}): Promise<Stage> {
  const closing: (() => unknown)[] = []
  const given = new AbortController()
  closing.push(() => given.abort(new Error('the scenario has ended')))
  let describe = (): Promise<string> => Promise.resolve('the stage was not set')
  onTestFinished(async ({ task }) => {
    if (task.result?.state === 'fail') {
      const why = task.result.errors?.map(({ message }) => message).join('\n')
      console.error(`${fault}: ${why}\n${await describe().catch(String)}`)
    }
    for (const close of closing.reverse()) await close()
  })
  const broker = options.broker ?? (await openBroker(closing))
  const connection = await broker.connect()
  closing.push(() => connection.close())
  const { ackWaitMs = 2_000, pool = 'default', models = DEMO_MODELS } = options
  await provision(connection, { topology: { ackWaitMs, ...options.topology }, pools: [pool] })
  const random = createRandom(SEED)
  const fleet = createFleet({
    size: options.workers ?? 3,
    random,
    start: (place) => workerOptions({ url: broker.url, models, pool }, options.worker?.(place)),
  })
  closing.push(() => fleet.stop())
  const source = 'faults'
  const producer = await createProducer({ url: broker.url, source, pool, ...options.producer })
  closing.push(() => producer.close({ timeoutMs: 1 }).catch(() => undefined))
  const feeds: Feed[] = []
  closing.push(() => {
    for (const feed of feeds) feed.stop()
  })
  const scene = { connection, feeds, fleet, models, source, signal: given.signal }
  describe = () => describeRest(scene)
  const addFeed = (events: readonly StagedEvent[], from: Partial<FeedOptions> = {}): Feed => {
    const feed = createFeed(events, { producer, source, ...from })
    feeds.push(feed)
    return feed
  }
  const feed = addFeed(await eventsOf(options.events))
  await fleet.whole()
  return { broker, connection, fleet, feed, producer, random, addFeed, ...judging(fault, scene) }
}

async function openBroker(closing: (() => unknown)[]) {
  const broker = await startTestBroker()
  closing.push(() => broker.stop())
  return broker
}

function eventsOf(events: number | readonly StagedEvent[] = EVENTS): Promise<readonly StagedEvent[]> {
  return typeof events === 'number' ? flightEvents(events) : Promise.resolve(events)
}

/** Small workers with one thread each: many of them on few cores, each with something to lose. */
function workerOptions(
  { pool, ...where }: Pick<WorkerProcessOptions, 'url' | 'models'> & { readonly pool: string },
  given: Partial<WorkerProcessOptions> = {},
): WorkerProcessOptions {
  const env = { PELTON_THREADS: '1', PELTON_HELD_ROWS: '256', PELTON_POOL: pool, ...given.env }
  return { ...where, ...given, env }
}

function judging(fault: string, scene: Scene): Pick<Stage, 'faultEnded' | 'drained' | 'conclude'> {
  let endedAt: number | undefined
  return {
    faultEnded() {
      endedAt = Date.now()
    },
    drained: () => drained(scene),
    async conclude(expectations = {}) {
      const findings = await examine(scene, expectations)
      const { answers, events, predictions, deadLetters, lost, doubled, redeliveries } = findings
      appendRow({
        fault,
        events,
        predictions,
        deadLetters,
        lost: lost.length,
        doubled: doubled.length,
        redeliveries,
        longestGapMs: longestGapMs(answers),
        recoveredMs: endedAt === undefined ? undefined : recoveredMs(answers, endedAt),
        note: expectations.note ?? '',
        seed: SEED,
        isFull: IS_FULL,
        file: `test/faults/${basename(expect.getState().testPath ?? '')}`,
      })
      demandKept(findings)
      return findings
    },
  }
}
