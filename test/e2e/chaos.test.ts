import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { InferenceSession, Tensor as RuntimeTensor } from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FlightEvent, loadFlights } from '../../services/demo/flights.ts'
import { DEMO_MODEL, DEMO_MODELS } from '../../services/demo/models.ts'
import { type EmbeddedBroker, startBroker } from '../../shared/sdk/broker/server.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { decodeResponse } from '../../shared/sdk/contract/open-inference.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { provision } from '../../shared/sdk/jetstream/provision.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { readOutcomes, type StoredRecord } from '../kit/outcomes.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'

const WORKERS = 8
const PROBABILITY = 'probability'
const ACK_WAIT_MS = 3_000
const SECONDS = Number(process.env.PELTON_CHAOS_SECONDS ?? 20)
const SEED = Number(process.env.PELTON_CHAOS_SEED ?? Date.now() % 2 ** 31)
/** 20,000 events in the full minute. */
const EVENTS = Math.ceil((20_000 * SECONDS) / 60)

/** Numbers in [0, 1) that a seed fixes (mulberry32). */
function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Eight worker processes; one that is killed is replaced at once. */
function createFleet(url: string) {
  const alive = new Set<WorkerProcess>()
  const starting = new Set<Promise<void>>()
  let isStopped = false

  function add(): void {
    const started = startWorkerProcess({
      url,
      models: DEMO_MODELS,
      env: { PELTON_THREADS: '1', PELTON_HELD_ROWS: '256' },
    }).then((worker) => {
      starting.delete(started)
      alive.add(worker)
      if (isStopped) worker.kill('SIGKILL')
    })
    starting.add(started)
  }

  return {
    fill(): void {
      while (alive.size + starting.size < WORKERS) add()
    },
    started: () => Promise.all(starting),
    /** Ends the worker that `random` chooses, with no chance to say goodbye. False while none is up. */
    async killOne(random: () => number): Promise<boolean> {
      const worker = [...alive][Math.floor(random() * alive.size)]
      if (worker === undefined) return false
      alive.delete(worker)
      worker.kill('SIGKILL')
      await worker.ended
      add()
      return true
    },
    async stop(): Promise<void> {
      isStopped = true
      for (const worker of alive) worker.kill('SIGKILL')
      await Promise.allSettled(starting)
      await Promise.all([...alive].map(({ ended }) => ended))
    },
  }
}

/** What the runtime alone says of each flight by itself: the probability that it is late. */
async function bareProbabilities(flights: readonly FlightEvent[]): Promise<number[]> {
  process.env.ORT_DISABLE_TELEMETRY = '1'
  const session = await InferenceSession.create(`${DEMO_MODELS}/${DEMO_MODEL}/2/model.onnx`, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
  })
  const probabilities: number[] = []
  for (const { features } of flights) {
    const feeds: Record<string, RuntimeTensor> = {}
    for (const input of session.inputMetadata) {
      const value = features[input.name as keyof typeof features]
      const type = input.isTensor ? input.type : 'none'
      if (type === 'string') feeds[input.name] = new RuntimeTensor(type, [String(value)], [1, 1])
      else if (type === 'int64')
        feeds[input.name] = new RuntimeTensor(type, BigInt64Array.of(BigInt(value)), [1, 1])
      else feeds[input.name] = new RuntimeTensor('float32', Float32Array.of(Number(value)), [1, 1])
    }
    const { [PROBABILITY]: output } = await session.run(feeds, [PROBABILITY])
    probabilities.push(Number(output?.data[0]))
  }
  await session.release()
  return probabilities
}

describe(`eight workers, kill -9 of one each second for ${SECONDS} s, seed ${SEED}`, () => {
  let flights: FlightEvent[]
  let broker: EmbeddedBroker
  let connection: NatsConnection
  let fleet: ReturnType<typeof createFleet>

  beforeAll(async () => {
    console.log(`chaos: PELTON_CHAOS_SEED=${SEED} PELTON_CHAOS_SECONDS=${SECONDS}, ${EVENTS} events`)
    flights = await loadFlights({ count: EVENTS })
    broker = await startBroker()
    connection = await connect({ servers: broker.url })
    await provision(connection, { topology: { ackWaitMs: ACK_WAIT_MS } })
    fleet = createFleet(broker.url)
  })

  afterAll(async () => {
    await fleet?.stop()
    await connection?.close()
    await broker?.stop()
  })

  /** Each second a burst of events, and a kill while they are pulled, run and settled. Returns how many were killed. */
  async function publishAndKill(random: () => number, tokens: string[]): Promise<number> {
    const producer = await createProducer({ connection, source: 'chaos' })
    const pending: Promise<void>[] = []
    let kills = 0
    for (let second = 0; second < SECONDS; second++) {
      const nextSecond = sleep(1_000)
      const until = Math.round((EVENTS * (second + 1)) / SECONDS)
      for (let index = pending.length; index < until; index++) {
        const { id, features } = flights[index] as FlightEvent
        const published = producer.publish({ model: DEMO_MODEL, id, features: { ...features } })
        const noted = published.then(({ token }) => {
          tokens[index] = token
        })
        pending.push(noted)
      }
      await sleep(200 * random())
      if (await fleet.killOne(random)) kills++
      await nextSecond
    }
    await Promise.all(pending)
    await producer.close()
    return kills
  }

  async function drained(): Promise<void> {
    for (;;) {
      const states = await Promise.all(
        [STREAMS.features, STREAMS.retries].map((name) => streamInfo(connection, name)),
      )
      if (states.every((info) => info?.state.messages === 0)) return
      await sleep(200)
    }
  }

  test('every event has one outcome, and every value is the model’s own', async () => {
    fleet.fill()
    await fleet.started()
    const tokens: string[] = []
    const kills = await publishAndKill(createRandom(SEED), tokens)
    await drained()
    const outcomes = await readOutcomes(connection)
    const features = await streamInfo(connection, STREAMS.features)
    const results = await streamInfo(connection, STREAMS.results)
    const expected = await bareProbabilities(flights)

    const stranded = [...outcomes.predictions.values()].filter(
      ({ headers }) => Number(readHeader(headers, HEADERS.queueMs)) >= ACK_WAIT_MS,
    )
    const doubled = [...outcomes.ledger.values()].filter((ended) => ended.length > 1)
    const alreadyAnswered = [...outcomes.ledger.values()].flat().filter((how) => how === 'already-answered')
    console.log(
      `chaos: ${kills} kills, ${outcomes.predictions.size} predictions, ${outcomes.failures.size} dead letters; ` +
        `${stranded.length} predicted after a killed worker had held them, ` +
        `${doubled.length} events settled more than once, ${alreadyAnswered.length} found answered already`,
    )
    expect(kills).toBeGreaterThan(SECONDS / 2)
    expect(outcomes.failures.size).toBe(0)
    expect(new Set(outcomes.predictions.keys())).toEqual(new Set(tokens))
    expect(results?.state.messages).toBe(EVENTS)
    expect(outcomes.waiting).toBe(0)
    const wrong = flights.filter((flight, index) => {
      const answer = outcomes.predictions.get(tokens[index] ?? '')
      return (
        answer === undefined ||
        readHeader(answer.headers, HEADERS.correlationId) !== flight.id ||
        !Object.is(probabilityOf(answer), expected[index])
      )
    })
    expect(wrong.map(({ id }) => id)).toEqual([])
    // Every sequence the broker gave out ended, and none of them in two ways.
    expect(features?.state.last_seq).toBe(EVENTS)
    expect([...outcomes.ledger.keys()].sort((a, b) => a - b)).toEqual(
      Array.from({ length: EVENTS }, (_, index) => index + 1),
    )
    for (const [sequence, ended] of outcomes.ledger)
      expect(
        ended.every((how) => how === 'predicted' || how === 'already-answered'),
        `sequence ${sequence}: ${ended.join(', ')}`,
      ).toBe(true)
  })
})

function probabilityOf({ headers, body }: StoredRecord): number {
  const contentType = readHeader(headers, HEADERS.dataContentType)
  const length = readHeader(headers, HEADERS.inferenceHeaderLength)
  const { outputs } = decodeResponse(contentType, length, body)
  return Number(outputs.find(({ name }) => name === PROBABILITY)?.data[0])
}
