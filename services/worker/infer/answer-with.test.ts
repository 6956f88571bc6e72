import { expect, it } from 'vitest'
import type { AnswerPart } from '../../../shared/models/codec.ts'
import { TURN_BYTES } from '../../../shared/runtime/turns.ts'
import type { Tensor } from '../../../shared/sdk/contract/tensor.ts'
import { answerWith } from './answer-with.ts'

const part: AnswerPart = {
  rows: 1,
  modelName: 'm',
  modelVersion: '1',
  id: 'i',
  names: ['y'],
  binary: false,
  areFinite: false,
  maxBytes: 1e9,
}
const output = (count: number): Tensor => ({
  name: 'y',
  datatype: 'UINT8',
  shape: [1, count],
  data: new Uint8Array(count),
})

it('writes here what a turn has room for, and on threads what no turn has', async () => {
  const here: number[] = []
  const aside: number[] = []
  const { maxBytes, answer } = answerWith(
    { connection: { info: { max_payload: 5 } as never } },
    { take: () => false, spend: async (bytes) => void here.push(bytes) },
    {
      answer: async (outputs) => {
        aside.push(outputs[0]?.data.length ?? 0)
        return []
      },
    },
  )
  expect(maxBytes()).toBe(5)
  const [small] = await answer([output(1_000)], [part])
  expect(small).toMatchObject({ contentType: 'application/json' })
  // An element counts two bytes, and so does what the answer repeats.
  await answer([output(TURN_BYTES / 2)], [part])
  await answer([output(10)], [{ ...part, id: 'x'.repeat(TURN_BYTES) }])
  expect([here, aside]).toEqual([[2_001], [TURN_BYTES / 2, 10]])
})
