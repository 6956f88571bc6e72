import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { openPoolModels } from '../../shared/operations/models/pool-models.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { featureConsumer, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { type Outcomes, readOutcomes } from '../kit/outcomes.ts'
import { openPipeline } from '../kit/pipeline.ts'
import { readPrometheus } from '../kit/prometheus-text.ts'
import { staged } from '../kit/staged.ts'
import { eventually } from '../kit/wait.ts'
import { addressOf } from '../kit/worker-process.ts'
import { runCli } from './cli-process.ts'

const MODEL = 'loops-by-input'
const NEIGHBOUR = 'identity-fp32'
const SLOW = 'counts-up'

const test = staged(openStage)

/** A pipeline with a model that never ends where an event says so, and a healthy one. */
async function openStage() {
  const folder = await modelsFolder([MODEL, NEIGHBOUR, SLOW])
  await writeFile(
    join(folder.path, MODEL, 'manifest.yaml'),
    'limits:\n  timeoutMs: 3000\nretries:\n  maxAttempts: 2\n',
  )
  await writeFile(join(folder.path, SLOW, 'manifest.yaml'), 'batching:\n  maxRows: 1\n')
  const pipeline = await openPipeline({
    topology: { ackWaitMs: 30_000, maxAckPending: 200 },
    models: folder.path,
  })
  const records = await openPoolModels(pipeline.connection, { pool: 'default' })

  const publish = (model: string, id: string, value: number): Promise<string> =>
    pipeline.publish({
      model,
      id,
      lane: model === NEIGHBOUR ? 'high' : 'normal',
      body: { inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [value, 1] }] },
    })

  async function close(): Promise<void> {
    await records.close()
    await pipeline.close()
    await folder.remove()
  }
  return { ...pipeline, publishEvent: pipeline.publish, models: folder.path, records, publish, close }
}

/** Reason and description of a dead letter. */
function whyDead({ deadLetters }: Outcomes, token: string): string {
  const headers = deadLetters.get(token)!.headers
  return `${readHeader(headers, HEADERS.deadLetterReason)}: ${readHeader(headers, HEADERS.deadLetterDescription)}`
}

describe.concurrent('the first run that does not end', () => {
  test('costs its process, once: from then on its model runs apart in every worker', async ({ stage }) => {
    const { publish, records, settled, startWorker } = stage
    const first = await startWorker()
    const endless = [await publish(MODEL, 'endless-1', 1e18)]
    expect(await first.ended).toBe('SIGKILL')
    expect(records.find(MODEL)?.apart).toBeDefined()
    expect(first.messages).toContainEqual({ kind: 'ending', code: 0 })

    const second = await startWorker()
    const good = [await publish(MODEL, 'good', 3), await publish(NEIGHBOUR, 'neighbour', 1)]
    endless.push(await publish(MODEL, 'endless-2', 1e18))
    const outcomes = await settled([...endless, ...good])
    expect(new Set(outcomes.predictions.keys())).toEqual(new Set(good))
    for (const token of endless) expect(whyDead(outcomes, token)).toMatch(/^timed-out: /)
    second.kill()
    expect(await second.ended).toBe(0)
  })

  test('lets what its neighbours have in hand be finished: nothing of theirs is delivered twice', async ({
    stage,
  }) => {
    const { publish, settled, startWorker } = stage
    const endless = await publish(MODEL, 'endless', 1e18)
    const neighbours: string[] = []
    for (let index = 0; index < 200; index++)
      neighbours.push(await publish(NEIGHBOUR, `before-${index}`, index))
    const worker = await startWorker({ PELTON_THREADS: '2' })
    for (let index = 0; index < 200; index++)
      neighbours.push(await publish(NEIGHBOUR, `after-${index}`, index))
    expect(await worker.ended).toBe('SIGKILL')
    await startWorker()
    const outcomes = await settled([...neighbours, endless])
    expect([...outcomes.deadLetters.keys()]).toEqual([endless])
    expect(new Set(outcomes.predictions.keys())).toEqual(new Set(neighbours))
    // Neighbours come by a lane of their own: it has delivered each once.
    const { durable_name: name } = featureConsumer('default', 'high')
    const { delivered } = await requestApi<{ delivered: { consumer_seq: number } }>(
      stage.connection,
      `CONSUMER.INFO.${STREAMS.features}.${name}`,
    )
    expect(delivered.consumer_seq).toBe(neighbours.length)
  })
})

test('an event that ends makes a model no case for the operator; three in a row that do not, do', async ({
  stage,
}) => {
  const { publish, records, settled, startWorker } = stage
  await startWorker()
  await records.update(MODEL, (record) => ({ ...record, apart: { since: 1, inARow: 2 } }))
  const inARow = (): number | undefined => records.find(MODEL)?.apart?.inARow
  await publish(MODEL, 'good', 3)
  await eventually('the count to begin anew', () => inARow() === 0, { seen: inARow })
  await settled([await publish(MODEL, 'endless-1', 1e18)])
  expect(inARow(), 'both attempts of one event').toBe(1)
  await publish(MODEL, 'endless-2', 1e18)
  await publish(MODEL, 'endless-3', 1e18)
  await eventually('three in a row', () => inARow() === 3, { seen: inARow })
})

test('the events of a case for the operator are parked, and answered once it is readmitted', async ({
  stage,
}) => {
  const { publish, records, startWorker, countIn, settled, env, models } = stage
  // Without another attempt no endless event is left when the model is readmitted.
  const manifest = 'limits:\n  timeoutMs: 3000\nretries:\n  maxAttempts: 1\n'
  await writeFile(join(models, MODEL, 'manifest.yaml'), manifest)
  const worker = await startWorker({ PELTON_HTTP_PORT: '0' })
  await records.update(MODEL, (record) => ({ ...record, apart: { since: 1, inARow: 0 } }))
  const metric = async (name: string, labels: Readonly<Record<string, string>> = {}) => {
    const response = await fetch(`${await addressOf(worker)}/metrics`)
    return readPrometheus(await response.text()).value(name, { model: MODEL, ...labels })
  }
  await eventually('the worker to know it', async () => (await metric('pelton_model_timed_out')) === 0)
  const endless: string[] = []
  for (let index = 0; index < 3; index++) endless.push(await publish(MODEL, `endless-${index}`, 1e18))
  const inARow = (): number | undefined => records.find(MODEL)?.apart?.inARow
  await eventually('three in a row', () => inARow() === 3, { seen: inARow })

  const good: string[] = []
  for (let index = 0; index < 5; index++) good.push(await publish(MODEL, `good-${index}`, index))
  const neighbour = await publish(NEIGHBOUR, 'neighbour', 1)
  const seen = async () => [await countIn(STREAMS.features), await countIn(STREAMS.retries)]
  await eventually(
    'its events to be parked, and all else to have ended',
    async () => (await seen()).join() === `0,${good.length}` && (await countIn(STREAMS.results)) === 4,
    { seen },
  )
  const raised = { cause: 'operator' }
  expect(await metric('pelton_model_not_servable', raised)).toBe(1)

  const readmitted = await runCli(['models', 'readmit', MODEL], { env })
  expect(readmitted.err).toContain(`model ${MODEL} of pool default was not run any more`)
  expect(readmitted.code).toBe(0)
  const outcomes = await settled([...endless, ...good, neighbour])
  expect(new Set(outcomes.predictions.keys())).toEqual(new Set([...good, neighbour]))
  for (const token of endless) expect(whyDead(outcomes, token)).toMatch(/^timed-out: /)
  for (const token of good)
    expect(readHeader(outcomes.predictions.get(token)!.headers, HEADERS.attempt)).toBe('1')
  expect(records.find(MODEL)?.apart).toBeUndefined()
  await eventually(
    'the metric to be lowered',
    async () => (await metric('pelton_model_not_servable', raised)) === 0,
  )

  const again = await runCli(['models', 'readmit', MODEL], { env })
  expect([again.code, again.err]).toEqual([
    2,
    expect.stringContaining('this model does not run apart, and its breaker is closed'),
  ])
})

test('what comes by lane high waits for no backlog of slow events by lane low', async ({ stage }) => {
  const { startWorker, countIn, connection } = stage
  const slow = (index: number): Promise<string> =>
    stage.publishEvent({
      model: SLOW,
      id: `slow-${index}`,
      lane: 'low',
      body: { inputs: [{ name: 'x', shape: [1, 1], datatype: 'FP32', data: [100_000] }] },
    })
  const low = await Promise.all(Array.from({ length: 40 }, (_, index) => slow(index)))
  await startWorker({ PELTON_HELD_ROWS: '8', PELTON_THREADS: '2' })
  await eventually('the backlog to be under way', async () => (await countIn(STREAMS.results)) > 0)
  const high: string[] = []
  for (let index = 0; index < 40; index++)
    high.push(
      await stage.publishEvent({
        model: NEIGHBOUR,
        id: `urgent-${index}`,
        lane: 'high',
        body: { inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [index, 1] }] },
      }),
    )
  const seen = (): Promise<Outcomes> => readOutcomes(connection)
  await eventually('the urgent events to be answered', async () => {
    const { predictions } = await seen()
    return high.every((token) => predictions.has(token))
  })
  const { predictions } = await seen()
  expect(low.filter((token) => !predictions.has(token)).length).toBeGreaterThan(20)
})

test('a backlog of a model that runs apart does not stop its lane for others', async ({ stage }) => {
  const { startWorker, records, connection } = stage
  await records.update(SLOW, (record) => ({ ...record, apart: { since: 1, inARow: 0 } }))
  const publish = (model: string, id: string, data: number[]): Promise<string> =>
    stage.publishEvent({
      model,
      id,
      lane: 'normal',
      body: { inputs: [{ name: 'x', shape: [1, data.length], datatype: 'FP32', data }] },
    })
  const slow: string[] = []
  for (let index = 0; index < 400; index++) slow.push(await publish(SLOW, `slow-${index}`, [100_000]))
  await startWorker()
  const others: string[] = []
  for (let index = 0; index < 40; index++) others.push(await publish(NEIGHBOUR, `other-${index}`, [index, 1]))
  const seen = (): Promise<Outcomes> => readOutcomes(connection)
  await eventually('the others to be answered', async () => {
    const { predictions } = await seen()
    return others.every((token) => predictions.has(token))
  })
  const { predictions } = await seen()
  expect(slow.filter((token) => !predictions.has(token)).length).toBeGreaterThan(200)
})
