import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { tensorOf } from '../../test/kit/arbitrary-tensor.ts'
import * as encoding from '../sdk/contract/json-tensors.ts'
import { decodeResponse, type EncodedBody, encodeResponse } from '../sdk/contract/open-inference.ts'
import { DATATYPES, type Datatype, sliceRows, type Tensor, type TensorData } from '../sdk/contract/tensor.ts'
import { PeltonError } from '../sdk/errors.ts'
import { findNonFinite } from './bind-tensors.ts'
import { type AnswerPart, tooLargeByShape, workOfAnswers, writeAnswers } from './codec.ts'
import { packTexts } from './work.ts'

const part = (extra: Partial<AnswerPart> = {}): AnswerPart => ({
  rows: 1,
  modelName: 'm',
  modelVersion: '1',
  id: 'id',
  names: ['y'],
  binary: false,
  areFinite: false,
  maxBytes: 1024 ** 2,
  ...extra,
})

const tensor = (datatype: Datatype, shape: number[], data: TensorData, name = 'y'): Tensor => ({
  name,
  datatype,
  shape,
  data,
})

const read = (answer: unknown): TensorData | undefined => {
  const { contentType, inferenceHeaderLength, body } = answer as EncodedBody
  return decodeResponse(contentType, inferenceHeaderLength?.toString(), body).outputs[0]?.data
}

/** Text and bytes of an answer, or the code it is refused with. */
function shown(answer: EncodedBody | PeltonError): unknown {
  if (answer instanceof PeltonError) return answer.code
  return { ...answer, body: Buffer.from(answer.body).toString('latin1') }
}

function writtenByItself(outputs: readonly Tensor[], asked: AnswerPart): unknown {
  const { modelName, modelVersion, id, names, binary, areFinite } = asked
  const wanted = names.flatMap((name) => outputs.filter((output) => output.name === name))
  const areAll = wanted.every(({ datatype, data }) => findNonFinite(datatype, data) < 0)
  if (areFinite && !areAll) return 'invalid-output'
  try {
    return shown(encodeResponse({ modelName, modelVersion, id, outputs: wanted }, { binary }))
  } catch (thrown) {
    return thrown instanceof PeltonError ? thrown.code : thrown
  }
}

describe('tooLargeByShape', () => {
  const floats = tensor('FP32', [5_000_000], new Float32Array(5_000_000))

  it('refuses 20 MB from its shape, naming output, shape, bytes and limit', () => {
    expect(tooLargeByShape([floats], part(), true)).toMatchObject({
      code: 'too-large',
      details: { field: 'outputs.y.shape', value: '[5000000]', remedy: expect.stringMatching(/\S/) },
      description: expect.stringMatching(/at least 10000000 bytes, more than the 1048576 /),
    })
    expect(tooLargeByShape([floats], part({ binary: true }), true)?.description).toContain('20000000')
  })

  it('never refuses an answer that is small enough, whatever its datatype and form', () => {
    const values: [Datatype, TensorData][] = [
      ['BOOL', Uint8Array.of(1, 1, 1, 1)],
      ['UINT8', Uint8Array.of(1, 2, 3, 4)],
      ['FP16', Uint16Array.of(0, 0, 0, 0)],
      ['FP64', Float64Array.of(1, 2, 3, 4)],
      ['INT64', BigInt64Array.of(1n, 2n, 3n, 4n)],
      ['BYTES', ['', 'a', 'äö', '😀']],
    ]
    for (const [datatype, data] of values) {
      for (const binary of [true, false]) {
        const output = tensor(datatype, [4], data)
        const body = (writeAnswers([output], [part({ binary, rows: 4 })])[0] as EncodedBody).body
        const asked = part({ binary, rows: 4, maxBytes: body.length })
        for (const each of [output, packTexts(output)])
          expect(tooLargeByShape([each], asked, true)).toBeUndefined()
      }
    }
  })

  it('counts of a batch the rows of an event, and of texts their length where they are one event’s', () => {
    const joined = tensor('FP32', [64, 100_000], new Float32Array(0))
    expect(tooLargeByShape([joined], part({ maxBytes: 200_000 }), false)).toBeUndefined()
    expect(tooLargeByShape([joined], part({ maxBytes: 199_999 }), false)).toBeInstanceOf(PeltonError)
    const texts = tensor('BYTES', [2], ['x'.repeat(600), 'y'.repeat(600)])
    const asked = part({ maxBytes: 1_200, rows: 2 })
    for (const each of [texts, packTexts(texts)])
      expect(tooLargeByShape([each], asked, true)).toBeInstanceOf(PeltonError)
    expect(tooLargeByShape([texts], part({ maxBytes: 1_200 }), false)).toBeUndefined()
  })

  it('does not count what is not asked for', () => {
    expect(tooLargeByShape([floats], part({ names: ['other'] }), true)).toBeUndefined()
  })
})

describe('writeAnswers', () => {
  it('gives each part its rows, of numbers and of packed texts', () => {
    const numbers = tensor('INT32', [3, 2], Int32Array.of(1, 2, 3, 4, 5, 6))
    const parts = [part(), part({ rows: 2 })]
    expect(writeAnswers([numbers], parts).map(read)).toEqual([Int32Array.of(1, 2), Int32Array.of(3, 4, 5, 6)])
    const texts = packTexts(tensor('BYTES', [3, 1], ['a', 'ü', '']))
    expect(writeAnswers([texts], parts).map(read)).toEqual([['a'], ['ü', '']])
  })

  it('writes byte for byte what each event’s own tensors are written as', () => {
    const outputs = fc
      .tuple(fc.constantFrom(...DATATYPES), fc.constantFrom(...DATATYPES), fc.nat(3), fc.constantFrom(1, 2))
      .chain(([one, other, width, rows]) =>
        fc.tuple(tensorOf(one, [3 * rows, width]), tensorOf(other, [3 * rows])),
      )
    const asked = fc.record({
      names: fc.constantFrom(['a', 'b'], ['b'], ['b', 'c', 'a'], ['a', 'a'], []),
      binary: fc.constantFrom<AnswerPart['binary']>(true, false, new Set(['b'])),
      areFinite: fc.boolean(),
      id: fc.constantFrom('id', 'ü"\\\n', '\ud800'),
    })
    fc.assert(
      fc.property(outputs, fc.array(asked, { minLength: 1, maxLength: 3 }), ([first, second], given) => {
        const made = [
          { ...first, name: 'a' },
          { ...second, name: 'b' },
        ]
        const rows = given.length === 3 ? (second.shape[0] ?? 0) / 3 : 1
        const parts = given.map((each) => part({ ...each, rows }))
        const apart = parts.map((each, index) => {
          const isAlone = parts.length === 1
          const mine = isAlone
            ? made
            : made.map((output) => sliceRows(output, index * rows, (index + 1) * rows))
          return writtenByItself(mine, each)
        })
        expect(writeAnswers(made, parts).map(shown)).toEqual(apart)
      }),
      { numRuns: 500 },
    )
  })

  it('refuses a number that is not finite for its own event alone', () => {
    const numbers = tensor('FP32', [3], Float32Array.of(1, Number.NaN, 3))
    const answers = writeAnswers([numbers], [part(), part({ areFinite: true }), part({ areFinite: true })])
    expect(answers.map((each) => (each instanceof PeltonError ? each.code : read(each)))).toEqual([
      Float32Array.of(1),
      'invalid-output',
      Float32Array.of(3),
    ])
  })

  it('ends writing soon after the limit, of whatever is written', () => {
    const texts = vi.spyOn(JSON, 'stringify')
    const long = tensor('BYTES', [100_000], Array(100_000).fill('x'.repeat(10)))
    const [answer] = writeAnswers([long], [part({ maxBytes: 100_000 })])
    const written = texts.mock.calls.reduce(
      (sum, [value]) => sum + (Array.isArray(value) ? value.length : 0),
      0,
    )
    vi.restoreAllMocks()
    expect(answer).toMatchObject({ code: 'too-large' })
    expect(written).toBeLessThan(17_000)
    expect(() =>
      encoding.writeJsonData(tensor('FP64', [10_000], new Float64Array(10_000).fill(0.1)), 100),
    ).toThrow(/more than 100 characters/)
  })
})

it('answers cost what the outputs and the ids take', () => {
  const outputs = [tensor('UINT8', [1_000], new Uint8Array(1_000))]
  expect(workOfAnswers(outputs, [part({ id: 'x'.repeat(500) })])).toBe(2_500)
})
