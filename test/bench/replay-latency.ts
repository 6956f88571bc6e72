// What a paced replay does to live events: their latency from publish to result, without a replay, beside one, and
// without again, in one run on one broker with one worker.
// npx tsx test/bench/replay-latency.ts [--live=200] [--rate=500] [--seconds=20] [--rounds=1]
import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { type FlightEvent, loadFlights } from '../../services/demo/flights.ts'
import { DEMO_MODEL, DEMO_MODELS } from '../../services/demo/models.ts'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { type Lane, subjects, tokenOfSubject } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startCli } from '../integration/cli-process.ts'
import { startTestBroker } from '../kit/broker.ts'
import { startWorkerProcess } from '../kit/worker-process.ts'
import { numberArgument, quantile } from '../scale/stage.ts'

const live = numberArgument('live', 200)
const rate = numberArgument('rate', 500)
const seconds = numberArgument('seconds', 20)
const rounds = numberArgument('rounds', 1)
const SOURCE = '/bench'
/** Tenths of the live events in each lane: the low lane is the replay's. */
const LANES: readonly Lane[] = ['high', 'normal']
/** The ramp of the replay, and what a worker needs to warm up, are not part of a phase. */
const SETTLE_SECONDS = 5

const flights = await loadFlights({ count: 20_000 })
const broker = await startTestBroker()
const connection = await broker.connect()
const worker = await broker
  .provision()
  .then(() => startWorkerProcess({ url: broker.url, models: DEMO_MODELS }))
const window = new PublishWindow(connection)

const bodyOf = (index: number): Buffer =>
  Buffer.from(JSON.stringify({ features: { ...(flights[index % flights.length] as FlightEvent).features } }))

async function publish(id: string, index: number, lane: Lane, isExpired = false): Promise<void> {
  const reply = await window.publish({
    subject: subjects.feature({ pool: 'default', model: DEMO_MODEL, lane }),
    headers: [
      [HEADERS.id, id],
      [HEADERS.source, SOURCE],
      ...(isExpired ? [[HEADERS.expiryTime, '2020-01-01T00:00:00Z'] as const] : []),
    ],
    body: bodyOf(index),
  })
  if (reply.kind !== 'stored') throw new Error(reply.description)
}

const messagesIn = async (stream: string): Promise<number> =>
  (await streamInfo(connection, stream))?.state.messages ?? 0

/** Events whose deadline has passed: each becomes a dead letter that a replay turns into a prediction. */
async function makeDeadLetters(count: number): Promise<void> {
  for (let from = 0; from < count; from += 1_000)
    await Promise.all(
      Array.from({ length: Math.min(1_000, count - from) }, (_item, offset) =>
        publish(`dead-${from + offset}`, from + offset, 'normal', true),
      ),
    )
  while ((await messagesIn(STREAMS.features)) > 0) await sleep(100)
}

interface Latencies {
  readonly events: number
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** Parts of it, p99: until FEATURES has it; until a worker starts it; its model call. */
  readonly parts: readonly number[]
}

let sent = 0

/** Publishes at a steady rate, whatever comes back, and takes the time of each result. */
async function phase(length: number): Promise<Latencies> {
  const waiting = new Map<string, number>()
  const latencies: number[] = []
  const stored: number[] = []
  const queued: number[] = []
  const inferred: number[] = []
  const results = connection.subscribe('results.>', {
    callback: (_error, message) => {
      const token = tokenOfSubject(message.subject)
      const startedAt = waiting.get(token)
      if (startedAt === undefined) return
      waiting.delete(token)
      latencies.push(performance.now() - startedAt)
      queued.push(Number(message.headers?.get(HEADERS.queueMs)))
      inferred.push(Number(message.headers?.get(HEADERS.inferenceMs)))
    },
  })
  await connection.flush()
  const startedAt = performance.now()
  const publishing: Promise<void>[] = []
  for (let count = 0; count < length * live; count++) {
    const dueInMs = startedAt + (count * 1_000) / live - performance.now()
    if (dueInMs > 1) await sleep(dueInMs)
    const id = `live-${sent++}`
    waiting.set(eventToken(DEMO_MODEL, SOURCE, id), performance.now())
    const begunAt = performance.now()
    const published = publish(id, sent, LANES[sent % LANES.length] ?? 'normal')
    publishing.push(published.then(() => void stored.push(performance.now() - begunAt)))
  }
  await Promise.all(publishing)
  while (waiting.size > 0) await sleep(10)
  results.unsubscribe()
  return {
    events: latencies.length,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    max: Math.max(...latencies),
    parts: [stored, queued, inferred].map((values) => quantile(values, 0.99)),
  }
}

function tell(name: string, { events, p50, p99, max, parts }: Latencies, note = ''): void {
  const [half, most, worst] = [p50, p99, max].map((ms) => ms.toFixed(1).padStart(6))
  const [store, queue, run] = parts.map((ms) => ms.toFixed(0))
  const shares = `p99 of storing ${store}, waiting ${queue}, running ${run} ms`
  console.log(
    `${name.padEnd(14)} p50 ${half} ms, p99 ${most} ms, max ${worst} ms of ${events}; ${shares}${note}`,
  )
}

async function besideReplay(): Promise<Latencies> {
  const args = ['replay', 'start', '--all', '--rate', String(rate), '--ramp', String(SETTLE_SECONDS)]
  const replay = startCli(args, { env: { PELTON_NATS_URL: broker.url, USER: 'bench' }, input: '' })
  await replay.until('task ')
  await phase(SETTLE_SECONDS)
  const before = await messagesIn(STREAMS.deadLetters)
  const startedAt = performance.now()
  const beside = await phase(seconds)
  const done = before - (await messagesIn(STREAMS.deadLetters))
  const each = (done * 1_000) / (performance.now() - startedAt)
  tell('with a replay', beside, `; ${each.toFixed(0)} replayed a second of ${rate} asked for`)
  replay.child.kill('SIGINT')
  await replay.ended
  return beside
}

function ratio(beside: Latencies, ...without: readonly Latencies[]): string {
  const share = (of: 'p50' | 'p99'): string =>
    (beside[of] / (without.reduce((sum, one) => sum + one[of], 0) / without.length)).toFixed(2)
  return `p50 × ${share('p50')}, p99 × ${share('p99')} of what it is without a replay`
}

async function close(connectionToClose: NatsConnection): Promise<void> {
  window.close()
  worker.kill('SIGTERM')
  await worker.ended
  await connectionToClose.close()
  await broker.stop()
}

try {
  await makeDeadLetters(rounds * rate * (seconds + 2 * SETTLE_SECONDS))
  console.log(`${await messagesIn(STREAMS.deadLetters)} dead letters; ${live} live events a second`)
  await phase(SETTLE_SECONDS)
  for (let round = 0; round < rounds; round++) {
    const before = await phase(seconds)
    tell('without', before)
    const beside = await besideReplay()
    await sleep(1_000)
    const after = await phase(seconds)
    tell('without again', after)
    console.log(ratio(beside, before, after))
  }
} finally {
  await close(connection)
}
