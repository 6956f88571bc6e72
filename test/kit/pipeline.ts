import { headers, type NatsConnection } from '@nats-io/transport-node'
import { expect } from 'vitest'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import type { StartBrokerOptions } from '../../shared/sdk/broker/server.ts'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { type Lane, subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { namesOf } from '../../shared/sdk/jetstream/names-of.ts'
import { type ProvisionOptions, provision } from '../../shared/sdk/jetstream/provision.ts'
import { startTestBroker, type TestBroker, testPrefix } from './broker.ts'
import { latestModels } from './models-folder.ts'
import { countWaiting, type Outcomes, type ReadOutcomesOptions, readOutcomes } from './outcomes.ts'
import { eventually } from './wait.ts'
import { startWorkerProcess, type WorkerProcess, type WorkerProcessOptions } from './worker-process.ts'

/** The source of every event that does not name its own. */
export const SOURCE = 'test'

/** An event as any NATS client can publish it. */
export interface PublishedEvent {
  readonly id: string
  /** JSON where it is an object. @default a good flight */
  readonly body?: string | Uint8Array | object
  /** @default the model of the demo */
  readonly model?: string
  /** @default 'default' */
  readonly pool?: string
  /** @default 'normal' */
  readonly lane?: Lane
  /** The whole subject, where Pelton's own builder would refuse it. Default: made of pool, model and lane. */
  readonly subject?: string
  /** Beside id and source. */
  readonly headers?: Readonly<Record<string, string>>
}

export interface PipelineOptions extends ProvisionOptions {
  readonly broker?: Omit<StartBrokerOptions, 'binary'>
  /** Uses the broker of another, which ends it. @default a broker of its own */
  readonly beside?: Pick<Pipeline, 'broker'>
  /** Which Pelton of the broker this is. Default: that of `PELTON_PREFIX`, else the one without a prefix. */
  readonly prefix?: string
  /** Models folder of workers that name none. @default the demo's latest */
  readonly models?: string
}

/** A broker of its own with Pelton's streams, events, and workers: what most tests look at Pelton with. */
export interface Pipeline {
  readonly broker: TestBroker
  /** Ended with the broker. */
  readonly connection: NatsConnection
  /** Environment of a command that works on it, as the operator `ops`. */
  readonly env: NodeJS.ProcessEnv
  /** Every worker that was started, in order. */
  readonly workers: readonly WorkerProcess[]
  /** Starts a worker and waits until it is ready. */
  startWorker(env?: NodeJS.ProcessEnv, options?: Partial<WorkerProcessOptions>): Promise<WorkerProcess>
  /** Ends all workers: SIGTERM lets them drain. */
  endWorkers(signal?: NodeJS.Signals): Promise<void>
  /** Publishes an event, and returns its token once FEATURES has it. */
  publish(event: PublishedEvent): Promise<string>
  /** Waits until no event waits and there are so many outcomes, or those of these tokens. */
  settled(expected: number | readonly string[], options?: ReadOutcomesOptions): Promise<Outcomes>
  /** Messages in a stream. */
  countIn(stream: string): Promise<number>
  /** The last sequence a stream gave out. */
  lastIn(stream: string): Promise<number>
  /** Ends workers and broker. */
  close(): Promise<void>
}

/** Opens one for each test: `beforeEach(async () => { pipeline = await openPipeline() }); afterEach(() => pipeline.close())`. */
export async function openPipeline(options: PipelineOptions = {}): Promise<Pipeline> {
  const {
    broker: brokerOptions,
    beside,
    prefix = testPrefix(),
    models = latestModels(),
    ...topology
  } = options
  const broker = beside?.broker ?? (await startTestBroker(brokerOptions))
  const connection = await broker.connect({ prefix })
  await provision(connection, topology)
  const own = prefix === undefined ? {} : { PELTON_PREFIX: prefix }
  const workers: WorkerProcess[] = []
  const endWorkers = async (signal?: NodeJS.Signals): Promise<void> => {
    for (const worker of workers) worker.kill(signal)
    await Promise.all(workers.map(({ ended }) => ended))
  }
  const stateOf = async (stream: string) => (await streamInfo(connection, stream))?.state
  return {
    broker,
    connection,
    env: { PELTON_NATS_URL: broker.url, USER: 'ops', ...own },
    workers,
    startWorker: async (env, given) => {
      const worker = await startWorkerProcess({ url: broker.url, models, ...given, env: { ...own, ...env } })
      workers.push(worker)
      return worker
    },
    endWorkers,
    publish: (event) => publishEvent(connection, event),
    settled: (expected, given) => settled(connection, expected, given),
    countIn: async (stream) => (await stateOf(stream))?.messages ?? 0,
    lastIn: async (stream) => (await stateOf(stream))?.last_seq ?? 0,
    close: async () => {
      await endWorkers('SIGKILL')
      if (beside === undefined) await broker.stop()
      else await connection.close()
    },
  }
}

/** Publishes as a plain NATS client does, and returns the token of the event. */
export async function publishEvent(connection: NatsConnection, event: PublishedEvent): Promise<string> {
  const {
    id,
    body = { features: EXAMPLE_FLIGHT },
    model = 'flight-delay',
    pool = 'default',
    lane = 'normal',
  } = event
  const block = headers()
  const all = { [HEADERS.id]: id, [HEADERS.source]: SOURCE, ...event.headers }
  for (const [name, value] of Object.entries(all)) block.set(name, value)
  const subject = event.subject ?? subjects.feature({ pool, model, lane })
  const payload = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
  const names = namesOf(connection)
  const reply = await connection.request(names.subject(subject), payload, {
    headers: block,
    timeout: 20_000,
  })
  expect(reply.json()).toMatchObject({ stream: names.stream(STREAMS.features) })
  return eventToken(model, all[HEADERS.source] ?? SOURCE, id)
}

/**
 * Waits until no event waits and there are so many outcomes, or those of these tokens.
 *
 * @throws when that does not come: with what is missing, and how many events wait
 */
export async function settled(
  connection: NatsConnection,
  expected: number | readonly string[],
  options?: ReadOutcomesOptions,
): Promise<Outcomes> {
  const wanted =
    typeof expected === 'number' ? `${expected} outcomes` : `outcomes of ${expected.length} events`
  const look = async (): Promise<Outcomes | undefined> => {
    if ((await countWaiting(connection)) > 0) return undefined // before all is read again
    const outcomes = await readOutcomes(connection, options)
    return outcomes.waiting === 0 && missing(outcomes, expected).count === 0 ? outcomes : undefined
  }
  const seen = async (): Promise<string> => describe(await readOutcomes(connection, options), expected)
  return eventually(wanted, look, { seen })
}

function missing(outcomes: Outcomes, expected: number | readonly string[]) {
  const has = (token: string): boolean => outcomes.predictions.has(token) || outcomes.failures.has(token)
  if (typeof expected === 'number')
    return { count: Math.max(0, expected - outcomes.predictions.size - outcomes.failures.size), tokens: [] }
  const tokens = expected.filter((token) => !has(token))
  return { count: tokens.length, tokens }
}

function describe(outcomes: Outcomes, expected: number | readonly string[]): string {
  const { count, tokens } = missing(outcomes, expected)
  const named = tokens.length > 0 ? ` (${tokens.slice(0, 5).join(', ')})` : ''
  const { predictions, failures, waiting } = outcomes
  return `${predictions.size} predictions, ${failures.size} failures, ${count} missing${named}, ${waiting} events wait`
}
