import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { PATIENT } from '../../test/kit/wait.ts'
import type { Datatype, Tensor, TensorData } from '../sdk/contract/tensor.ts'
import { PeltonError } from '../sdk/errors.ts'
import { createInferenceThreads, type ModelFile } from './inference-threads.ts'

const threads = createInferenceThreads({ threads: 2 })
afterAll(() => threads.close())

function fixture(name: string): ModelFile {
  const path = fileURLToPath(new URL(`../../test/models/${name}.onnx`, import.meta.url))
  return { key: name, path }
}

function tensor(name: string, datatype: Datatype, shape: number[], data: TensorData): Tensor {
  return { name, datatype, shape, data }
}

const halves = new Uint16Array(65536).map((_, bits) => bits)
const SAMPLES: [Datatype, TensorData][] = [
  ['BOOL', Uint8Array.of(0, 1, 1, 0)],
  ['UINT8', Uint8Array.of(0, 1, 127, 255)],
  ['UINT16', Uint16Array.of(0, 1, 32768, 65535)],
  ['UINT32', Uint32Array.of(0, 1, 2 ** 31, 2 ** 32 - 1)],
  ['UINT64', BigUint64Array.of(0n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n)],
  ['INT8', Int8Array.of(-128, -1, 0, 127)],
  ['INT16', Int16Array.of(-32768, -1, 0, 32767)],
  ['INT32', Int32Array.of(-(2 ** 31), -1, 0, 2 ** 31 - 1)],
  ['INT64', BigInt64Array.of(-(2n ** 63n), -(2n ** 53n) - 1n, 0n, 2n ** 63n - 1n)],
  ['FP16', halves],
  ['FP32', Float32Array.of(Number.NaN, -0, Number.NEGATIVE_INFINITY, 1e-45)],
  ['FP64', Float64Array.of(Number.NaN, -0, Number.POSITIVE_INFINITY, 5e-324)],
  ['BYTES', ['', 'déjà vu', '🌊 water\n', 'x'.repeat(10_000)]],
]

it.skipIf(process.platform === 'win32')('opening a model is no run, for a minute', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pelton-opening-'))
  // Whoever opens it waits for somebody to write.
  const path = join(folder, 'model.onnx')
  execFileSync('mkfifo', [path])
  let nowMs = 0
  const opening = createInferenceThreads({ nowMs: () => nowMs })
  const ran = opening.run({ key: 'pipe', path, isCopy: true }, []).catch((thrown: unknown) => thrown)
  nowMs = 30_000
  await vi.waitFor(() => expect(opening.running).toEqual([{ key: 'pipe', runningMs: 0 }]), PATIENT)
  nowMs = 30_000 + 60_000 + 5
  expect(opening.running).toEqual([{ key: 'pipe', runningMs: 5 }])
  writeFileSync(path, 'no model')
  expect(await ran).toMatchObject({ code: 'model-unavailable' })
  await opening.close()
  rmSync(folder, { recursive: true })
})

describe('inference threads', () => {
  it.each(SAMPLES)('carry %s in and out exactly', async (datatype, data) => {
    const input = tensor('x', datatype, [data.length / 2, 2], data)
    const outputs = await threads.run(fixture(`identity-${datatype.toLowerCase()}`), [input])
    expect(outputs).toEqual([{ ...input, name: 'y' }])
    expect(outputs[0]?.data.constructor).toBe(data.constructor)
    if (typeof data[0] !== 'string') expect(input.data.length).toBe(data.length) // still ours
  })

  it.each([0, 1, 2, 3, 4, 5, 6, 7, 8])('carry tensors of rank %i', async (rank) => {
    const shape = [3, 2, 1, 2, 1, 1, 1, 1].slice(0, rank)
    const count = shape.reduce((product, dimension) => product * dimension, 1)
    const input = tensor('x', 'FP32', shape, new Float32Array(count).fill(0.25))
    expect(await threads.run(fixture(`rank-${rank}`), [input])).toEqual([{ ...input, name: 'y' }])
  })

  it('carry tensors without elements', async () => {
    const floats = tensor('x', 'FP32', [0, 2], new Float32Array(0))
    expect(await threads.run(fixture('identity-fp32'), [floats])).toEqual([{ ...floats, name: 'y' }])
    const texts = tensor('x', 'BYTES', [0, 2], [])
    expect(await threads.run(fixture('identity-bytes'), [texts])).toEqual([{ ...texts, name: 'y' }])
  })

  it('carry views into larger buffers, also unaligned ones of bytes', async () => {
    const floats = Float32Array.of(9, 1, 2, 9).subarray(1, 3)
    const [first] = await threads.run(fixture('identity-fp32'), [tensor('x', 'FP32', [1, 2], floats)])
    expect(first?.data).toEqual(Float32Array.of(1, 2))
    const bytes = Uint8Array.of(9, 1, 2, 9).subarray(1, 3)
    const [second] = await threads.run(fixture('identity-uint8'), [tensor('x', 'UINT8', [1, 2], bytes)])
    expect(second?.data).toEqual(Uint8Array.of(1, 2))
  })

  const several = [
    tensor('a', 'FP32', [2, 1], Float32Array.of(1, 2)),
    tensor('b', 'FP32', [2, 1], Float32Array.of(10, 20)),
    tensor('n', 'INT64', [2, 1], BigInt64Array.of(5n, 6n)),
  ]

  it('give the outputs asked for, in that order', async () => {
    const outputs = await threads.run(fixture('several'), several, {
      outputNames: ['same', 'sum'],
    })
    expect(outputs.map((output) => [output.name, [...output.data]])).toEqual([
      ['same', [5n, 6n]],
      ['sum', [11, 22]],
    ])
  })

  it('leave out outputs that are no tensors', async () => {
    const input = tensor('x', 'FP32', [2, 2], Float32Array.of(1, 0, 0, 1))
    const outputs = await threads.run(fixture('zipmap'), [input])
    expect(outputs.map((output) => [output.name, [...output.data]])).toEqual([['label', [1n, 0n]]])
  })

  it('answer hundreds of runs at once, each with its own result', async () => {
    const runs = Array.from({ length: 300 }, (_, index) => {
      const input = tensor('x', 'FP32', [1, 3], Float32Array.of(index, 0, 0))
      return threads.run(fixture('linear'), [input])
    })
    expect(threads.busy).toBe(2)
    expect(threads.waiting).toBeGreaterThanOrEqual(296) // one may wait for the thread that has the model open
    const scores = (await Promise.all(runs)).map(([score]) => score?.data[0])
    expect(scores).toEqual(runs.map((_, index) => index + 0.5))
    expect([threads.busy, threads.waiting]).toEqual([0, 0])
  })

  it('reject a run that fails with the reason in one line, and go on', async () => {
    const bad = threads.run(fixture('gather'), [tensor('index', 'INT64', [1], BigInt64Array.of(0n))])
    const error = await bad.catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'inference-failed', message: expect.stringMatching(/Gather/) })
    expect(String(error)).not.toMatch(/[\n\r]|\/onnxruntime/)
    const good = await threads.run(fixture('gather'), [
      tensor('index', 'INT64', [1], BigInt64Array.of(1003n)),
    ])
    expect(good[0]?.data).toEqual(Float32Array.of(6, 7))
  })

  it('refuse a file whose bytes are not those of the digest', async () => {
    const changed = { ...fixture('linear'), key: 'changed', digest: '0'.repeat(64) }
    await expect(threads.load(changed)).rejects.toMatchObject({ code: 'model-unavailable' })
  })

  it.each([
    ['is gone', fileURLToPath(new URL('../../test/models/nowhere.onnx', import.meta.url))],
    ['is a folder', fileURLToPath(new URL('../../test/models', import.meta.url))],
    ['is no model', fileURLToPath(import.meta.url)],
  ])('tell a file that %s from a model that fails on its inputs', async (how, path) => {
    const input = tensor('x', 'FP32', [1, 3], Float32Array.of(1, 1, 1))
    await expect(threads.run({ key: how, path }, [input])).rejects.toMatchObject({
      code: 'model-unavailable',
    })
    await expect(threads.run(fixture('linear'), [input])).resolves.toHaveLength(1)
  })

  it('load ahead, unload, and open again on the next run', async () => {
    const input = tensor('x', 'FP32', [1, 3], Float32Array.of(1, 1, 1))
    await threads.load(fixture('linear'))
    await threads.unload('linear')
    expect((await threads.run(fixture('linear'), [input]))[0]?.data).toEqual(Float32Array.of(6.5))
  })
})

describe('inference threads with a run that does not end', () => {
  const endless = tensor('x', 'FP32', [1, 1], Float32Array.of(300_000))
  const quick = tensor('x', 'FP32', [1, 3], Float32Array.of(1, 1, 1))
  const given = new PeltonError('timed-out', 'it does not end')

  it('answer what waits behind it elsewhere once it is given up, and are as many as before', async () => {
    const own = createInferenceThreads()
    const hung = own.run(fixture('counts-up'), [endless]).catch((thrown: unknown) => thrown)
    const behind = [1, 2, 3].map(() => own.run(fixture('linear'), [quick]))
    await vi.waitFor(() => expect(own.running[0]?.runningMs).toBeGreaterThan(1), { timeout: 30_000 })
    own.forsake('counts-up', 3_600_000, given)
    expect(own.isStuck).toBe(false) // within its limit
    own.forsake('counts-up', 0, given)
    expect(await hung).toBe(given)
    const scores = (await Promise.all(behind)).map(([score]) => score?.data[0])
    expect(scores).toEqual([6.5, 6.5, 6.5])
    await vi.waitFor(() => expect(own.isStuck).toBe(false), { timeout: 60_000 }) // it does end, here
    await own.close()
  })

  it('keep inputs that nobody else holds for a run that waits behind one that is given up', async () => {
    const own = createInferenceThreads({ threads: 1 })
    const given = new PeltonError('timed-out', 'too long')
    const hung = own.run(fixture('counts-up'), [endless]).catch((thrown: unknown) => thrown)
    const owned = { ...quick, data: Float32Array.from(quick.data as Float32Array), isOwned: true } as Tensor
    const behind = own.run(fixture('linear'), [owned])
    await vi.waitFor(() => expect(own.running[0]?.runningMs).toBeGreaterThan(1), { timeout: 30_000 })
    own.forsake('counts-up', 0, given)
    expect(await hung).toBe(given)
    expect((await behind)[0]?.data[0]).toBe(6.5)
    expect(own.busy).toBe(0)
    await vi.waitFor(() => expect(own.isStuck).toBe(false), { timeout: 60_000 })
    await own.close()
  })

  it('answer urgent runs beside patient ones, however many of those came before', async () => {
    const own = createInferenceThreads({ threads: 2 })
    let ended = 0
    const patient = [1, 2, 3, 4].map(() =>
      own.run(fixture('counts-up'), [endless], { isUrgent: false }).then(() => {
        ended++
      }),
    )
    await own.run(fixture('linear'), [quick])
    expect(ended).toBe(0)
    await Promise.all(patient)
    expect(own.isSlow('counts-up')).toBe(true)
    await own.close()
  })
})

describe('inference threads, closing', () => {
  it('let runs in flight finish, refuse those waiting and all later ones', async () => {
    const own = createInferenceThreads()
    const input = tensor('x', 'FP32', [1, 3], Float32Array.of(1, 1, 1))
    const runs = [1, 2, 3].map(() => own.run(fixture('linear'), [input]))
    const results = Promise.allSettled(runs)
    await own.close()
    expect((await results).map((result) => result.status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
    await expect(runs[2]).rejects.toMatchObject({ code: 'closed' })
    await expect(own.run(fixture('linear'), [input])).rejects.toMatchObject({ code: 'closed' })
    await own.close()
  })

  it('open a model in one thread while its runs need not wait, and in all once they do', async () => {
    const own = createInferenceThreads({ threads: 2 })
    const input = tensor('x', 'FP32', [1, 3], Float32Array.of(1, 1, 1))
    const models = [1, 2, 3, 4].map((number) => ({ ...fixture('linear'), key: `copy-${number}` }))
    for (let round = 0; round < 20; round++) await Promise.all(models.map((model) => own.run(model, [input])))
    // Many at once: none of them waits longer than opening the model takes.
    const many = Array.from({ length: 200 }, () => own.run(models[0] as (typeof models)[0], [input]))
    expect((await Promise.all(many)).every(([score]) => score?.data[0] === 6.5)).toBe(true)
    await own.close()
  })

  it('measure a model where nothing else is to be done, and leave nothing open that was not', async () => {
    const own = createInferenceThreads({ threads: 1 })
    const input = tensor('x', 'FP32', [1, 3], Float32Array.of(1, 1, 1))
    const told: unknown[] = []
    for (let listener = 0; listener < 2; listener++) own.onRan((ran) => told.push(ran))
    const cost = await own.measure(fixture('linear'), [input])
    expect(cost?.runMs).toBeGreaterThan(0)
    expect(cost?.tookMs).toBeGreaterThanOrEqual(cost?.runMs ?? 0)
    expect(told).toEqual([])
    const run = own.run(fixture('linear'), [input])
    expect(await own.measure(fixture('linear'), [input])).toBeUndefined()
    await run
    expect(told).toMatchObject(Array(2).fill({ key: 'linear', rows: 1 }))
    await own.endMeasuring()
    expect((await own.run(fixture('linear'), [input]))[0]?.data[0]).toBe(6.5)
    await own.close()
  })

  it('keep only as many sessions open as the limits say, and still answer for every model', async () => {
    const own = createInferenceThreads({ sessionLimits: { maxOpen: 2 } })
    const input = tensor('x', 'FP32', [1, 3], Float32Array.of(1, 1, 1))
    const models = [1, 2, 3, 4, 1, 2].map((number) => ({ ...fixture('linear'), key: `copy-${number}` }))
    const results = await Promise.all(models.map((model) => own.run(model, [input])))
    expect(results.map(([score]) => score?.data[0])).toEqual(models.map(() => 6.5))
    await own.close()
  })

  it('open each of several models once while they are run in turn, as long as all threads together have room', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pelton-in-turn-'))
    const own = createInferenceThreads({ threads: 2, sessionLimits: { maxOpen: 3 } })
    const input = tensor('x', 'FP32', [1, 3], Float32Array.of(1, 1, 1))
    const models = [1, 2, 3, 4, 5, 6].map((number) => ({
      key: `copy-${number}`,
      path: join(folder, `${number}.onnx`),
    }))
    for (const model of models) {
      copyFileSync(fixture('linear').path, model.path)
      await own.run(model, [input])
    }
    // None could be opened again.
    rmSync(folder, { recursive: true })
    for (let round = 0; round < 5; round++)
      for (const model of models) expect((await own.run(model, [input]))[0]?.data[0]).toBe(6.5)
    await own.close()
  })

  it('refuse a number of threads that is none', () => {
    expect(() => createInferenceThreads({ threads: 0 })).toThrow(/threads = 0/)
  })
})
