import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { smallShape, tensorOf } from '../../../test/kit/arbitrary-tensor.ts'
import { PeltonError } from '../errors.ts'
import { fromHalfBits, toHalfBits } from './float16.ts'
import { type JsonValue, numberToJson, parseJson } from './json.ts'
import {
  binaryOutputsOf,
  decodeEventData,
  decodeResponse,
  type EncodedBody,
  type EventData,
  encodeFeatures,
  encodeRequest,
  encodeResponse,
} from './open-inference.ts'
import type { Features } from './request-fields.ts'
import { DATATYPES, type Tensor } from './tensor.ts'
import type { TensorLimits } from './tensor-list.ts'

const JSON_TYPE = 'application/json'
const BINARY_TYPE = 'application/octet-stream'

function decode(body: unknown, limits?: TensorLimits): EventData {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return decodeEventData(JSON_TYPE, undefined, Buffer.from(text), limits)
}

/** The data of the first input, given with the other fields of a tensor, as decoded. */
function decodeInput(input: Record<string, unknown>, limits?: TensorLimits): Tensor {
  const event = decode(
    { inputs: [{ name: 'x', datatype: 'FP32', shape: [2], data: [1, 2], ...input }] },
    limits,
  )
  if (event.kind !== 'tensors') throw new Error('decoded as features')
  return event.inputs[0] as Tensor
}

/** The data of an input whose JSON is written by hand. */
function dataOf(datatype: string, shape: string, data: string): unknown {
  const event = decode(`{"inputs":[{"name":"x","datatype":"${datatype}","shape":${shape},"data":${data}}]}`)
  return event.kind === 'tensors' ? event.inputs[0]?.data : undefined
}

function refusal(act: () => unknown): PeltonError {
  try {
    act()
  } catch (error) {
    if (error instanceof PeltonError) return error
    throw error
  }
  throw new Error('this was not refused')
}

function expectRefusal(act: () => unknown, code: string, field: string): void {
  const error = refusal(act)
  expect({ code: error.code, field: error.details.field }).toEqual({ code, field })
  expect(error.details.value).toMatch(/\S/)
  expect(error.details.remedy).toMatch(/\S/)
}

const lengthOf = (encoded: EncodedBody): string | undefined => encoded.inferenceHeaderLength?.toString()

const decodeRequest = (encoded: EncodedBody): EventData =>
  decodeEventData(encoded.contentType, lengthOf(encoded), encoded.body)

/** A tensor as JSON can say it: one NaN only. */
function canonical(tensor: Tensor): Tensor {
  if (tensor.datatype !== 'FP16') return tensor
  const data = Uint16Array.from(tensor.data as Uint16Array, (bits) => toHalfBits(fromHalfBits(bits)))
  return { ...tensor, data }
}

const tensors: fc.Arbitrary<Tensor[]> = fc
  .array(fc.tuple(fc.constantFrom(...DATATYPES), smallShape), { minLength: 1, maxLength: 4 })
  .chain((forms) => fc.tuple(...forms.map(([type, shape], index) => tensorOf(type, shape, `x${index} "é😀`))))

describe('decode after encode', () => {
  it('gives requests back, as JSON, binary and mixed', () => {
    const binary = fc.oneof(
      fc.boolean(),
      fc.subarray([0, 1, 2, 3]).map((at) => new Set(at.map((i) => `x${i} "é😀`))),
    )
    fc.assert(
      fc.property(tensors, binary, (inputs, choice) => {
        const outputs = [{ name: 'y' }, { name: 'z', binary: true }]
        const parameters = { a: 'b:\n', c: -0, d: true, e: 1e20 }
        const encoded = encodeRequest({ id: 'i"1', inputs, outputs, parameters }, { binary: choice })
        const isBinary = (name: string) => (typeof choice === 'boolean' ? choice : choice.has(name))
        const expected = inputs.map((tensor) => (isBinary(tensor.name) ? tensor : canonical(tensor)))
        expect(decodeRequest(encoded)).toEqual({
          kind: 'tensors',
          id: 'i"1',
          inputs: expected,
          outputs,
          parameters,
        })
        const hasBinary = inputs.some((tensor) => isBinary(tensor.name))
        expect(encoded.contentType).toBe(hasBinary ? BINARY_TYPE : JSON_TYPE)
      }),
      { numRuns: 500 },
    )
  })

  it('gives predictions back, as JSON and binary', () => {
    fc.assert(
      fc.property(tensors, fc.boolean(), (outputs, binary) => {
        const response = { modelName: 'delays', modelVersion: '3', id: '', parameters: { p: 1 } }
        const encoded = encodeResponse({ ...response, outputs }, { binary })
        const decoded = decodeResponse(encoded.contentType, lengthOf(encoded), encoded.body)
        expect(decoded).toEqual({ ...response, outputs: binary ? outputs : outputs.map(canonical) })
      }),
    )
  })

  it('keeps every bit of floats in binary form, payloads of NaN too', () => {
    const bits = Uint32Array.of(0x7fc00001, 0xffa00002, 0x80000000, 0x7f800000)
    const input: Tensor = { name: 'x', datatype: 'FP32', shape: [4], data: new Float32Array(bits.buffer) }
    const event = decodeRequest(encodeRequest({ inputs: [input] }, { binary: true }))
    const data = event.kind === 'tensors' && (event.inputs[0]?.data as Float32Array)
    expect(data && new Uint32Array(data.buffer)).toEqual(bits)
  })

  it('are written the same value by value and all at once', () => {
    const scalar = fc.oneof(
      fc.double(),
      fc.integer(),
      fc.constantFrom(0, -0, 1e21, 2 ** 53, -(2 ** 53), 1e-7, true, false, null),
      fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0') && text.isWellFormed()),
      fc.bigInt(),
    )
    const name = fc.string({ minLength: 1 }).filter((text) => text !== '__proto__')
    fc.assert(
      fc.property(fc.dictionary(name, scalar), (features) => {
        const members = Object.entries(features).map(([key, value]) => {
          const text = typeof value === 'number' ? numberToJson(value) : String(value)
          return `${JSON.stringify(key)}:${typeof value === 'string' ? JSON.stringify(value) : text}`
        })
        const { body } = encodeFeatures({ features })
        expect(Buffer.from(body).toString()).toBe(`{"features":{${members.join(',')}}}`)
      }),
    )
  })

  it('writes the own members of whatever object features are, and of nothing else', () => {
    class Reading {
      readonly speed = 1
      toJSON(): unknown {
        return { other: 2 }
      }
    }
    const written = (features: unknown): string =>
      Buffer.from(encodeFeatures({ features: features as Features }).body).toString()
    expect(written({ ...new Reading() })).toBe('{"features":{"speed":1}}')
    expect(written(new Reading())).toBe('{"features":{"speed":1}}')
    expect(written([7])).toBe('{"features":{"0":7}}')
    for (const none of [null, undefined]) expect(() => written(none)).toThrow(TypeError)
  })

  it('gives features back', () => {
    const value = fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.bigInt({ min: 2n ** 53n, max: 2n ** 70n }),
      fc.string(),
      fc.boolean(),
      fc.constant(null),
    )
    const names = fc.string().filter((name) => name !== '__proto__')
    fc.assert(
      fc.property(fc.dictionary(names, value, { noNullPrototype: true }), (features) => {
        fc.pre(Object.values(features).every((item) => typeof item !== 'string' || !item.includes('\0')))
        expect(decodeRequest(encodeFeatures({ id: '7', features }))).toEqual({
          kind: 'features',
          id: '7',
          features,
          parameters: {},
        })
      }),
    )
    const odd = decodeRequest(
      encodeFeatures({ features: { a: Number.NaN, b: Number.POSITIVE_INFINITY, c: -0 } }),
    )
    expect(odd).toEqual({ kind: 'features', features: { a: 'NaN', b: 'Infinity', c: -0 }, parameters: {} })
  })

  it('gives nested data the same elements as flat data', () => {
    fc.assert(
      fc.property(tensors, ([tensor]) => {
        const { shape, datatype, data } = canonical(tensor as Tensor)
        const flat = parseJson(encodeRequest({ inputs: [tensor as Tensor] }).body) as unknown as FlatBody
        let values = flat.inputs[0].data
        for (let dim = shape.length - 1; dim > 0; dim--) values = chunk(values, shape, dim)
        expect(dataOf(datatype, `[${shape}]`, writeNested(values))).toEqual(data)
      }),
      { numRuns: 300 },
    )
  })
})

interface FlatBody {
  readonly inputs: readonly [{ readonly data: readonly JsonValue[] }]
}

function chunk(values: readonly JsonValue[], shape: readonly number[], dim: number): readonly JsonValue[] {
  const size = shape[dim] ?? 0
  const count = shape.slice(0, dim).reduce((product, dimension) => product * dimension, 1)
  return Array.from({ length: count }, (_, index) => values.slice(index * size, (index + 1) * size))
}

function writeNested(value: JsonValue): string {
  if (Array.isArray(value)) return `[${value.map(writeNested).join(',')}]`
  if (typeof value === 'number') return numberToJson(value)
  return typeof value === 'bigint' ? String(value) : JSON.stringify(value)
}

describe('content types', () => {
  const body = Buffer.from('{"features":{}}')

  it.each([
    [undefined, undefined],
    ['application/json', undefined],
    ['application/json; charset=utf-8', undefined],
    ['Application/JSON;charset="UTF-8"', undefined],
    ['application/vnd.acme.v1+json', undefined],
    ['application/json; charset=us-ascii', undefined],
    [undefined, '15'],
    ['application/octet-stream', '15'],
  ])('%s with header length %s is read', (type, length) => {
    expect(decodeEventData(type, length, body).kind).toBe('features')
  })

  it.each([
    ['text/plain', undefined, 'ce-datacontenttype'],
    ['', undefined, 'ce-datacontenttype'],
    ['application/jsonp', undefined, 'ce-datacontenttype'],
    ['application/json; charset=latin1', undefined, 'ce-datacontenttype'],
    ['application/octet-stream', undefined, 'Inference-Header-Content-Length'],
    ['application/octet-stream', '16', 'Inference-Header-Content-Length'],
    ['application/octet-stream', '-1', 'Inference-Header-Content-Length'],
    ['application/octet-stream', '0x0f', 'Inference-Header-Content-Length'],
    ['application/octet-stream', '99999999999999999999', 'Inference-Header-Content-Length'],
    ['application/octet-stream', '', 'Inference-Header-Content-Length'],
  ])('%s with header length %s is refused', (type, length, field) => {
    expectRefusalOrEmpty(() => decodeEventData(type, length, body), field)
  })

  it('names the type where the type is the problem, whatever its charset', () => {
    const of = (type: string): string => refusal(() => decodeEventData(type, undefined, body)).description
    expect(of('text/plain; charset=utf-16')).toMatch(
      /^this content type is not supported \(ce-datacontenttype/,
    )
    expect(of('text/plain; charset=us-ascii')).toMatch(/^this content type is not supported/)
    expect(of('application/json; charset=utf-16')).toMatch(/^this charset is not supported .* UTF-8\.$/)
  })

  function expectRefusalOrEmpty(act: () => unknown, field: string): void {
    const error = refusal(act)
    expect([error.code, error.details.field]).toEqual(['malformed', field])
  }
})

describe('structure of a request', () => {
  const input = { name: 'x', datatype: 'FP32', shape: [1], data: [1] }

  it.each<[string, unknown, string, string]>([
    ['an array', [], 'malformed', 'data'],
    ['neither inputs nor features', { id: '1' }, 'malformed', 'data'],
    ['both', { inputs: [input], features: {} }, 'malformed', 'data'],
    ['a misspelt key', { input: [input], inputs: [input] }, 'malformed', 'data'],
    ['inputs that are an object', { inputs: {} }, 'malformed', 'inputs'],
    ['an input that is null', { inputs: [null] }, 'malformed', 'inputs[0]'],
    ['a misspelt key in a tensor', { inputs: [{ ...input, dtype: 'FP32' }] }, 'malformed', 'inputs[0]'],
    ['no name', { inputs: [{ ...input, name: undefined }] }, 'malformed', 'inputs[0].name'],
    ['an empty name', { inputs: [{ ...input, name: '' }] }, 'malformed', 'inputs[0].name'],
    ['an unknown datatype', { inputs: [{ ...input, datatype: 'BF16' }] }, 'malformed', 'inputs[0].datatype'],
    ['no shape', { inputs: [{ ...input, shape: undefined }] }, 'malformed', 'inputs[0].shape'],
    ['no data', { inputs: [{ ...input, data: undefined }] }, 'malformed', 'inputs[0].data'],
    ['data that is a number', { inputs: [{ ...input, data: 1 }] }, 'malformed', 'inputs[0].data'],
    ['a repeated name', { inputs: [input, input] }, 'schema-mismatch', 'inputs[1].name'],
    ['an id that is a number', { id: 1, inputs: [input] }, 'malformed', 'id'],
    ['an id that is null', { id: null, inputs: [input] }, 'malformed', 'id'],
    ['parameters that are an array', { inputs: [input], parameters: [] }, 'malformed', 'parameters'],
    ['a parameter that is null', { inputs: [input], parameters: { a: null } }, 'malformed', 'parameters.a'],
    ['outputs that are an object', { inputs: [input], outputs: {} }, 'malformed', 'outputs'],
    ['an output without name', { inputs: [input], outputs: [{}] }, 'malformed', 'outputs[0].name'],
    [
      'an output asked twice',
      { inputs: [input], outputs: [{ name: 'y' }, { name: 'y' }] },
      'malformed',
      'outputs[1].name',
    ],
    [
      'an output with classification',
      { inputs: [input], outputs: [{ name: 'y', parameters: { classification: 3 } }] },
      'malformed',
      'outputs[0].parameters.classification',
    ],
    [
      'shared memory',
      { inputs: [{ ...input, data: undefined, parameters: { shared_memory_region: 'r' } }] },
      'malformed',
      'inputs[0].parameters.shared_memory_region',
    ],
    [
      'a binary size in a JSON body',
      { inputs: [{ ...input, data: undefined, parameters: { binary_data_size: 4 } }] },
      'malformed',
      'inputs[0].parameters.binary_data_size',
    ],
    ['features that are an array', { features: [1] }, 'malformed', 'features'],
    ['a feature that is an array', { features: { a: [1] } }, 'schema-mismatch', 'features.a'],
    ['a feature with NUL', { features: { a: 'x\0y' } }, 'schema-mismatch', 'features.a'],
    ['a feature with a strange name', { features: { 'a\nb': {} } }, 'schema-mismatch', 'features["a\\nb"]'],
    ['a feature with a lone surrogate', { features: { a: '\ud800' } }, 'schema-mismatch', 'features.a'],
  ])('with %s is refused', (_what, body, code, field) => {
    expectRefusal(() => decode(body), code, field)
  })

  it('carries id, outputs and parameters, and says which outputs are wanted binary', () => {
    const outputs = [{ name: 'y', parameters: { binary_data: false } }, { name: 'z' }]
    const event = decode({ id: 'a', features: { f: 1 }, outputs, parameters: { binary_data_output: true } })
    expect(event).toEqual({
      kind: 'features',
      id: 'a',
      features: { f: 1 },
      outputs: [{ name: 'y', binary: false }, { name: 'z' }],
      parameters: { binary_data_output: true },
    })
    expect(binaryOutputsOf(event)).toEqual(new Set(['z']))
    expect(binaryOutputsOf({ parameters: { binary_data_output: true } })).toBe(true)
    expect(binaryOutputsOf({ parameters: {} })).toBe(false)
    expect(decode({ features: {}, outputs: [] })).not.toHaveProperty('outputs')
  })

  it('takes what the client of KServe writes around it, and does not look at it', () => {
    const body = { inputs: [], parameters: { content_type: 'pd' } }
    expect(decode({ ...body, model_name: 'other', model_version: '7' })).toEqual(decode(body))
    expect(decode({ ...body, model_name: null })).toEqual(decode(body))
  })

  it('tolerates parameters of tensors that mean something to other servers', () => {
    expect(decodeInput({ parameters: { content_type: 'np' } }).data).toEqual(Float32Array.of(1, 2))
  })
})

describe('shapes of inputs', () => {
  it.each<[unknown, string, string]>([
    [[-1], 'schema-mismatch', 'inputs[0].shape[0]'],
    [[1.5], 'schema-mismatch', 'inputs[0].shape[0]'],
    [['2'], 'schema-mismatch', 'inputs[0].shape[0]'],
    [[3], 'schema-mismatch', 'inputs[0].data'],
    [[1, 1, 1, 1, 1, 1, 1, 1, 2], 'schema-mismatch', 'inputs[0].shape'],
    [[4294967296, 4294967296], 'schema-mismatch', 'inputs[0].shape'],
    [[0, 4294967296, 4294967296], 'schema-mismatch', 'inputs[0].shape'],
    [[2 ** 40], 'too-large', 'inputs[0].shape'],
  ])('%j is refused', (shape, code, field) => {
    expectRefusal(() => decodeInput({ shape }), code, field)
  })

  it('are held to the limits given', () => {
    expectRefusal(() => decodeInput({}, { maxElements: 1 }), 'too-large', 'inputs[0].shape')
    expectRefusal(() => decodeInput({ shape: [1, 2] }, { maxRank: 1 }), 'schema-mismatch', 'inputs[0].shape')
    expectRefusal(() => decodeInput({}, { maxInputs: 0 }), 'too-large', 'inputs')
  })

  it.each<[number[], unknown, string]>([
    [[2, 2], [[1, 2], [3]], 'inputs[0].data[1]'],
    [[2, 2], [[1, 2]], 'inputs[0].data'],
    [[2, 2], [[1, 2], 3], 'inputs[0].data[1]'],
    [[2, 2], [1, 2, 3, [4]], 'inputs[0].data[3]'],
    [
      [2, 2],
      [
        [1, 2],
        [3, [4]],
      ],
      'inputs[0].data[1][1]',
    ],
    [
      [2, 2],
      [
        [1, 2],
        [3, 'x'],
      ],
      'inputs[0].data[1][1]',
    ],
    [[4], [[1], [2], [3], [4]], 'inputs[0].data[0]'],
    [[1, 1], [[[1]]], 'inputs[0].data[0][0]'],
    [[], [1, 2], 'inputs[0].data'],
    [[], [[1]], 'inputs[0].data[0]'],
    [[2, 0], [[], [1]], 'inputs[0].data[1]'],
  ])('%j do not take %j', (shape, data, field) => {
    expectRefusal(() => decodeInput({ shape, data }), 'schema-mismatch', field)
  })

  it('of scalars and empty tensors are read', () => {
    expect(decodeInput({ shape: [], data: [5] }).data).toEqual(Float32Array.of(5))
    expect(decodeInput({ shape: [], data: 5 }).data).toEqual(Float32Array.of(5))
    for (const [shape, data] of [
      [[0], []],
      [[0, 3], []],
      [
        [2, 0],
        [[], []],
      ],
      [[2, 0], []],
    ]) {
      expect(decodeInput({ shape, data }).data).toEqual(new Float32Array(0))
    }
  })
})

describe('values of inputs', () => {
  it.each<[string, string, unknown]>([
    ['BOOL', '[true,false,1,0]', Uint8Array.of(1, 0, 1, 0)],
    ['UINT8', '[0,255,1.0,2]', Uint8Array.of(0, 255, 1, 2)],
    ['INT8', '[-128,127,0,-0]', Int8Array.of(-128, 127, 0, 0)],
    [
      'INT64',
      '[9223372036854775807,-9223372036854775808,"9007199254740993",7]',
      BigInt64Array.of(2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n, 7n),
    ],
    ['UINT64', '[18446744073709551615,"0",1,2]', BigUint64Array.of(2n ** 64n - 1n, 0n, 1n, 2n)],
    ['FP16', '[65504,1e-9,"NaN","-Infinity"]', Uint16Array.of(0x7bff, 0, 0x7e00, 0xfc00)],
    [
      'FP32',
      '[-0,0.1,"Infinity",12345678901234567890]',
      Float32Array.of(-0, 0.1, Infinity, Number(12345678901234567890n)),
    ],
    ['FP64', '[1.7976931348623157e308,"NaN",5e-324,-0]', Float64Array.of(Number.MAX_VALUE, NaN, 5e-324, -0)],
    ['BYTES', '["","😀","a\\"b\\n",":"]', ['', '😀', 'a"b\n', ':']],
  ])('%s takes %s', (datatype, data, expected) => {
    expect(dataOf(datatype, '[4]', data)).toEqual(expected)
  })

  it.each([
    ['BOOL', '2'],
    ['BOOL', '"true"'],
    ['UINT8', '256'],
    ['UINT8', '-1'],
    ['UINT8', 'true'],
    ['INT16', '1.5'],
    ['INT32', '2147483648'],
    ['INT32', '"1"'],
    ['INT32', '12345678901234567890'],
    ['UINT32', '4294967296'],
    ['INT64', '9223372036854775808'],
    ['INT64', '1e18'],
    ['INT64', '0.5'],
    ['INT64', '"0x10"'],
    ['INT64', '""'],
    ['UINT64', '-1'],
    ['UINT64', '18446744073709551616'],
    ['FP16', '65520'],
    ['FP16', 'true'],
    ['FP32', '3.5e38'],
    ['FP32', `-1${'0'.repeat(39)}`],
    ['FP32', '"nan"'],
    ['FP32', 'null'],
    ['FP64', '"1"'],
    ['FP64', '{}'],
    ['BYTES', '1'],
    ['BYTES', '"a\\u0000b"'],
    ['BYTES', '"\\ud800"'],
  ])('%s refuses %s', (datatype, value) => {
    const good = datatype === 'BYTES' ? '"ok"' : '1'
    expectRefusal(() => dataOf(datatype, '[2]', `[${good},${value}]`), 'schema-mismatch', 'inputs[0].data[1]')
  })

  it('are described in one line that says what to send', () => {
    const error = refusal(() => dataOf('INT8', '[1]', '[300]'))
    expect(error.message).toBe(
      'schema-mismatch: INT8 needs an integer from -128 to 127 (inputs[0].data[0] = 300). Send a value of the datatype, or change the datatype.',
    )
  })
})

describe('binary form', () => {
  type Part = { datatype: string; shape: number[]; size?: unknown; data?: unknown }

  function decodeParts(parts: Part[], bytes: number[]): readonly Tensor[] {
    const inputs = parts.map(({ size, ...part }, index) => ({
      name: `x${index}`,
      ...part,
      ...(size === undefined ? {} : { parameters: { binary_data_size: size } }),
    }))
    const header = Buffer.from(JSON.stringify({ inputs }))
    // One byte in front makes every tensor unaligned.
    const body = Buffer.concat([Buffer.alloc(1), header, Buffer.from(bytes)]).subarray(1)
    const event = decodeEventData(BINARY_TYPE, String(header.length), body)
    return event.kind === 'tensors' ? event.inputs : []
  }

  it('is read as Triton writes it, mixed with JSON data', () => {
    const [bytes, json, int16] = decodeParts(
      [
        { datatype: 'BYTES', shape: [2], size: 10 },
        { datatype: 'UINT8', shape: [1], data: [7] },
        { datatype: 'INT16', shape: [2], size: 4 },
      ],
      [2, 0, 0, 0, 0xc3, 0xa9, 0, 0, 0, 0, 1, 0, 0xff, 0xff],
    )
    expect(bytes?.data).toEqual(['é', ''])
    expect(json?.data).toEqual(Uint8Array.of(7))
    expect(int16?.data).toEqual(Int16Array.of(1, -1))
  })

  it.each<[string, Part[], number[], string, string]>([
    [
      'too few bytes declared',
      [{ datatype: 'FP32', shape: [1], size: 3 }],
      [0, 0, 0],
      'schema-mismatch',
      '.parameters.binary_data_size',
    ],
    [
      'a size beyond the body',
      [{ datatype: 'FP32', shape: [1], size: 4 }],
      [0],
      'malformed',
      '.parameters.binary_data_size',
    ],
    [
      'a size that is text',
      [{ datatype: 'UINT8', shape: [1], size: '1' }],
      [0],
      'malformed',
      '.parameters.binary_data_size',
    ],
    [
      'a negative size',
      [{ datatype: 'UINT8', shape: [1], size: -1 }],
      [0],
      'malformed',
      '.parameters.binary_data_size',
    ],
    [
      'data beside a size',
      [{ datatype: 'UINT8', shape: [1], size: 1, data: [1] }],
      [0],
      'malformed',
      '.parameters.binary_data_size',
    ],
    ['a BOOL of 2', [{ datatype: 'BOOL', shape: [2], size: 2 }], [1, 2], 'schema-mismatch', '.data[1]'],
    [
      'a cut length',
      [{ datatype: 'BYTES', shape: [1], size: 3 }],
      [1, 0, 0],
      'schema-mismatch',
      '.parameters.binary_data_size',
    ],
    [
      'a length beyond the tensor',
      [{ datatype: 'BYTES', shape: [1], size: 5 }],
      [255, 255, 255, 255, 65],
      'schema-mismatch',
      '.parameters.binary_data_size',
    ],
    [
      'bytes behind the elements',
      [{ datatype: 'BYTES', shape: [1], size: 5 }],
      [0, 0, 0, 0, 65],
      'schema-mismatch',
      '.parameters.binary_data_size',
    ],
    [
      'a huge count of BYTES',
      [{ datatype: 'BYTES', shape: [60_000_000], size: 4 }],
      [0, 0, 0, 0],
      'schema-mismatch',
      '.parameters.binary_data_size',
    ],
    [
      'invalid UTF-8',
      [{ datatype: 'BYTES', shape: [1], size: 5 }],
      [1, 0, 0, 0, 255],
      'schema-mismatch',
      '.data[0]',
    ],
    [
      'NUL in text',
      [{ datatype: 'BYTES', shape: [1], size: 5 }],
      [1, 0, 0, 0, 0],
      'schema-mismatch',
      '.data[0]',
    ],
  ])('with %s is refused', (_what, parts, bytes, code, part) => {
    expectRefusal(() => decodeParts(parts, bytes), code, `inputs[0]${part}`)
  })

  it('with left-over bytes is refused, for features too', () => {
    expectRefusal(
      () => decodeParts([{ datatype: 'UINT8', shape: [1], size: 1 }], [1, 2]),
      'malformed',
      'data',
    )
    const body = Buffer.from('{"features":{}}!')
    expectRefusal(() => decodeEventData(BINARY_TYPE, '15', body), 'malformed', 'data')
  })
})

describe('encoding', () => {
  const output: Tensor = { name: 'y', datatype: 'FP32', shape: [1], data: Float32Array.of(Number.NaN) }
  const response = { modelName: 'm', modelVersion: '1', outputs: [output] }

  it('writes a prediction as other clients read it', () => {
    const long: Tensor = { name: 'n', datatype: 'INT64', shape: [1, 1], data: BigInt64Array.of(2n ** 60n) }
    const { body, contentType } = encodeResponse({ ...response, id: 'a', outputs: [output, long] })
    expect(contentType).toBe(JSON_TYPE)
    expect(Buffer.from(body).toString()).toBe(
      '{"model_name":"m","model_version":"1","id":"a","outputs":[' +
        '{"name":"y","datatype":"FP32","shape":[1],"data":["NaN"]},' +
        '{"name":"n","datatype":"INT64","shape":[1,1],"data":[1152921504606846976]}]}',
    )
  })

  it('writes only the outputs named as raw bytes', () => {
    const other: Tensor = { name: 'z', datatype: 'BOOL', shape: [2], data: Uint8Array.of(1, 0) }
    const { body, inferenceHeaderLength } = encodeResponse(
      { ...response, outputs: [output, other] },
      { binary: new Set(['z']) },
    )
    expect([...body.subarray(inferenceHeaderLength)]).toEqual([1, 0])
    expect(encodeResponse(response, { binary: new Set(['z']) }).contentType).toBe(JSON_TYPE)
  })

  it('refuses what cannot be written', () => {
    const broken = { ...output, shape: [2] }
    expect(refusal(() => encodeResponse({ ...response, outputs: [broken] })).code).toBe('invalid-output')
    expect(refusal(() => encodeResponse({ ...response, outputs: [output, output] })).code).toBe(
      'invalid-output',
    )
    expect(refusal(() => encodeRequest({ inputs: [broken] })).code).toBe('invalid-argument')
    const parameters = { a: Number.NaN }
    expect(refusal(() => encodeRequest({ inputs: [output], parameters })).details.field).toBe('parameters.a')
    expect(refusal(() => encodeFeatures({ features: { a: [1] as never } })).details.field).toBe('features.a')
    expect(refusal(() => encodeFeatures({ features: {}, id: '\ud800' })).details.field).toBe('id')
    expect(refusal(() => encodeFeatures({ features: {}, outputs: [{ name: '' }] })).details.field).toBe(
      'outputs',
    )
  })

  it.each([false, true])(
    'carries a request without inputs, for a model that has none (binary: %s)',
    (binary) => {
      const { body, contentType, inferenceHeaderLength } = encodeRequest({ inputs: [] }, { binary })
      expect(inferenceHeaderLength).toBeUndefined()
      expect(decodeEventData(contentType, undefined, body)).toMatchObject({ kind: 'tensors', inputs: [] })
    },
  )

  it('lets subscribers ignore what newer workers add', () => {
    const body = Buffer.from('{"model_name":"m","model_version":"1","new":1,"outputs":[]}')
    expect(decodeResponse(JSON_TYPE, undefined, body)).toEqual({
      modelName: 'm',
      modelVersion: '1',
      outputs: [],
    })
    const bare = () => decodeResponse(JSON_TYPE, undefined, Buffer.from('{"model_name":"m","outputs":[]}'))
    expectRefusal(bare, 'malformed', 'model_version')
  })
})

describe('whatever arrives', () => {
  const CODES = ['malformed', 'schema-mismatch', 'too-large']

  function expectTame(type: string | undefined, length: string | undefined, body: Uint8Array): void {
    for (const act of [decodeEventData, decodeResponse]) {
      try {
        act(type, length, body)
      } catch (error) {
        if (!(error instanceof PeltonError)) throw error
        expect(CODES).toContain(error.code)
        expect(error.message.length).toBeLessThan(1000)
        expect(error.message).not.toMatch(/[\r\n\0]/)
      }
    }
  }

  const types = fc.constantFrom(undefined, JSON_TYPE, BINARY_TYPE)

  it('is read or refused: random bytes and JSON', () => {
    const lengths = fc.option(fc.oneof(fc.nat(40).map(String), fc.string()), { nil: undefined })
    const bodies = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.json().map((text) => Buffer.from(text)),
      fc.json().map((text) => Buffer.from(`{"inputs":[${text}]}`)),
      fc.json().map((text) => Buffer.from(`{"features":${text},"outputs":[]}`)),
    )
    fc.assert(fc.property(types, lengths, bodies, expectTame), { numRuns: 2000 })
  })

  it('is read or refused: valid bodies with some bytes changed', () => {
    const fragments = [
      '[',
      ']',
      '{',
      '}',
      '"',
      ',',
      ':',
      '-',
      '9'.repeat(20),
      '1e999',
      'null',
      '\\ud800',
      '\0',
      '0',
    ]
    const mutation = fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      cut: fc.nat(6),
      put: fc.oneof(
        fc.constantFrom(...fragments).map((text) => Buffer.from(text)),
        fc.uint8Array({ maxLength: 4 }),
      ),
    })
    const mutations = fc.array(mutation, { minLength: 1, maxLength: 3 })
    fc.assert(
      fc.property(tensors, fc.boolean(), mutations, (inputs, binary, changes) => {
        const encoded = encodeRequest({ id: '1', inputs, outputs: [{ name: 'y', binary: true }] }, { binary })
        let body: Uint8Array = encoded.body
        for (const { at, cut, put } of changes) {
          const place = Math.floor(at * body.length)
          body = Buffer.concat([body.subarray(0, place), put, body.subarray(place + cut)])
        }
        expectTame(encoded.contentType, lengthOf(encoded), body)
      }),
      { numRuns: 2000 },
    )
  })

  it('is refused with the whole body named by size, not copied', () => {
    const big = { inputs: [{ name: 'x', datatype: 'FP32', shape: [3], data: Array(100_000).fill(1) }] }
    expect(refusal(() => decode(big)).details.value).toBe('100000 values')
  })
})
