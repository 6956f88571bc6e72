import { describe, expect, it } from 'vitest'
import { createBinder } from '../../../shared/models/bind.ts'
import type { RawData } from '../../../shared/models/codec.ts'
import { createReader, type EventInputs, toTensors } from '../../../shared/models/event-reader.ts'
import { completeManifest } from '../../../shared/models/manifest.ts'
import { RawRows } from '../../../shared/models/raw-rows.ts'
import { Row } from '../../../shared/models/row-store.ts'
import { unpackTexts, workOf } from '../../../shared/models/work.ts'
import { TURN_BYTES } from '../../../shared/runtime/turns.ts'
import { encodeRequest } from '../../../shared/sdk/contract/open-inference.ts'
import { concatRows, type Tensor } from '../../../shared/sdk/contract/tensor.ts'
import type { Batch } from '../prepare/prepared.ts'
import { joinInputs } from './join.ts'

const batchOf = (events: readonly (readonly Tensor[])[]): Batch =>
  events.map((inputs) => ({ inputs })) as unknown as Batch

const numbers = (rows: number, value: number): Tensor => ({
  name: 'x',
  datatype: 'FP32',
  shape: [rows, 100],
  data: new Float32Array(rows * 100).fill(value),
})
const texts = (rows: number, value: string): Tensor => ({
  name: 't',
  datatype: 'BYTES',
  shape: [rows],
  data: Array<string>(rows).fill(value),
})

it('joins a small batch at once', async () => {
  const spent: number[] = []
  const [x, t] = await joinInputs(
    batchOf([
      [numbers(1, 1), texts(1, 'a')],
      [numbers(2, 2), texts(2, 'ü')],
    ]),
    { spend: async (bytes) => void spent.push(bytes) },
  )
  expect([x?.shape, t?.data, spent]).toEqual([[3, 100], ['a', 'ü', 'ü'], []])
})

it('joins a large batch event by event, each in a turn that has room for it, and copies it once', async () => {
  const events = Array.from({ length: 64 }, (_, index) => [numbers(50, index), texts(50, String(index))])
  const spent: number[] = []
  const [x, t] = await joinInputs(batchOf(events), { spend: async (bytes) => void spent.push(bytes) })
  expect(x).toMatchObject({ shape: [3_200, 100], isOwned: true })
  expect(t).toMatchObject({ shape: [3_200], isOwned: true, data: expect.any(Uint8Array) })
  const rows = x?.data as Float32Array
  expect(events.map((_, index) => rows[index * 5_000 + 4_999])).toEqual(events.map((_, index) => index))
  expect(t && unpackTexts(t).data).toEqual(events.flatMap(([, own]) => own?.data as string[]))
  expect(Math.max(...spent)).toBeLessThanOrEqual(TURN_BYTES)
  const work = events.flat().reduce((sum, tensor) => sum + workOf(tensor), 0)
  expect(spent.reduce((sum, bytes) => sum + bytes, 0)).toBeGreaterThanOrEqual(work)
})

describe('events that are no tensors yet', () => {
  const signature = {
    inputs: [
      { name: 't', datatype: 'BYTES', shape: [null, 1] } as const,
      { name: 'n', datatype: 'INT64', shape: [null, 1] } as const,
      { name: 'x', datatype: 'FP32', shape: [null, 100] } as const,
      { name: 'b', datatype: 'BOOL', shape: [null] } as const,
      { name: 'h', datatype: 'FP16', shape: [null, 2] } as const,
      { name: 'u', datatype: 'UINT64', shape: [null, 1] } as const,
      { name: 'd', datatype: 'FP64', shape: [null, 1] } as const,
    ],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [null] } as const],
    constants: [],
  }
  const wide = Array.from({ length: 100 }, (_, index) => `x${index}`)
  const source = { inputs: { x: { features: wide }, h: { features: ['h0', 'h1'] } } }
  const manifest = completeManifest(source, signature, 'manifest')
  const model = { name: 'm', version: '1', signature, manifest }

  /** What `joinInputs` makes of events beside what joining their tensors makes. */
  async function joinBoth(inputs: readonly EventInputs[]) {
    const spent: number[] = []
    const batch = inputs.map((each) => ({ inputs: each })) as unknown as Batch
    const joined = await joinInputs(batch, { spend: async (bytes) => void spent.push(bytes) })
    const events = inputs.map(toTensors)
    const expected = signature.inputs.map((_, index) =>
      concatRows(events.map((each) => each[index] as Tensor)),
    )
    return { joined: joined.map(unpackTexts), expected, spent }
  }

  const plain = ({ name, datatype, shape, data }: Tensor): unknown => ({ name, datatype, shape, data })

  function readAll(bodies: readonly RawData[]): EventInputs[] {
    const read = createReader(model, createBinder(model))
    return bodies.map((body) => {
      const found = read(body)
      if (found.kind === 'refused') throw found.error
      return found.bound.inputs
    })
  }

  function features(index: number): RawData {
    const others = {
      t: `text ${index}`,
      n: -(2 ** 40) - index,
      b: index % 2 === 0,
      u: 2 ** 50 + index,
      d: index / 3,
    }
    const many = Object.fromEntries(wide.map((name, at) => [name, at / 7 + index]))
    const body = Buffer.from(JSON.stringify({ features: { ...others, ...many, h0: 0.5, h1: -index } }))
    return { contentType: undefined, inferenceHeaderLength: undefined, body }
  }

  it('joins rows of features as their tensors are joined, in one buffer that is handed over', async () => {
    const rows = readAll([0, 1, 2].map(features))
    expect(rows.every((row) => row instanceof Row)).toBe(true)
    const { joined, expected, spent } = await joinBoth(rows)
    expect(joined.map(plain)).toEqual(expected.map(plain))
    expect(spent).toEqual([])
    const buffers = joined.flatMap(({ data }) => (Array.isArray(data) ? [] : [data.buffer]))
    expect(new Set(buffers).size).toBe(1)
    for (const { data } of joined) if (!Array.isArray(data)) expect(data.byteOffset % 16).toBe(0)
  })

  it('joins rows beside tensors, and one row by itself', async () => {
    const rows = readAll([0, 1].map(features))
    const mixed = await joinBoth([rows[0] as EventInputs, toTensors(rows[1] as EventInputs)])
    expect(mixed.joined.map(plain)).toEqual(mixed.expected.map(plain))
    const [one] = await Promise.all([joinBoth(rows.slice(1))])
    expect(one.joined.map(plain)).toEqual(one.expected.map(plain))
  })

  it('joins many rows in turns that have room for them', async () => {
    const { joined, expected, spent } = await joinBoth(
      readAll(Array.from({ length: 300 }, (_, at) => features(at))),
    )
    expect(joined.map(plain)).toEqual(expected.map(plain))
    expect(spent).toHaveLength(300)
  })

  it('joins the bytes of binary bodies, of one row and of several', async () => {
    const numbers = { ...signature, inputs: signature.inputs.slice(1, 3) }
    const binary = { ...model, signature: numbers, manifest: completeManifest({}, numbers, 'manifest') }
    const read = createReader(binary, createBinder(binary))
    const inputsOf = (rows: number, index: number): EventInputs => {
      const n = {
        name: 'n',
        datatype: 'INT64',
        shape: [rows, 1],
        data: new BigInt64Array(rows).fill(-5n),
      } as const
      const data = Float32Array.from({ length: rows * 100 }, (_, at) => at / 3 + index)
      const inputs = [{ name: 'x', datatype: 'FP32', shape: [rows, 100], data } as const, n]
      const { inferenceHeaderLength, ...encoded } = encodeRequest({ inputs }, { binary: true })
      const found = read({ ...encoded, inferenceHeaderLength: String(inferenceHeaderLength) })
      if (found.kind === 'refused') throw found.error
      return found.bound.inputs
    }
    for (const rows of [1, 2]) inputsOf(rows, 0)
    const events = Array.from({ length: 200 }, (_, index) => inputsOf(1 + (index % 2), index))
    expect(events.every((event) => event instanceof RawRows)).toBe(true)
    for (const some of [events.slice(0, 5), events.slice(1, 2), events]) {
      const batch = some.map((inputs) => ({ inputs })) as unknown as Batch
      const joined = await joinInputs(batch, { spend: async () => undefined })
      const tensors = some.map(toTensors)
      const expected = [0, 1].map((index) => concatRows(tensors.map((each) => each[index] as Tensor)))
      expect(joined.map(plain)).toEqual(expected.map(plain))
    }
  })
})
