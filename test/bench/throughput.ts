// How many flights one worker predicts a second, beside a bare loop on the same broker; then how long events wait at
// half that rate.
// npx tsx test/bench/throughput.ts [--events=50000] [--runs=3] [--seconds=10]
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { loadFlights } from '../../services/demo/flights.ts'
import { DEMO_MODEL, DEMO_MODELS } from '../../services/demo/models.ts'
import { siblingEntry } from '../../shared/runtime/source-entry.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { readStream, type StoredRecord } from '../kit/outcomes.ts'
import { startWorkerProcess } from '../kit/worker-process.ts'
import {
  type Drain,
  median,
  numberArgument,
  openStage,
  quantile,
  rateOf,
  type Stage,
} from '../scale/stage.ts'

const events = numberArgument('events', 50_000)
const runs = numberArgument('runs', 3)
const seconds = numberArgument('seconds', 10)
const flights = await loadFlights({ count: 20_000 })
/** What a prediction for a flight takes with its headers, less those of the bare loop, which stores as much. */
const ANSWER_BYTES = 800
const WARM_UP_SECONDS = 3

async function withWaitingEvents<Result>(measure: (stage: Stage) => Promise<Result>): Promise<Result> {
  const stage = await openStage()
  try {
    const startedAt = performance.now()
    await stage.publishFlights(flights, events, [DEMO_MODEL])
    published.push(rateOf({ events, ms: performance.now() - startedAt }))
    return await measure(stage)
  } finally {
    await stage.close()
  }
}

async function drainWithWorker(stage: Stage): Promise<{ drain: Drain; batchRows: number }> {
  const worker = await startWorkerProcess({ url: stage.url, models: DEMO_MODELS })
  try {
    const drain = await stage.answered(events)
    return { drain, batchRows: meanBatchRows(await readStream(stage.connection, STREAMS.results)) }
  } finally {
    worker.kill('SIGTERM')
    await worker.ended
  }
}

async function drainBare(stage: Stage): Promise<Drain> {
  const { url, execArgv } = siblingEntry(import.meta.url, 'bare-loop')
  const child = spawn(process.execPath, [...execArgv, fileURLToPath(url), stage.url, String(ANSWER_BYTES)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  await once(child, 'message')
  try {
    return await stage.answered(events)
  } finally {
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    await ended
  }
}

/** Every event of a batch names its rows: a batch of b events counts b times 1/b. */
function meanBatchRows(results: readonly StoredRecord[]): number {
  const batches = results.reduce((sum, { headers }) => sum + 1 / numberIn(headers, HEADERS.batchRows), 0)
  return results.length / batches
}

function numberIn(headers: StoredRecord['headers'], name: string): number {
  return Number(readHeader(headers, name))
}

/** Events in bursts of 10 ms at a steady rate, for as long as told. */
async function publishSteadily(stage: Stage, perSecond: number, forSeconds: number): Promise<number> {
  const startedAt = performance.now()
  const pending: Promise<void>[] = []
  let done = 0
  for (let elapsed = 0; elapsed < forSeconds * 1_000; elapsed = performance.now() - startedAt) {
    const due = Math.floor((elapsed / 1_000) * perSecond) - done
    if (due > 0) pending.push(stage.publishFlights(flights, due, [DEMO_MODEL]))
    done += Math.max(0, due)
    await sleep(10)
  }
  await Promise.all(pending)
  return done
}

async function waitAt(perSecond: number): Promise<void> {
  const stage = await openStage()
  const worker = await startWorkerProcess({ url: stage.url, models: DEMO_MODELS })
  try {
    // The first seconds open the model and compile the code: they are no steady state.
    const warmUp = await publishSteadily(stage, perSecond, WARM_UP_SECONDS)
    await stage.answered(warmUp)
    const sent = await publishSteadily(stage, perSecond, seconds)
    await stage.answered(warmUp + sent)
    const results = (await readStream(stage.connection, STREAMS.results)).slice(warmUp)
    const waits = results.map(({ headers }) => numberIn(headers, HEADERS.queueMs))
    console.log(
      `at ${Math.round(perSecond)} events/s for ${seconds} s: queue p50 ${quantile(waits, 0.5).toFixed(1)} ms, ` +
        `p99 ${quantile(waits, 0.99).toFixed(1)} ms, mean batch ${meanBatchRows(results).toFixed(1)} rows`,
    )
  } finally {
    worker.kill('SIGTERM')
    await worker.ended
    await stage.close()
  }
}

const published: number[] = []
const worker: number[] = []
const bare: number[] = []
for (let run = 0; run < runs; run++) {
  const { drain, batchRows } = await withWaitingEvents(drainWithWorker)
  worker.push(rateOf(drain))
  bare.push(rateOf(await withWaitingEvents(drainBare)))
  console.log(
    `run ${run + 1}: worker ${worker.at(-1)?.toFixed(0)} events/s in batches of ${batchRows.toFixed(1)} rows, ` +
      `bare loop ${bare.at(-1)?.toFixed(0)} events/s, publishing ${published.at(-1)?.toFixed(0)} events/s`,
  )
}
console.log(
  `median of ${runs}: worker ${median(worker).toFixed(0)} events/s, bare loop ${median(bare).toFixed(0)} events/s, ` +
    `ratio ${(median(worker) / median(bare)).toFixed(3)}`,
)
await waitAt(median(worker) / 4)
await waitAt(median(worker) / 2)
