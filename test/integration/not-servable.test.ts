import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { readUnservedModels } from '../../shared/operations/models/unserved-models.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { featureConsumer, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { consumerInfo, requestApi } from '../../shared/sdk/jetstream/api.ts'
import { expectCleanAudit } from '../kit/audit.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import type { Outcomes } from '../kit/outcomes.ts'
import { openPipeline, type PipelineOptions } from '../kit/pipeline.ts'
import { readPrometheus, type Scrape } from '../kit/prometheus-text.ts'
import { eventually } from '../kit/wait.ts'
import { addressOf, type WorkerProcess } from '../kit/worker-process.ts'
import { runCli } from './cli-process.ts'

const MODEL = 'identity-fp32'
const OTHER = 'linear'
const HTTP = { PELTON_HTTP_PORT: '0' }

async function open(options: PipelineOptions = {}) {
  const folder = await modelsFolder([MODEL, OTHER])
  const pipeline = await openPipeline({ ...options, models: folder.path })
  onTestFinished(async () => {
    await pipeline.close()
    await folder.remove()
  })
  const place = join(folder.path, MODEL)
  const away = join(folder.path, `.${MODEL}`)
  const publish = (model: string, value: number): Promise<string> =>
    pipeline.publish({
      model,
      id: `${model}-${value}`,
      headers: { 'x-tenant': 'blue' },
      body: {
        inputs: [
          { name: 'x', shape: [1, model === OTHER ? 3 : 2], datatype: 'FP32', data: row(model, value) },
        ],
      },
    })
  return { pipeline, publish, takeAway: () => rename(place, away), bringBack: () => rename(away, place) }
}

function row(model: string, value: number): number[] {
  return model === OTHER ? [value, 0, 0] : [value, 1]
}

/** The pool has served both models, and no worker is left. */
async function servedBefore({ pipeline, publish }: Awaited<ReturnType<typeof open>>): Promise<void> {
  const worker = await pipeline.startWorker()
  await pipeline.settled([await publish(MODEL, -1), await publish(OTHER, -1)])
  worker.kill('SIGTERM')
  expect(await worker.ended).toBe(0)
}

async function metricsOf(worker: WorkerProcess): Promise<Scrape> {
  const response = await fetch(`${await addressOf(worker)}/metrics`)
  return readPrometheus(await response.text())
}

async function notesOf(
  worker: WorkerProcess,
): Promise<{ readonly code: number; readonly notes: readonly string[] }> {
  const response = await fetch(`${await addressOf(worker)}/readyz`)
  const { notes = [] } = (await response.json()) as { notes?: readonly string[] }
  return { code: response.status, notes }
}

/** How the events ended that came after the two of {@link servedBefore}. */
function endsOf({ ledger }: Outcomes): readonly string[] {
  return [...ledger].filter(([sequence]) => sequence > 2).flatMap(([, ends]) => ends)
}

/** What the model itself makes of an event: identity-fp32 gives back what it gets. */
function expectExact({ predictions }: Outcomes, tokens: ReadonlyMap<string, number>): void {
  for (const [token, value] of tokens) {
    const { outputs } = JSON.parse(Buffer.from(predictions.get(token)!.body).toString())
    expect(outputs[0].data).toEqual(row(MODEL, value))
  }
}

test('a worker that starts while the folder is away parks the events of its model, and answers them once it is back', async () => {
  const stage = await open()
  const { pipeline, publish, takeAway, bringBack } = stage
  await servedBefore(stage)
  await takeAway()
  const worker = await pipeline.startWorker(HTTP)
  const tokens = new Map<string, number>()
  for (let value = 0; value < 30; value++) tokens.set(await publish(MODEL, value), value)
  const others: string[] = []
  for (let value = 0; value < 10; value++) others.push(await publish(OTHER, value))

  await eventually('the other model to answer, and all else to be parked', async () => {
    const waiting = [await pipeline.countIn(STREAMS.features), await pipeline.countIn(STREAMS.retries)]
    return waiting[0] === 0 && waiting[1] === tokens.size && (await pipeline.countIn(STREAMS.results)) === 12
  })
  const { code, notes } = await notesOf(worker)
  expect([code, notes]).toEqual([
    200,
    [expect.stringMatching(/^model: "identity-fp32" is not servable here \(unavailable\), 30 parked: /)],
  ])
  const labels = { model: MODEL, cause: 'unavailable' }
  expect((await metricsOf(worker)).value('pelton_model_not_servable', labels)).toBe(1)
  // Each is asked again where it was in the middle of a look at what is parked.
  const row = /identity-fp32 +default +0 of 1 +30 +there is no such file/
  const status = async (): Promise<string> => (await runCli(['status'], { env: pipeline.env })).out
  await eventually('status to tell of it', async () => row.test(await status()), { seen: status })
  const waiting = /model "identity-fp32" of pool "default": 0 of 1 workers serve it, 30 of its events wait/
  const doctor = async (): Promise<string> => (await runCli(['doctor'], { env: pipeline.env })).out
  await eventually('doctor to tell of it', async () => waiting.test(await doctor()), { seen: doctor })

  await bringBack()
  const outcomes = await pipeline.settled([...tokens.keys(), ...others])
  expect([...outcomes.deadLetters.keys()]).toEqual([])
  expectExact(outcomes, tokens)
  for (const token of tokens.keys()) {
    const { headers } = outcomes.predictions.get(token)!
    expect(readHeader(headers, HEADERS.attempt)).toBe('1')
  }
  const ends = endsOf(outcomes)
  expect(ends.filter((end) => end === 'retried').length).toBe(tokens.size)
  await expectCleanAudit(pipeline)
  await eventually(
    'the metric to be lowered',
    async () => (await metricsOf(worker)).value('pelton_model_not_servable', labels) === 0,
  )
  expect((await notesOf(worker)).notes).toEqual([])
})

test('what one worker of three cannot serve is handed on: nothing is parked, and none of it is a suspect', async () => {
  const stage = await open()
  const { pipeline, publish } = stage
  await servedBefore(stage)
  const parkedBefore = await pipeline.lastIn(STREAMS.retries)
  const without = await modelsFolder([OTHER])
  onTestFinished(() => without.remove())
  await Promise.all([1, 2].map(() => pipeline.startWorker()))
  const lacking = await pipeline.startWorker({ PELTON_MODELS: without.path })
  await eventually('two of the three to serve it', async () => {
    const [model] = await readUnservedModels(pipeline.connection)
    return model?.model === MODEL && model.serving === 2 && model.workers === 3
  })
  const tokens = new Map<string, number>()
  for (let value = 0; value < 200; value++) tokens.set(await publish(MODEL, value), value)
  const outcomes = await pipeline.settled([...tokens.keys()])
  expect([...outcomes.deadLetters.keys()]).toEqual([])
  expectExact(outcomes, tokens)
  expect(new Set(endsOf(outcomes))).toEqual(new Set(['predicted']))
  expect(await pipeline.lastIn(STREAMS.retries)).toBe(parkedBefore)
  lacking.kill('SIGTERM')
  expect(await lacking.ended).toBe(0)
  const counts = lacking.log.find(({ msg }) => msg === 'drained') as {
    'handed-on': number
    predicted: number
  }
  expect(counts['handed-on']).toBeGreaterThan(0)
  expect(counts.predicted).toBe(0)
  await expectCleanAudit(pipeline)
})

test('beyond what may be parked and held back the lane stands and producers are refused; all is answered once the model is back', async () => {
  const [parked, inFlight, inFeatures] = [20, 40, 60]
  const bounds = { featuresMaxMessages: 2 * inFeatures, featuresMaxPerSubject: inFeatures }
  const stage = await open({ topology: { maxAckPending: inFlight, ...bounds } })
  const { pipeline, publish, takeAway, bringBack } = stage
  await servedBefore(stage)
  await takeAway()
  const worker = await pipeline.startWorker({ ...HTTP, PELTON_PARKED_EVENTS: String(parked) })
  const tokens = new Map<string, number>()
  await eventually(
    'a producer to be refused, with all bounds reached',
    async () => {
      const value = tokens.size
      const before = await pipeline.lastIn(STREAMS.features)
      const token = await publish(MODEL, value)
      const isTaken = (await pipeline.lastIn(STREAMS.features)) > before
      if (isTaken) tokens.set(token, value)
      return !isTaken && tokens.size >= parked + inFeatures
    },
    {
      seen: async () => [
        tokens.size,
        await pipeline.countIn(STREAMS.features),
        await pipeline.countIn(STREAMS.retries),
        (await notesOf(worker)).notes,
      ],
    },
  )
  expect(await pipeline.countIn(STREAMS.features)).toBe(inFeatures)
  expect(tokens.size).toBe(parked + inFeatures)
  const { stream, durable_name: consumer } = featureConsumer('default', 'normal')
  const standing = { consumer_name: consumer }
  await eventually(
    'the lane to stand',
    async () => (await metricsOf(worker)).value('pelton_lane_standing', standing) === 1,
  )
  const heldBack = { model: MODEL, cause: 'unavailable', place: 'held-back' }
  expect((await metricsOf(worker)).value('pelton_model_waiting_events', heldBack)).toBeGreaterThan(0)
  const pending: number[] = []
  for (let look = 0; look < 40; look++) {
    const info = await consumerInfo(pipeline.connection, stream, consumer)
    pending.push(info?.num_ack_pending ?? Number.POSITIVE_INFINITY)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  // A quarter by the clock of the worker: beyond it only what a busy broker is late to hear is given back.
  pending.sort((one, other) => one - other)
  expect(pending[pending.length / 2]).toBeLessThanOrEqual(inFlight / 4)
  expect(pending.at(-1)).toBeLessThanOrEqual(inFlight / 2)
  await bringBack()
  const outcomes = await pipeline.settled([...tokens.keys()])
  expect([...outcomes.deadLetters.keys()]).toEqual([])
  expectExact(outcomes, tokens)
  await expectCleanAudit(pipeline)
  await eventually(
    'the lane to go on',
    async () => (await metricsOf(worker)).value('pelton_lane_standing', standing) !== 1,
  )
})

test('a deadline ends a parked event, and an event of a name nobody ever served is a dead letter at once', async () => {
  const stage = await open()
  const { pipeline, publish, takeAway } = stage
  await servedBefore(stage)
  await takeAway()
  await pipeline.startWorker()
  const until = new Date(Date.now() + 1_500).toISOString()
  const body = { inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [1, 1] }] }
  const late = await pipeline.publish({
    model: MODEL,
    id: 'late',
    body,
    headers: { [HEADERS.expiryTime]: until },
  })
  const unknown = await pipeline.publish({ model: 'nobody', id: 'unknown', body })
  await publish(OTHER, 1)
  const { deadLetters } = await pipeline.settled([late, unknown])
  const reasonOf = (token: string): string | undefined =>
    readHeader(deadLetters.get(token)!.headers, HEADERS.deadLetterReason)
  expect([reasonOf(late), reasonOf(unknown)]).toEqual(['deadline-exceeded', 'unknown-model'])
  await expectCleanAudit(pipeline)
})

test('a worker without a folder does not start where the pool knows no model', async () => {
  const { pipeline } = await open()
  const starting = pipeline.startWorker({ PELTON_MODELS: '/nowhere' })
  await expect(starting).rejects.toThrow(/invalid-configuration/)
})

test('a model that is retired is waited for no more: what was parked becomes dead letters, in a running worker', async () => {
  const opened = await open()
  await servedBefore(opened)
  const { pipeline, publish, takeAway } = opened
  await takeAway()
  await pipeline.startWorker({ PELTON_WORKER: 'one' })
  const parked = await publish(MODEL, 1)
  await eventually('the event to be parked', async () => (await pipeline.countIn(STREAMS.retries)) > 0)
  const retire = (model: string) => runCli(['models', 'retire', model], { env: pipeline.env })
  expect(await retire(OTHER)).toMatchObject({ code: 2, err: expect.stringContaining('1 workers serve it') })
  expect(await retire('nobody')).toMatchObject({ code: 2, err: expect.stringContaining('does not know it') })
  expect(await retire(MODEL)).toMatchObject({ code: 0 })
  const late = await publish(MODEL, 2)
  await publish(OTHER, 1)
  const { deadLetters } = await pipeline.settled([parked, late])
  for (const token of [parked, late])
    expect(readHeader(deadLetters.get(token)!.headers, HEADERS.deadLetterReason)).toBe('unknown-model')
  expect(await readUnservedModels(pipeline.connection)).toEqual([])
  await expectCleanAudit(pipeline)
})

test('a worker that serves nothing takes no events as long as another serves some', async () => {
  const opened = await open()
  await servedBefore(opened)
  const { pipeline, publish } = opened
  const serving = await pipeline.startWorker({ PELTON_WORKER: 'one' })
  await pipeline.startWorker({ PELTON_WORKER: 'two', PELTON_MODELS: '/nowhere' })
  const consumer = featureConsumer('default', 'normal').durable_name
  const handedOut = async (): Promise<number> => {
    const subject = `CONSUMER.INFO.${STREAMS.features}.${consumer}`
    type Info = { readonly delivered: { readonly consumer_seq: number } }
    return (await requestApi<Info>(pipeline.connection, subject)).delivered.consumer_seq
  }
  const before = await handedOut()
  const tokens: string[] = []
  for (let value = 1; value <= 60; value++) tokens.push(await publish(MODEL, value))
  await pipeline.settled(tokens)
  expect((await handedOut()) - before).toBe(tokens.length)
  serving.kill('SIGTERM')
  expect(await serving.ended).toBe(0)
  await publish(MODEL, 100)
  await eventually('the other to park it', async () => (await pipeline.countIn(STREAMS.retries)) > 0)
})
