import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { STORES, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { type Outcomes, readOutcomes } from '../kit/outcomes.ts'
import { openPipeline, type Pipeline, type PipelineOptions } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'

const MODEL = 'identity-fp32'
const PAYLOAD = JSON.stringify({ inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [1, 2] }] })
const EVENT = { model: MODEL, body: PAYLOAD }

let folder: Awaited<ReturnType<typeof modelsFolder>>

beforeEach(async () => {
  folder = await modelsFolder([MODEL])
})

afterEach(() => folder.remove())

async function open(broker: PipelineOptions['broker'] = {}): Promise<Pipeline> {
  const pipeline = await openPipeline({ broker, models: folder.path })
  onTestFinished(() => pipeline.close())
  return pipeline
}

const reasonsOf = ({ deadLetters }: Outcomes): (string | undefined)[] =>
  [...deadLetters.values()].map(({ headers: found }) => readHeader(found, HEADERS.deadLetterReason))

test('a backlog of large events in two lanes is answered within little memory', async () => {
  const pipeline = await open()
  const count = 1_500
  const window = new PublishWindow(pipeline.connection)
  const body = Buffer.from(PAYLOAD + ' '.repeat(60_000))
  for (let from = 0; from < count; from += 100)
    await Promise.all(
      Array.from({ length: 100 }, async (_event, offset) => {
        const lane = offset % 2 === 0 ? 'normal' : 'low'
        const subject = `features.default.${MODEL}.${lane}`
        const reply = await window.publish({ subject, headers: [[HEADERS.id, `${from + offset}`]], body })
        expect(reply.kind).toBe('stored')
      }),
    )
  window.close()
  // Pulls are cut by bytes again and again: no more than a few hundred of these fit.
  await pipeline.startWorker({ PELTON_HELD_BYTES: String(16 * 1024 ** 2) })
  await eventually('all results', async () => (await pipeline.countIn(STREAMS.results)) === count, {
    seen: () => pipeline.countIn(STREAMS.results),
  })
})

test('a subject that grows beyond its limit when it is encoded makes a dead letter, and no worker ends', async () => {
  const pipeline = await open()
  const worker = await pipeline.startWorker()
  await pipeline.publish({ ...EVENT, subject: `features.default.${'!'.repeat(86)}.normal`, id: 'ascii' })
  await pipeline.publish({ ...EVENT, subject: `features.default.${'數'.repeat(32)}.normal`, id: 'wide' })
  await pipeline.publish({ ...EVENT, id: 'good' })
  const outcomes = await pipeline.settled(3)
  expect(reasonsOf(outcomes)).toEqual(['unknown-model', 'unknown-model'])
  expect(outcomes.predictions.size).toBe(1)
  worker.kill('SIGTERM')
  expect(await worker.ended).toBe(0)
})

test('a structured event becomes a dead letter with its data as it was written', async () => {
  const pipeline = await open()
  await pipeline.startWorker()
  const data = `{"inputs":[${Array(180_000).fill('1e20').join(',')}]}`
  const envelope = `{"specversion":"1.0","id":"s","source":"test","type":"t","data":${data}}`
  await pipeline.publish({
    ...EVENT,
    id: 'a',
    body: envelope,
    headers: { 'Content-Type': 'application/cloudevents+json' },
  })
  await pipeline.publish({ ...EVENT, id: 'good' })
  const outcomes = await pipeline.settled(2)
  expect(outcomes.predictions.size).toBe(1)
  const [letter] = outcomes.deadLetters.values()
  expect(Buffer.from(letter?.body ?? []).toString()).toBe(data)
  expect(readHeader(letter?.headers ?? new Map(), 'content-type')).toBeUndefined()
  expect(readHeader(letter?.headers ?? new Map(), HEADERS.id)).toBe('s')
})

test('an event larger than a limit that was lowered since stays until it is raised again; others go on', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'pelton-limits-'))
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }))
  const before = await open({ dataDir })
  await before.publish({ ...EVENT, id: 'large', body: `{"rows": "${'x'.repeat(600_000)}"}` })
  await before.close()

  const lowered = await open({ dataDir, config: 'max_payload: 256KB' })
  const worker = await lowered.startWorker()
  await lowered.publish({ ...EVENT, id: 'good' })
  await eventually('the worker to name the limit', () =>
    worker.log.some(({ msg }) => String(msg).includes('max_payload')),
  )
  await eventually(
    'the prediction of its neighbour',
    async () => (await readOutcomes(lowered.connection)).predictions.size === 1,
  )
  expect(await lowered.countIn(STREAMS.deadLetters)).toBe(0)
  worker.kill('SIGTERM')
  expect(await worker.ended).toBe(0)
  await lowered.close()

  const raised = await open({ dataDir })
  await raised.startWorker()
  expect(reasonsOf(await raised.settled(2))).toEqual(['malformed'])
})

test('without the bucket of start marks a worker stops pulling and says so, until it is there again', async () => {
  const pipeline = await open()
  await requestApi(pipeline.connection, `STREAM.DELETE.${STORES.starts}`)
  await pipeline.publish({ ...EVENT, id: 'again', headers: { [HEADERS.attempt]: '2' } }) // a suspect from its first delivery
  const worker = await pipeline.startWorker()
  const refusing = ({ refusing: told = {} }: Readonly<Record<string, unknown>>): boolean =>
    STORES.starts in (told as object)
  await eventually('the worker to name the bucket', () => worker.log.some(refusing))
  await pipeline.broker.provision()
  expect((await pipeline.settled(1)).predictions.size).toBe(1)
})
