import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import type { EventData, Features } from '../sdk/contract/open-inference.ts'
import type { Datatype, Tensor, TensorData } from '../sdk/contract/tensor.ts'
import { PeltonError } from '../sdk/errors.ts'
import { type Binder, createBinder } from './bind.ts'
import { completeManifest } from './manifest.ts'
import type { ManifestSource } from './manifest-schema.ts'
import type { TensorSpec } from './signature.ts'

function spec(name: string, datatype: Datatype, shape: (number | null)[]): TensorSpec {
  return { name, datatype, shape }
}

function binder(inputs: TensorSpec[], source: ManifestSource = {}, constants: string[] = []): Binder {
  const outputs = [spec('score', 'FP32', [null, 1]), spec('label', 'INT64', [null])]
  const signature = { inputs, outputs, constants }
  return createBinder({
    name: 'm',
    version: '1',
    signature,
    manifest: completeManifest(source, signature, 'm'),
  })
}

function tensors(...inputs: Tensor[]): EventData {
  return { kind: 'tensors', inputs, parameters: {} }
}

function features(record: Features): EventData {
  return { kind: 'features', features: record, parameters: {} }
}

function tensor(name: string, datatype: Datatype, shape: number[], data: TensorData): Tensor {
  return { name, datatype, shape, data }
}

function floats(name: string, shape: number[]): Tensor {
  return tensor(name, 'FP32', shape, new Float32Array(shape.reduce((product, size) => product * size, 1)))
}

function refusal(bind: Binder, data: EventData): PeltonError {
  try {
    bind(data)
  } catch (thrown) {
    if (thrown instanceof PeltonError) return thrown
    throw thrown
  }
  throw new Error('the event was taken')
}

const pair = [spec('a', 'FP32', [null, 2]), spec('b', 'INT64', [null])]
const a = floats('a', [3, 2])
const b = tensor('b', 'INT64', [3], BigInt64Array.of(1n, 2n, 3n))

describe('binding tensors', () => {
  it('puts inputs in the order of the signature and counts the rows', () => {
    expect(binder(pair)(tensors(b, a))).toEqual({ inputs: [a, b], rows: 3, outputs: ['score', 'label'] })
  })

  it.each<[string, Tensor[], string, string]>([
    ['an unknown input', [a, b, floats('c', [3, 2])], 'inputs[2].name', 'no such input'],
    ['an input of Object.prototype', [a, b, floats('constructor', [3])], 'inputs[2].name', 'no such input'],
    ['a missing input', [a], 'inputs', 'missing'],
    ['no input at all', [], 'inputs', 'missing'],
    ['a repeated input', [a, a], 'inputs[1].name', 'twice'],
    ['another datatype', [{ ...a, datatype: 'FP64' }, b], 'inputs[0].datatype', 'Send FP32'],
    ['another rank', [floats('a', [3, 2, 1]), b], 'inputs[0].shape', '[*, 2]'],
    ['another fixed dimension', [floats('a', [3, 4]), b], 'inputs[0].shape', '[*, 2]'],
    ['rows that disagree', [floats('a', [1, 2]), b], 'b.shape[0]', 'disagree'],
  ])('refuses %s', (_, inputs, field, words) => {
    const error = refusal(binder(pair), tensors(...inputs))
    expect(error.code).toBe('schema-mismatch')
    expect(error.details.field).toBe(field)
    expect(error.message).toContain(words)
    expect(error.details.remedy).toMatch(/\S/)
  })

  it('refuses an event without rows, and one with more than the manifest allows', () => {
    const bind = binder([spec('a', 'FP32', [null, 2])], { limits: { maxRowsPerEvent: 4 } })
    expect(refusal(bind, tensors(floats('a', [0, 2]))).code).toBe('schema-mismatch')
    expect(bind(tensors(floats('a', [4, 2]))).rows).toBe(4)
    expect(refusal(bind, tensors(floats('a', [5, 2])))).toMatchObject({
      code: 'too-large',
      details: { value: '5' },
    })
  })

  it.each([
    [
      'rows of columns',
      [null, 2],
      true,
      'Send the rows in several events, or raise limits.maxRowsPerEvent in',
    ],
    [
      'a signal',
      [null],
      true,
      'raise limits.maxRowsPerEvent and set batching.enabled: false in the manifest;',
    ],
    [
      'a model whose rows share no run',
      [null, 2],
      false,
      'raise limits.maxRowsPerEvent in the manifest; else',
    ],
  ])(
    'names the keys of the manifest where an event has too many rows: %s',
    (_what, shape, enabled, remedy) => {
      const manifest = { limits: { maxRowsPerEvent: 4 }, batching: { enabled } }
      const bind = binder([spec('a', 'FP32', shape)], manifest)
      const error = refusal(bind, tensors(floats('a', [5, 2].slice(0, shape.length))))
      expect(error.details.remedy).toContain(remedy)
      expect(error.details.remedy).toContain('See docs/models.md#signals.')
      const raised = binder([spec('a', 'FP32', shape)], { ...manifest, limits: { maxRowsPerEvent: 5 } })
      expect(raised(tensors(floats('a', [5, 2].slice(0, shape.length)))).rows).toBe(5)
    },
  )

  it('takes an empty list beside an input of fixed size: its first dimension does not count rows', () => {
    const bind = binder([spec('list', 'FP32', [null]), spec('splits', 'INT64', [3])])
    const splits = tensor('splits', 'INT64', [3], new BigInt64Array(3))
    expect(bind(tensors(floats('list', [0]), splits)).rows).toBe(1)
  })

  it('has one row where no first dimension is free', () => {
    const bind = binder([spec('image', 'FP32', [8, 3]), spec('scale', 'FP32', [])])
    expect(bind(tensors(floats('image', [8, 3]), floats('scale', []))).rows).toBe(1)
  })

  it('takes an event without inputs for a model without inputs, and features for none', () => {
    const none = { inputs: [], rows: 1, outputs: ['score', 'label'] }
    expect(binder([])(tensors())).toEqual(none)
    expect(binder([])(features({}))).toEqual(none)
  })

  it('refuses text that the runtime would cut or change', () => {
    const bind = binder([spec('t', 'BYTES', [null])])
    for (const text of ['a\0b', '\ud800']) {
      expect(refusal(bind, tensors(tensor('t', 'BYTES', [2], ['ok', text]))).details.field).toBe(
        'inputs[0].data[1]',
      )
    }
    expect(bind(tensors(tensor('t', 'BYTES', [1], ['🌊']))).rows).toBe(1)
  })

  it.each<[Datatype, TensorData]>([
    ['FP32', Float32Array.of(1, Number.NaN)],
    ['FP64', Float64Array.of(1, Number.NEGATIVE_INFINITY)],
    ['FP16', Uint16Array.of(0x3c00, 0x7c00)],
  ])('refuses a %s that is not finite only where the manifest forbids it', (datatype, data) => {
    const event = tensors(tensor('a', datatype, [2], data))
    const specs = [spec('a', datatype, [null])]
    expect(binder(specs)(event).rows).toBe(2)
    const strict = binder(specs, { checks: { finiteInputs: true } })
    expect(refusal(strict, event).details.field).toBe('inputs[0].data[1]')
  })

  it('says of an input whose value the model brings that it cannot be changed', () => {
    const error = refusal(binder(pair, {}, ['bias']), tensors(a, b, floats('bias', [2])))
    expect(error.message).toContain('cannot be changed')
  })

  it('takes a column count the model leaves open from the columns of the manifest', () => {
    const bind = binder([spec('a', 'FP32', [null, null])], { inputs: { a: { features: ['x', 'y', 'z'] } } })
    expect(bind(tensors(floats('a', [2, 3]))).rows).toBe(2)
    expect(refusal(bind, tensors(floats('a', [2, 4]))).details.field).toBe('inputs[0].shape')
  })

  it('answers with the outputs asked for, and refuses unknown ones with the name meant', () => {
    const bind = binder([spec('a', 'FP32', [null, 2])])
    expect(bind({ ...tensors(a), outputs: [{ name: 'label' }] }).outputs).toEqual(['label'])
    const error = refusal(bind, { ...tensors(a), outputs: [{ name: 'scores' }] })
    expect(error.message).toContain('Did you mean "score"?')
  })
})

describe('binding features', () => {
  const specs = [
    spec('distance', 'FP32', [null, 1]),
    spec('origin', 'BYTES', [null, 1]),
    spec('night', 'BOOL', [null]),
    spec('flight', 'INT64', [null, null]),
    spec('offset', 'FP64', []),
  ]
  const record = { distance: 1452, origin: 'DTW', night: true, flight: 2n ** 60n + 1n, offset: '-Infinity' }

  it('makes one row of tensors, each of the shape of its input', () => {
    expect(binder(specs)(features(record))).toMatchObject({
      rows: 1,
      inputs: [
        tensor('distance', 'FP32', [1, 1], Float32Array.of(1452)),
        tensor('origin', 'BYTES', [1, 1], ['DTW']),
        tensor('night', 'BOOL', [1], Uint8Array.of(1)),
        tensor('flight', 'INT64', [1, 1], BigInt64Array.of(2n ** 60n + 1n)),
        tensor('offset', 'FP64', [], Float64Array.of(Number.NEGATIVE_INFINITY)),
      ],
    })
  })

  it.each<[string, Features, string]>([
    ['a number for a text', { ...record, origin: 5 }, 'features.origin'],
    ['a text for a number', { ...record, distance: 'far' }, 'features.distance'],
    ['a fraction for an integer', { ...record, flight: 1.5 }, 'features.flight'],
    ['an integer out of range', { ...record, flight: 2n ** 63n }, 'features.flight'],
    ['a number a float cannot hold', { ...record, distance: 1e39 }, 'features.distance'],
    ['null without a default', { ...record, night: null }, 'features.night'],
    ['an unknown feature', { ...record, distanse: 1 }, 'features.distanse'],
    ['a feature of Object.prototype', { ...record, toString: 1 }, 'features.toString'],
  ])('refuses %s', (_, given, field) => {
    const error = refusal(binder(specs), features(given))
    expect(error).toMatchObject({ code: 'schema-mismatch', details: { field } })
    expect(error.details.remedy).toMatch(/\S/)
  })

  it('refuses a missing feature by its name', () => {
    const { night, ...rest } = record
    expect(refusal(binder(specs), features(rest)).message).toContain(`features.night = nothing`)
    expect(night).toBe(true)
  })

  it('refuses one unknown feature among 5,000 after a look at each, and no more', () => {
    const names = Array.from({ length: 5_000 }, (_, index) => `feature_${String(index).padStart(4, '0')}`)
    const bind = binder([spec('x', 'FP32', [null, 5_000])], { inputs: { x: { features: names } } })
    const given = features(Object.fromEntries([...names, 'feature_x'].map((name) => [name, 1])))
    const looks = vi.spyOn(Set.prototype, 'has')
    const searches = vi.spyOn(Array.prototype, 'includes')
    const error = refusal(bind, given)
    const searched = searches.mock.contexts.reduce((sum: number, list) => sum + (list as unknown[]).length, 0)
    const looked = looks.mock.calls.length
    vi.restoreAllMocks()
    expect(error.details).toMatchObject({
      field: 'features.feature_x',
      remedy: expect.stringMatching(/^Known are/),
    })
    expect(looked - 5_001).toBeLessThan(10) // the assertions of the test look, too
    expect(searched).toBeLessThan(100)
  })

  it('lets unknown features pass where the manifest says so, and tells how many and which', () => {
    const bind = binder(specs, { unknownFeatures: 'ignore' })
    const known = binder(specs)(features(record))
    expect(bind(features(record))).toEqual(known)
    expect(bind(features({ ...record, distanse: 1, toString: 2 }))).toEqual({
      ...known,
      ignored: { count: 2, names: ['distanse', 'toString'] },
    })
    const many = Object.fromEntries(
      Array.from({ length: 1_000 }, (_, index) => [`${'n'.repeat(100)}${index}`, 1]),
    )
    const { ignored } = bind(features({ ...record, ...many }))
    expect(ignored).toEqual({ count: 1_000, names: Array(8).fill('n'.repeat(64)) })
    const { night, ...rest } = record
    expect(refusal(bind, features({ ...rest, nigth: night })).message).toContain('features.night = nothing')
  })

  it('names the known feature nearest to an unknown one', () => {
    const error = refusal(binder(specs), features({ ...record, Distance_: 1 }))
    expect(error.message).toContain('Did you mean "distance"?')
  })

  const columns: ManifestSource = {
    inputs: {
      x: { features: ['age', { feature: 'income', default: 30_000 }, { feature: 'risk', default: 'NaN' }] },
    },
  }

  it('fills the columns of one tensor and takes defaults for what is missing or null', () => {
    const bind = binder([spec('x', 'FP32', [null, 3])], columns)
    expect(bind(features({ age: 40, income: null })).inputs).toEqual([
      tensor('x', 'FP32', [1, 3], Float32Array.of(40, 30_000, Number.NaN)),
    ])
    expect(refusal(bind, features({ age: 'old', income: 1 })).details.field).toBe('features.age')
  })

  it('refuses values that are not finite where the manifest forbids them, by feature', () => {
    const bind = binder([spec('x', 'FP32', [null, 3])], { ...columns, checks: { finiteInputs: true } })
    expect(refusal(bind, features({ age: 40 })).details.field).toBe('features.risk')
  })

  it('refuses features for an input they cannot fill, and says which', () => {
    const error = refusal(binder([spec('image', 'FP32', [null, 3, 8])]), features({ image: 1 }))
    expect(error.message).toContain('input "image" cannot be filled from features')
  })

  it('takes any record of floats exactly as tensors of the same values', () => {
    const names = ['f0', 'f1', 'f2', 'f3']
    const bind = binder([spec('x', 'FP64', [null, 4])], { inputs: { x: { features: names } } })
    fc.assert(
      fc.property(fc.array(fc.double(), { minLength: 4, maxLength: 4 }), (values) => {
        const entries = names.map((name, index) => {
          const value = values[index] ?? 0
          return [name, Number.isFinite(value) ? value : String(value)] as const
        })
        const [input] = bind(features(Object.fromEntries(entries))).inputs
        expect([...(input?.data ?? [])]).toEqual(values)
      }),
    )
  })
})
