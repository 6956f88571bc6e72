import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeAnswers } from '../../../shared/models/codec.ts'
import { createInferenceThreads, type InferenceThreads } from '../../../shared/models/inference-threads.ts'
import { type ModelRepository, openRepository } from '../../../shared/models/repository.ts'
import { withhold } from '../../../shared/models/withheld.ts'
import { type DeliveredEvent, deliveryOf, floats } from '../../../test/kit/deliveries.ts'
import { modelsFolder } from '../../../test/kit/models-folder.ts'
import { prepare } from '../prepare/prepare.ts'
import { type Batch, isConcluded } from '../prepare/prepared.ts'
import type { Concluded } from '../settle/outcome.ts'
import { predict, runOn } from './predict.ts'

const NOW = 1_000_000
let folder: Awaited<ReturnType<typeof modelsFolder>>
let models: ModelRepository
let threads: InferenceThreads
const nowhere = { run: () => expect.unreachable('no model runs apart') }

beforeAll(async () => {
  folder = await modelsFolder(['identity-fp32', 'linear', 'gather', 'sum-rows', 'several'])
  await writeFile(join(folder.path, 'linear', 'manifest.yaml'), 'checks:\n  finiteOutputs: true\n')
  await writeFile(join(folder.path, 'gather', 'manifest.yaml'), 'retries:\n  maxAttempts: 2\n')
  models = await openRepository({ folder: folder.path })
  expect(models.refused).toEqual([])
  threads = createInferenceThreads({ threads: 2 })
})
afterAll(async () => {
  await threads.close()
  await folder.remove()
})

function batchOf(events: readonly DeliveredEvent[]): Batch {
  return prepare(events.map(deliveryOf), models, 0).map((event) => {
    if (isConcluded(event)) throw new Error(JSON.stringify(event.outcome))
    return event
  })
}

/** Predicts a batch; tells how many events each model call had, too. */
async function predicted(batch: Batch): Promise<{ concluded: readonly Concluded[]; calls: number[] }> {
  const run = runOn({ threads, apart: nowhere, isApart: () => false })
  const calls: number[] = []
  const counting = (events: Batch) => {
    calls.push(events.length)
    return run(events)
  }
  return { concluded: await predict(batch, counting, () => NOW), calls }
}

/** What each event is answered with, in order: the data of its outputs, or the reason of its failure. */
function answers(concluded: readonly Concluded[]): unknown[] {
  return concluded.map(({ outcome }) => {
    if ('why' in outcome) return `${outcome.kind}: ${outcome.why.cause}`
    if (outcome.kind !== 'predicted') return `${outcome.kind}: ${outcome.failure.reason}`
    const { outputs } = JSON.parse(Buffer.from(outcome.body).toString()) as { outputs: { data: unknown }[] }
    return outputs.length === 1 ? outputs[0]?.data : outputs.map(({ data }) => data)
  })
}

const twoWide = (rows: number[][], id?: string): DeliveredEvent => ({
  model: 'identity-fp32',
  inputs: [floats('x', rows)],
  ...(id !== undefined && { id }),
})

describe('predict', () => {
  it('gives each event of a batch its own rows, by one model call', async () => {
    const rows = [
      [[1, 2]],
      [
        [3, 4],
        [5, 6],
      ],
      [[7, 8]],
    ]
    const batch = batchOf(rows.map((each) => twoWide(each)))
    const { concluded, calls } = await predicted(batch)
    expect(answers(concluded)).toEqual([
      [1, 2],
      [3, 4, 5, 6],
      [7, 8],
    ])
    expect(concluded.map(({ delivery }) => delivery)).toEqual(batch.map(({ delivery }) => delivery))
    expect(calls).toEqual([3])
  })

  it('joins every input of a model, and keeps outputs apart', async () => {
    const event = (a: number, b: number, n: number): DeliveredEvent => ({
      model: 'several',
      inputs: [
        floats('a', [[a]]),
        floats('b', [[b]]),
        { name: 'n', datatype: 'INT64', shape: [1, 1], data: [n] },
      ],
    })
    const { concluded } = await predicted(batchOf([event(1, 2, 3), event(4, 5, 6)]))
    expect(answers(concluded)).toEqual([
      [[3], [2], [3]],
      [[9], [8], [6]],
    ])
  })

  it('says with each prediction who made it, and how', async () => {
    const [first, second] = (
      await predicted(batchOf([{ ...twoWide([[1, 2]], 'mine'), storedAt: NOW - 250 }, twoWide([[3, 4]])]))
    ).concluded
    expect(first?.outcome).toMatchObject({
      kind: 'predicted',
      facts: { modelVersion: '1', queueMs: 250, batchRows: 2, inferenceMs: expect.any(Number) },
    })
    const body = first?.outcome.kind === 'predicted' ? first.outcome.body : new Uint8Array()
    expect(JSON.parse(Buffer.from(body).toString())).toMatchObject({
      model_name: 'identity-fp32',
      model_version: '1',
      id: 'mine',
    })
    expect(second?.outcome.kind).toBe('predicted')
  })

  it('has nothing to say of no events', async () => {
    expect(await predict([], runOn({ threads, apart: nowhere, isApart: () => false }), () => NOW)).toEqual([])
  })
})

describe('predict, where the broker takes little', () => {
  const bounded = (most: number, isWithheld: boolean) => {
    const maxBytes = () => most
    const run = runOn({ threads, apart: nowhere, isApart: () => false, ...(isWithheld && { maxBytes }) })
    return async (batch: Batch) =>
      (await predict(batch, run, () => NOW, { maxBytes, answer: writeAnswers })).map(({ outcome }) => outcome)
  }
  const summary = (outcome: Concluded['outcome']): unknown =>
    outcome.kind === 'predicted' ? Buffer.from(outcome.body).toString() : outcome

  it.each([1, 5, 90, 150, 200, 300, 10_000])(
    'says the same with outputs that stay in their thread: %i bytes',
    async (most) => {
      const event = (rows: number): DeliveredEvent => ({
        model: 'identity-fp32',
        inputs: [
          floats(
            'x',
            Array.from({ length: rows }, () => [1, 2]),
          ),
        ],
        id: `of ${rows}`,
      })
      const batch = batchOf([event(1), event(20), event(3)])
      const whole = (await bounded(most, false)(batch)).map(summary)
      expect((await bounded(most, true)(batch)).map(summary)).toEqual(whole)
      for (const alone of batch)
        expect((await bounded(most, true)([alone])).map(summary)).toEqual(
          (await bounded(most, false)([alone])).map(summary),
        )
    },
  )
})

describe('predict, where an output stayed in its thread', () => {
  it('answers who did not ask for it, and refuses who did by its shape', async () => {
    const event = (outputs: string[]): DeliveredEvent => ({
      model: 'several',
      body: JSON.stringify({
        inputs: [
          floats('a', [[1]]),
          floats('b', [[2]]),
          { name: 'n', datatype: 'INT64', shape: [1, 1], data: [7] },
        ],
        outputs: outputs.map((name) => ({ name })),
      }),
    })
    const run = async () =>
      withhold(
        [
          { name: 'sum', datatype: 'FP32', shape: [2, 500], data: new Float32Array(1_000) },
          { name: 'same', datatype: 'INT64', shape: [2, 1], data: new BigInt64Array([7n, 8n]) },
        ],
        { maxBytes: 200, leastRows: 1 },
      )
    const batch = batchOf([event(['sum']), event(['same'])])
    const concluded = await predict(batch, run, () => NOW, { maxBytes: () => 200, answer: writeAnswers })
    expect(answers(concluded)).toEqual(['dead-lettered: too-large', [8]])
    expect(concluded[0]?.outcome).toMatchObject({
      failure: { description: expect.stringContaining('[2,500]') },
    })
  })
})

describe('predict, when a batch fails', () => {
  /** The model knows the indices 1000 to 1003; any other ends its run. */
  const looksUp = (index: number, attempt = 1): DeliveredEvent => ({
    model: 'gather',
    inputs: [{ name: 'index', datatype: 'INT64', shape: [1], data: [index] }],
    headers: { 'Pelton-Attempt': String(attempt) },
  })
  const FAILED = 'retried: inference-failed'

  it('halves it until the bad event stands alone: its neighbours get their predictions', async () => {
    const { concluded, calls } = await predicted(
      batchOf([0, 1, 2, 3, 0, 9, 2, 3].map((at) => looksUp(1_000 + at))),
    )
    expect(answers(concluded)).toEqual([[0, 1], [2, 3], [4, 5], [6, 7], [0, 1], FAILED, [4, 5], [6, 7]])
    expect(calls.sort((a, b) => b - a)).toEqual([8, 4, 4, 2, 2, 1, 1])
  })

  it('finds each of several bad events, in a batch of any size', async () => {
    const { concluded } = await predicted(batchOf([9, 0, 9, 9, 1].map((at) => looksUp(1_000 + at))))
    expect(answers(concluded)).toEqual([FAILED, [0, 1], FAILED, FAILED, [2, 3]])
  })

  it('gives up an event at its last attempt, by the manifest of its model', async () => {
    const [failed] = (await predicted(batchOf([looksUp(0, 2)]))).concluded
    expect(failed?.outcome).toMatchObject({
      kind: 'dead-lettered',
      failure: { reason: 'inference-failed', stage: 'infer' },
      modelVersion: '1',
    })
  })

  it('takes rows that are not as many as went in for a failure, and answers the events one by one', async () => {
    // One row of sums, whatever goes in.
    const sums = (rows: number[][]): DeliveredEvent => ({ model: 'sum-rows', inputs: [floats('x', rows)] })
    const { concluded, calls } = await predicted(batchOf([sums([[1, 2]]), sums([[10, 20]]), sums([[5, 5]])]))
    expect(answers(concluded)).toEqual([
      [1, 2],
      [10, 20],
      [5, 5],
    ])
    expect(calls.sort((a, b) => b - a)).toEqual([3, 2, 1, 1, 1])
  })
})

describe('predict, with checks.finiteOutputs', () => {
  const weighs = (x: number[]): DeliveredEvent => ({ model: 'linear', inputs: [floats('x', [x])] })
  const TOO_MUCH = [3e38, 3e38, 3e38]

  it('refuses a prediction that is not finite, and no other of its batch', async () => {
    const { concluded, calls } = await predicted(
      batchOf([weighs([1, 1, 1]), weighs(TOO_MUCH), weighs([0, 0, 0])]),
    )
    expect(answers(concluded)).toEqual([[6.5], 'dead-lettered: invalid-output', [0.5]])
    expect(calls).toEqual([3])
    expect(concluded[1]?.outcome).toMatchObject({
      failure: { stage: 'infer', description: expect.stringContaining('not finite') },
      modelVersion: '1',
    })
  })

  it('lets it pass where the manifest does not ask', async () => {
    const [asked] = batchOf([weighs(TOO_MUCH)])
    const { model } = asked as Batch[number]
    const checks = { ...model.manifest.checks, finiteOutputs: false }
    const lax = { ...model, manifest: { ...model.manifest, checks } }
    const [concluded] = (await predicted([{ ...(asked as Batch[number]), model: lax }])).concluded
    expect(concluded?.outcome.kind).toBe('predicted')
  })

  it('takes a model that cannot be opened for no fault of its events: all of them wait, and none is run alone', async () => {
    const gone = { key: 'gone', path: '/nowhere/model.onnx', digest: '0'.repeat(64) }
    const batch = batchOf([[[1, 2]], [[3, 4]]].map((rows) => twoWide(rows))).map((event) => ({
      ...event,
      model: { ...event.model, ...gone },
    }))
    const { concluded, calls } = await predicted(batch)
    expect(answers(concluded)).toEqual(['not-servable: unavailable', 'not-servable: unavailable'])
    expect(calls).toEqual([2])
  })
})
