import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import type { FlightEvent } from '../../../services/demo/flights.ts'
import { inParallel } from '../../../shared/operations/broker/parallel.ts'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../../shared/sdk/contract/token.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { createProducer, type Producer } from '../../../shared/sdk/producer.ts'
import { countWaiting } from '../../kit/outcomes.ts'
import { eventually } from '../../kit/wait.ts'
import type { Stage } from '../../scale/stage.ts'
import type { RegisterEntry } from './register.ts'

/** Work without deadlines: events that are published, and dead letters that are replayed. */
export interface BackfillWish {
  readonly events: number
  readonly replayed: number
}

/** What became of it. */
export interface BackfillEnd extends BackfillWish {
  readonly predictions: number
  /** Given up, or failed. */
  readonly deadLetters: number
  /** From its first event until none waited any more. */
  readonly seconds: number
}

export interface Backfill {
  /** The command that replays, while it runs. */
  readonly pid: number | undefined
  /** Publishes and replays. */
  begin(): void
  /** Resolves once nothing of it waits. @throws Error where a replay fails */
  ended(): Promise<void>
  /** What became of it, undefined before it began; what it has stored is taken out of `outcomes`. */
  endOf(outcomes: Map<string, RegisterEntry>): BackfillEnd | undefined
}

const SOURCE = 'backfill'
const AT_ONCE = 1_000
/** Nothing waits after so long at most, milliseconds, or it never will. */
const LIMIT_MS = 3_600_000
/** Events a second of the replay: as fast as it may. */
const REPLAY_RATE = 100_000

export interface BackfillGround {
  readonly stage: Stage
  readonly model: string
  readonly flights: readonly FlightEvent[]
  /** Compiled command line. */
  readonly cli: string
  readonly signal: AbortSignal
}

/** Makes the dead letters that are to be replayed: events whose deadline has passed. */
export async function openBackfill(ground: BackfillGround, wish: BackfillWish): Promise<Backfill> {
  const { stage, model, flights, cli, signal } = ground
  const featuresOf = (index: number) => ({ ...(flights[index % flights.length] as FlightEvent).features })
  await makeDeadLetters(ground, featuresOf, wish.replayed)
  let replaying: Replaying | undefined
  let work: Promise<void> | undefined
  let [began, over] = [0, 0]
  const run = async (): Promise<void> => {
    began = performance.now()
    replaying = replay(cli, stage.url, signal)
    await Promise.all([replaying.ended, publishAll(ground, featuresOf, wish.events)])
    await untilSettled(stage.connection, signal)
    over = performance.now()
  }
  return {
    get pid() {
      return replaying?.pid
    },
    begin() {
      work = run()
      work.catch(() => undefined) // told where it is awaited
    },
    ended: async () => work,
    endOf(outcomes) {
      if (work === undefined) return undefined
      const ids = [...indices(wish.events).map(eventId), ...indices(wish.replayed).map(replayedId)]
      const ends = ids.map((id) => takeOut(outcomes, eventToken(model, SOURCE, id)))
      const count = (kind: RegisterEntry['kind']): number => ends.filter((end) => end?.kind === kind).length
      const [predictions, deadLetters] = [count('prediction'), count('dead-letter')]
      return { ...wish, predictions, deadLetters, seconds: (over - began) / 1_000 }
    },
  }
}

const eventId = (at: number): string => `event-${at}`
const replayedId = (at: number): string => `replayed-${at}`

const indices = (count: number): readonly number[] => Array.from({ length: count }, (_one, at) => at)

function takeOut(outcomes: Map<string, RegisterEntry>, token: string): RegisterEntry | undefined {
  const entry = outcomes.get(token)
  outcomes.delete(token)
  return entry
}

type FeaturesOf = (index: number) => Record<string, string | number>

async function makeDeadLetters(
  { stage: { connection }, model, signal }: BackfillGround,
  featuresOf: FeaturesOf,
  count: number,
): Promise<void> {
  const window = new PublishWindow(connection)
  const publish = async (at: number): Promise<void> => {
    const reply = await window.publish({
      subject: subjects.feature({ pool: 'default', model, lane: 'low' }),
      headers: [
        [HEADERS.id, replayedId(at)],
        [HEADERS.source, SOURCE],
        [HEADERS.expiryTime, '2020-01-01T00:00:00Z'],
      ],
      body: Buffer.from(JSON.stringify({ features: featuresOf(at) })),
    })
    if (reply.kind !== 'stored') throw new Error(reply.description)
  }
  await inParallel(indices(count), publish, AT_ONCE)
  await untilSettled(connection, signal)
  window.close()
}

async function untilSettled(connection: NatsConnection, signal: AbortSignal): Promise<void> {
  const isSettled = async (): Promise<boolean> => {
    signal.throwIfAborted()
    return (await countWaiting(connection)) === 0
  }
  await eventually('nothing to wait', isSettled, { limitMs: LIMIT_MS, everyMs: 100 })
}

/** As a backfill does: it waits to be let in, and comes back when it is told to. */
async function publishAll(
  { stage: { url }, model, signal }: BackfillGround,
  featuresOf: FeaturesOf,
  count: number,
): Promise<void> {
  const producer = await createProducer({ url, source: SOURCE })
  const publish = (at: number): Promise<void> =>
    publishOne(producer, { model, id: eventId(at), lane: 'low', features: featuresOf(at) }, signal)
  await inParallel(indices(count), publish, AT_ONCE)
  await producer.close()
}

async function publishOne(
  producer: Producer,
  event: Parameters<Producer['publish']>[0],
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    try {
      await producer.publish(event)
      return
    } catch (thrown) {
      if (!(thrown instanceof PeltonError) || !RETRIED.has(thrown.code)) throw thrown
      // A thousand of them wait: the signal is looked at, not listened to.
      await sleep(Number(thrown.details?.retryAfterMs ?? 1_000))
      signal.throwIfAborted()
    }
  }
}

const RETRIED = new Set(['overloaded', 'rate-limited', 'stream-full'])

interface Replaying {
  readonly pid: number | undefined
  readonly ended: Promise<void>
}

/** `pelton replay start`, as an operator would give it: of the dead letters there are, and not of those that the load makes. */
function replay(cli: string, url: string, signal: AbortSignal): Replaying {
  const which = ['--reason', 'deadline-exceeded', '--until', new Date().toISOString()]
  const pace = ['--rate', String(REPLAY_RATE), '--ramp', '0', '--in-flight', String(AT_ONCE)]
  const child = spawn(process.execPath, [cli, 'replay', 'start', ...which, ...pace], {
    env: { ...process.env, PELTON_NATS_URL: url },
    stdio: 'ignore',
    signal,
  })
  const ended = once(child, 'exit').then(([code]) => {
    if (code !== 0) throw new Error(`the replay ended with ${code}`)
  })
  return {
    get pid() {
      return child.exitCode === null ? child.pid : undefined
    },
    ended,
  }
}
