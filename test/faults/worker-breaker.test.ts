import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { openPoolModels } from '../../shared/operations/models/pool-models.ts'
import { tokenOfSubject } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { readStream } from '../kit/outcomes.ts'
import { eventually } from '../kit/wait.ts'
import { closeBareModels } from './kit/bare-model.ts'
import { EVENTS, openStage, type Stage, type StagedEvent } from './kit/stage.ts'
import { flightEvents } from './kit/stage-events.ts'
import { stageModels } from './kit/stage-models.ts'

const MODEL = 'gather'
const WORKERS = 3
/** Of the healthy model, published behind all events of the other. */
const FLIGHTS = Math.ceil(EVENTS / 10)
/** Longer nobody waits for what is asked of a crowded machine, milliseconds. */
const PATIENCE_MS = 600_000

afterAll(closeBareModels)

/** Looked up at its index in a table of four rows: version 1 looks a thousand rows before that, where there is none. */
function lookup(at: number): StagedEvent {
  return {
    model: MODEL,
    id: `lookup-${at}`,
    inputs: [{ name: 'index', datatype: 'INT64', shape: [1], data: BigInt64Array.of(BigInt(at % 4)) }],
  }
}

/** A model that fails on every event it gets, beside the demo's. */
const failingModels = (): Promise<string> => stageModels({ [MODEL]: '' })

/** Ships a version 2 of it that looks where the events say. */
async function ship(models: string): Promise<void> {
  const folder = join(models, MODEL)
  const file = await readFile(join(folder, '1', 'model.onnx'))
  const far = Buffer.alloc(8)
  far.writeBigInt64LE(-1_000n)
  const at = file.indexOf(far)
  expect(at, 'the number that is added to each index').toBeGreaterThan(0)
  file.fill(0, at, at + far.length)
  await mkdir(join(folder, '.2'))
  await writeFile(join(folder, '.2', 'model.onnx'), file)
  await rename(join(folder, '.2'), join(folder, '2'))
}

const nameOf = (place: number): string => `worker-${place}`

async function recordsOf({ connection }: Stage) {
  const records = await openPoolModels(connection, { pool: 'default' })
  onTestFinished(() => records.close())
  return { breaker: () => records.find(MODEL)?.breaker }
}

async function countIn({ connection }: Stage, stream: string): Promise<number> {
  return (await streamInfo(connection, stream))?.state.messages ?? 0
}

/** Probing workers that are killed. */
const PROBERS = 2

/** Whether every event of a feed has its prediction. */
async function isAnswered({ connection, feed }: Stage): Promise<boolean> {
  const results = await readStream(connection, STREAMS.results)
  const answered = new Set(results.map(({ subject }) => tokenOfSubject(subject)))
  return feed.accepted.every(({ token }) => answered.has(token))
}

/** Whoever probes is killed; a probe may be over before its worker is. */
async function killProbers(
  { fleet }: Stage,
  breaker: Awaited<ReturnType<typeof recordsOf>>['breaker'],
): Promise<void> {
  for (let time = 0; time < PROBERS; time++) {
    const by = await eventually('a worker to probe', () => breaker()?.probing?.by, {
      everyMs: 1,
      limitMs: PATIENCE_MS,
    })
    await fleet.end('SIGKILL', await fleet.inPlace(Number(by.slice(nameOf(0).length - 1))))
    await fleet.whole()
  }
}

test('a model that fails on everything, its events ahead of a healthy one, workers killed while it is held and probed', async () => {
  const models = await failingModels()
  const stage = await openStage('worker: a model fails on everything', {
    models,
    workers: WORKERS,
    events: await flightEvents(FLIGHTS),
    // All of it may be parked, however many events there are.
    worker: (place) => ({
      env: {
        PELTON_WORKER: nameOf(place),
        PELTON_PARKED_EVENTS: String(2 * EVENTS),
        PELTON_RETRIES_EVENTS: String(4 * EVENTS),
      },
    }),
  })
  const { fleet, feed, random } = stage
  const { breaker } = await recordsOf(stage)
  const failing = stage.addFeed(Array.from({ length: EVENTS }, (_, at) => lookup(at)))
  failing.send(EVENTS)
  await failing.done
  const began = performance.now()
  feed.send(FLIGHTS)
  await eventually('the breaker to open', () => breaker() !== undefined, { limitMs: PATIENCE_MS })
  for (let time = 0; time < 2; time++) {
    await sleep(1_000 * random())
    await fleet.end('SIGKILL')
  }
  await fleet.whole()
  await eventually('the healthy model to have answered all', () => isAnswered(stage), {
    everyMs: 500,
    limitMs: PATIENCE_MS,
  })
  const healthyS = (performance.now() - began) / 1_000
  // Nothing of the failing one was answered: all of it waits but for what it failed on before.
  const waiting = (await countIn(stage, STREAMS.features)) + (await countIn(stage, STREAMS.retries))
  expect(breaker()).toBeDefined()
  expect(waiting).toBeGreaterThan(EVENTS / 2)
  await killProbers(stage, breaker)

  await ship(models)
  for (let place = 0; place < WORKERS; place++) {
    await fleet.end('SIGTERM', await fleet.inPlace(place))
    await fleet.whole()
  }
  stage.faultEnded()
  const note = `${EVENTS} events of it ahead of ${FLIGHTS} of another, answered within ${healthyS.toFixed(1)} s; ${PROBERS} probing workers killed`
  const findings = await stage.conclude({
    // What it failed on before it was known to is tried again, and may have used its attempts up.
    endings: (id) => (id.startsWith('lookup') ? ['prediction', 'inference-failed'] : 'prediction'),
    note,
  })
  expect(breaker()).toBeUndefined()
  expect(findings.predictions).toBeGreaterThan(FLIGHTS + EVENTS / 2)
})
