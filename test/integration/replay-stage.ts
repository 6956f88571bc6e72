import type { NatsConnection } from '@nats-io/transport-node'
import { expect, vi } from 'vitest'
import { DEMO_MODELS } from '../../services/demo/models.ts'
import { HEADERS, type HeaderEntry } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { readStream } from '../kit/outcomes.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'
import type { CliProcess } from './cli-process.ts'

export const MODEL = 'flight-delay'
export const PATIENT = { timeout: 90_000, interval: 50 }
export const FAST = ['--rate', '1000', '--ramp', '0']

const FEATURES = {
  origin: 'DTW',
  destination: 'ORD',
  hour: 18,
  weekday: 5,
  distance: 235,
  origin_delay: 12.5,
  inbound_delay: 9,
  destination_delay: 20,
  route_delay: 15,
  origin_departures: 30,
}
export const GOOD = JSON.stringify({ features: FEATURES })
export const BAD = JSON.stringify({ features: { origin: 'DTW' } })
const EXPIRED: HeaderEntry = [HEADERS.expiryTime, '2020-01-01T00:00:00Z']

/** A broker, workers on demand, and dead letters to replay: their deadlines have passed. */
export interface ReplayStage {
  readonly broker: TestBroker
  readonly connection: NatsConnection
  readonly env: NodeJS.ProcessEnv
  startWorker(): Promise<WorkerProcess>
  endWorkers(): Promise<void>
  publish(id: string, body: string, extra?: readonly HeaderEntry[]): Promise<string>
  /** Makes dead letters of events with these payloads, and returns their tokens. */
  deadLetters(bodies: readonly string[]): Promise<string[]>
  countIn(stream: string): Promise<number>
  lastIn(stream: string): Promise<number>
  /** Keys of a kind in the bucket of replays. */
  keptOf(kind: 'held' | 'hosted'): Promise<string[]>
  /** Waits until some of the dead letters are replayed, and some are not. */
  inTheMiddleOf(count: number): Promise<void>
  close(): Promise<void>
}

export async function openReplayStage(): Promise<ReplayStage> {
  const broker = await startTestBroker()
  const connection = await broker.connect()
  await broker.provision({ topology: { ackWaitMs: 3_000 } })
  const window = new PublishWindow(connection)
  const workers: WorkerProcess[] = []
  const stateOf = async (stream: string) => (await streamInfo(connection, stream))?.state
  const countIn = async (stream: string): Promise<number> => (await stateOf(stream))?.messages ?? 0
  const endWorkers = async (signal?: NodeJS.Signals): Promise<void> => {
    for (const worker of workers) worker.kill(signal)
    await Promise.all(workers.map(({ ended }) => ended))
  }
  const publish = async (
    id: string,
    body: string,
    extra: readonly HeaderEntry[] = [EXPIRED],
  ): Promise<string> => {
    const reply = await window.publish({
      subject: subjects.feature({ pool: 'default', model: MODEL, lane: 'normal' }),
      headers: [[HEADERS.id, id], [HEADERS.source, 'test'], ...extra],
      body: Buffer.from(body),
    })
    expect(reply.kind).toBe('stored')
    return eventToken(MODEL, 'test', id)
  }
  return {
    broker,
    connection,
    env: { PELTON_NATS_URL: broker.url, USER: 'ops' },
    startWorker: async () => {
      const worker = await startWorkerProcess({ url: broker.url, models: DEMO_MODELS })
      workers.push(worker)
      return worker
    },
    endWorkers: () => endWorkers(),
    publish,
    deadLetters: async (bodies) => {
      const tokens = await Promise.all(bodies.map((body, index) => publish(`event-${index}`, body)))
      await vi.waitFor(async () => {
        expect(await countIn(STREAMS.deadLetters)).toBe(bodies.length)
        expect(await countIn(STREAMS.features)).toBe(0)
      }, PATIENT)
      return tokens
    },
    countIn,
    lastIn: async (stream) => (await stateOf(stream))?.last_seq ?? 0,
    keptOf: async (kind) => {
      const kept = await readStream(connection, 'KV_pelton-replays')
      const subjectsOf = new Set(kept.map(({ subject }) => subject))
      return [...subjectsOf].filter((subject) => subject.includes(`.${kind}.`))
    },
    inTheMiddleOf: (count) =>
      vi.waitFor(async () => {
        const left = await countIn(STREAMS.deadLetters)
        expect(left).toBeLessThan(count - 20)
        expect(left).toBeGreaterThan(20)
      }, PATIENT),
    close: async () => {
      await endWorkers('SIGKILL')
      window.close()
      await broker.stop()
    },
  }
}

/** The task a command says that it runs. */
export async function taskOf(cli: CliProcess): Promise<string> {
  await cli.until('task ')
  return /task (\S+)/.exec(cli.err())?.[1] ?? ''
}
