import { expect, it } from 'vitest'
import { unpackTexts, workOf } from '../../../shared/models/work.ts'
import { TURN_BYTES } from '../../../shared/runtime/turns.ts'
import type { Tensor } from '../../../shared/sdk/contract/tensor.ts'
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
