import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { gatesOf } from '../../shared/operations/models/breaker.ts'
import { openPoolModels } from '../../shared/operations/models/pool-models.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { expectCleanAudit } from '../kit/audit.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { type Outcomes, readStream } from '../kit/outcomes.ts'
import { openPipeline, type PipelineOptions } from '../kit/pipeline.ts'
import { readPrometheus } from '../kit/prometheus-text.ts'
import { staged } from '../kit/staged.ts'
import { eventually } from '../kit/wait.ts'
import { addressOf, type WorkerProcess } from '../kit/worker-process.ts'
import { runCli } from './cli-process.ts'

/** A table of four rows, looked up at index - 1000: it fails on an index beyond it. */
const MODEL = 'gather'
const NEIGHBOUR = 'identity-fp32'
const [GOOD, BAD] = [1_000, 7_000]
const HTTP = { PELTON_HTTP_PORT: '0' }
/** Times that a test does not live to see, milliseconds. */
const NEVER_MS = 3_600_000

const test = staged(() => openStage({}))

async function openStage(options: PipelineOptions) {
  const folder = await modelsFolder([MODEL, NEIGHBOUR])
  await writeFile(join(folder.path, MODEL, 'manifest.yaml'), 'retries:\n  maxAttempts: 2\n')
  const pipeline = await openPipeline({ ...options, models: folder.path })
  const records = await openPoolModels(pipeline.connection, { pool: 'default' })

  /** Publishes events for a model, each of a name of its own, and gives their tokens. */
  const send = (model: string, name: string, count: number, index = GOOD): Promise<string[]> => {
    const inputs =
      model === MODEL
        ? [{ name: 'index', datatype: 'INT64', shape: [1], data: [index] }]
        : [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [index, 1] }]
    const one = (at: number): Promise<string> =>
      pipeline.publish({ model, id: `${name}-${at}`, body: { inputs } })
    return Promise.all(Array.from({ length: count }, (_, at) => one(at)))
  }
  const breaker = () => records.find(MODEL)?.breaker
  const opened = () => eventually('the breaker to open', () => breaker() !== undefined)
  /** It is open, and nobody probes while the test lasts. */
  const openForLong = (now = Date.now()) =>
    records.update(MODEL, (record) => ({
      ...record,
      breaker: {
        ...{ since: now, cause: 'a reason', failures: 20, probes: 9 },
        nextProbeAt: now + NEVER_MS,
      },
    }))
  return {
    ...pipeline,
    records,
    send,
    breaker,
    opened,
    openForLong,
    async close() {
      await records.close()
      await pipeline.close()
      await folder.remove()
    },
  }
}

const reasonOf = ({ deadLetters }: Outcomes, token: string): string | undefined => {
  const letter = deadLetters.get(token)
  return letter && readHeader(letter.headers, HEADERS.deadLetterReason)
}

const attemptsOf = ({ predictions }: Outcomes, tokens: readonly string[]): ReadonlySet<string | undefined> =>
  new Set(tokens.map((token) => readHeader(predictions.get(token)!.headers, HEADERS.attempt)))

async function metricsOf(worker: WorkerProcess) {
  return readPrometheus(await (await fetch(`${await addressOf(worker)}/metrics`)).text())
}

/** How often a worker has said so. */
const linesOf = ({ log }: WorkerProcess, text: RegExp): number =>
  log.filter(({ msg }) => text.test(String(msg))).length

test('a model that fails on everything is run no more, and heals with the first event it does not fail on', async ({
  stage,
}) => {
  const worker = await stage.startWorker(HTTP)
  const bad = await stage.send(MODEL, 'bad', 40, BAD)
  await stage.opened()
  expect(stage.breaker()).toMatchObject({ failures: expect.any(Number), cause: expect.stringMatching(/\S/) })
  expect(gatesOf(stage.records.find(MODEL), stage.breaker()!.since)).toMatchObject([{ limit: 'breaker' }])
  const good: string[] = []
  for (let round = 0; stage.breaker() !== undefined; round++)
    good.push(...(await stage.send(MODEL, `good-${round}`, 4)))
  const outcomes = await stage.settled([...bad, ...good])
  expect(new Set(outcomes.predictions.keys())).toEqual(new Set(good))
  expect(attemptsOf(outcomes, good)).toEqual(new Set(['1']))
  expect(new Set(bad.map((token) => reasonOf(outcomes, token)))).toEqual(new Set(['inference-failed']))
  // Told once each time: it may open again for what it fails on.
  const told = () =>
    [/its breaker is open/, /breaker of a model is closed/].map((text) => linesOf(worker, text))
  await eventually('as many lines as it opened and closed', () => {
    const [opened = 0, closed] = told()
    return opened > 0 && opened === closed
  })
  await expectCleanAudit(stage)
})

test('what waits for a probe is parked at its attempt, and its neighbour in the same lane goes on', async ({
  stage,
}) => {
  const worker = await stage.startWorker(HTTP)
  await stage.settled([
    ...(await stage.send(MODEL, 'before', 1)),
    ...(await stage.send(NEIGHBOUR, 'before', 1)),
  ])
  await stage.openForLong()
  const ahead = await stage.send(MODEL, 'ahead', 500)
  const neighbours = await stage.send(NEIGHBOUR, 'neighbour', 50)
  const seen = async () => [await stage.countIn(STREAMS.features), await stage.countIn(STREAMS.results)]
  await eventually(
    'the neighbour to be answered, and all else to be parked',
    async () => (await seen()).join() === `0,${neighbours.length + 2}`,
    { seen },
  )
  // A copy that is looked at again lies there twice for a moment.
  expect(await stage.countIn(STREAMS.retries)).toBeGreaterThanOrEqual(ahead.length)
  const metrics = await metricsOf(worker)
  expect(metrics.value('pelton_model_breaker', { model: MODEL })).toBe(1)
  expect(metrics.value('pelton_model_not_servable', { model: MODEL, cause: 'breaker' })).toBe(1)
  const waiting = { model: MODEL, cause: 'breaker', place: 'parked' }
  expect(metrics.value('pelton_model_waiting_events', waiting)).toBeGreaterThan(0)
  const status = await runCli(['status'], { env: stage.env })
  expect(status.out).toMatch(/gather +default +1 of 1 +\d+ +it failed on 20 events in a row, .*a reason/)
  const doctor = await runCli(['doctor'], { env: stage.env })
  expect(doctor.out).toMatch(
    /model "gather" of pool "default".*\d+ of its events wait.*it failed on 20 events/,
  )

  const readmitted = await runCli(['models', 'readmit', MODEL], { env: stage.env })
  expect([readmitted.code, readmitted.err]).toEqual([0, expect.stringContaining('was not run any more')])
  const outcomes = await stage.settled([...ahead, ...neighbours])
  expect(outcomes.deadLetters.size).toBe(0)
  expect(attemptsOf(outcomes, ahead)).toEqual(new Set(['1']))
  await eventually(
    'the metric to be lowered',
    async () => (await metricsOf(worker)).value('pelton_model_breaker', { model: MODEL }) === 0,
  )
  await expectCleanAudit(stage)
})

test('where nothing comes any more it is probed with what is parked', async ({ stage }) => {
  await stage.startWorker()
  await stage.settled(await stage.send(MODEL, 'before', 1))
  await stage.openForLong()
  const parked = await stage.send(MODEL, 'parked', 3)
  await eventually('them to be parked', async () => (await stage.countIn(STREAMS.retries)) === parked.length)
  await stage.records.update(MODEL, (record) => ({
    ...record,
    breaker: { ...record.breaker!, nextProbeAt: Date.now() },
  }))
  const outcomes = await stage.settled(parked)
  expect(outcomes.deadLetters.size).toBe(0)
  await eventually('the breaker to be closed', () => stage.breaker() === undefined)
})

test('a large event, read by threads, is parked and probed with as any', async ({ stage }) => {
  await stage.startWorker()
  await stage.settled(await stage.send(MODEL, 'before', 1))
  await stage.openForLong()
  const inputs = [{ name: 'index', datatype: 'INT64', shape: [1], data: [GOOD] }]
  const body = { inputs, parameters: { fill: 'x'.repeat(200_000) } }
  const envelope = { specversion: '1.0', id: 'structured', source: 'test', data: body }
  const tokens = [
    await stage.publish({ model: MODEL, id: 'large', body }),
    await stage.publish({
      model: MODEL,
      id: 'structured',
      body: envelope,
      headers: { 'Content-Type': 'application/cloudevents+json' },
    }),
  ]
  await eventually('them to be parked', async () => (await stage.countIn(STREAMS.retries)) === tokens.length)
  await stage.records.update(MODEL, (record) => ({
    ...record,
    breaker: { ...record.breaker!, nextProbeAt: Date.now() },
  }))
  const outcomes = await stage.settled(tokens)
  expect(outcomes.deadLetters.size).toBe(0)
  await eventually('the breaker to be closed', () => stage.breaker() === undefined)
  await expectCleanAudit(stage)
})

test('beyond what may be parked its events become dead letters where an operator wants it so, and the lane goes on', async ({
  stage,
}) => {
  const most = 20
  await stage.startWorker({ PELTON_PARKED_EVENTS: String(most), PELTON_BREAKER_BEYOND: 'dead-letter' })
  await stage.settled(await stage.send(MODEL, 'before', 1))
  await stage.openForLong()
  const all = await stage.send(MODEL, 'more', 100)
  const neighbours = await stage.send(NEIGHBOUR, 'neighbour', 10)
  const seen = async () => [await stage.countIn(STREAMS.deadLetters), await stage.countIn(STREAMS.retries)]
  await eventually(
    'the rest to be given up',
    async () => (await seen()).join() === `${all.length - most},${most}`,
    { seen },
  )
  const letters = await readStream(stage.connection, STREAMS.deadLetters)
  for (const { headers } of letters) {
    expect(readHeader(headers, HEADERS.deadLetterReason)).toBe('inference-failed')
    expect(readHeader(headers, HEADERS.deadLetterDescription)).toMatch(/it was not run, .*a reason/)
  }
  await runCli(['models', 'readmit', MODEL], { env: stage.env })
  const outcomes = await stage.settled([...all, ...neighbours])
  expect(outcomes.predictions.size).toBe(1 + most + neighbours.length)
  await expectCleanAudit(stage)
})

test('what several workers hear of it, and what one of them probes, is the same for all', async ({
  stage,
}) => {
  const workers = await Promise.all(
    ['one', 'two', 'three'].map((name) => stage.startWorker({ PELTON_WORKER: name })),
  )
  const bad = await stage.send(MODEL, 'bad', 150, BAD)
  await stage.opened()
  await eventually('each to have heard', () =>
    workers.every((worker) => linesOf(worker, /its breaker is open/) > 0),
  )
  const good: string[] = []
  for (let round = 0; stage.breaker() !== undefined; round++)
    good.push(...(await stage.send(MODEL, `good-${round}`, 4)))
  await eventually('each to have heard', () =>
    workers.every((worker) => linesOf(worker, /breaker of a model is closed/) > 0),
  )
  await stage.records.update(MODEL, ({ breaker: _breaker, ...record }) => record)
  const outcomes = await stage.settled([...bad, ...good])
  expect(new Set(outcomes.predictions.keys())).toEqual(new Set(good))
  await expectCleanAudit(stage)
})
