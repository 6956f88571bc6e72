import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeRequest } from '../sdk/contract/open-inference.ts'
import type { Datatype, Tensor } from '../sdk/contract/tensor.ts'
import { createBinder } from './bind.ts'
import { planBinding } from './bind-plan.ts'
import { type RawData, type ReadData, readData } from './codec.ts'
import { createReader, type EventInputs, type EventReader, toTensors } from './event-reader.ts'
import { completeManifest } from './manifest.ts'
import type { ManifestSource } from './manifest-schema.ts'
import { RawRows } from './raw-rows.ts'
import { planRows, type RowPlan } from './row-plan.ts'
import { RowScanner } from './row-scanner.ts'
import { Row, RowStore } from './row-store.ts'

const DATATYPES: readonly Datatype[] = [
  'BOOL',
  'UINT8',
  'INT32',
  'UINT64',
  'INT64',
  'FP16',
  'FP32',
  'FP64',
  'BYTES',
]

function modelOf(source: ManifestSource = {}) {
  const inputs = DATATYPES.map((datatype) => ({ name: datatype.toLowerCase(), datatype, shape: [null, 1] }))
  const wide = { name: 'wide', datatype: 'FP32', shape: [null, 2] } as const
  const signature = {
    inputs: [...inputs, wide],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [null] } as const],
    constants: [],
  }
  const mapped = { ...source, inputs: { wide: { features: ['left', 'fp32'] }, ...source.inputs } }
  return { name: 'm', version: '1', signature, manifest: completeManifest(mapped, signature, 'manifest') }
}

/** The quick way beside the careful one. */
function readers(source?: ManifestSource): { quick: EventReader; careful: EventReader } {
  const model = modelOf(source)
  const bind = createBinder(model)
  return { quick: createReader(model, bind), careful: (data) => readData(data, bind) }
}

function json(text: string): RawData {
  return { contentType: undefined, inferenceHeaderLength: undefined, body: Buffer.from(text) }
}

/** All that can be told apart from outside: bytes of the tensors (which know -0 and NaN), or the refusal. */
function shown(read: ReadData<EventInputs>): unknown {
  if (read.kind === 'refused') {
    const { code, message, details } = read.error
    return { stage: read.stage, code, message, details }
  }
  const { inputs, ...bound } = read.bound
  return { inputs: toTensors(inputs).map(shownTensor), ...bound, asked: plainAsked(read) }
}

function shownTensor({ name, datatype, shape, data }: Tensor): unknown {
  const elements = Array.isArray(data)
    ? data
    : Array.from(data as Float64Array, (value) => (Object.is(value, -0) ? '-0' : String(value)))
  return { name, datatype, shape, elements, kind: data.constructor.name }
}

function plainAsked({
  asked: { id, outputs, parameters },
}: Extract<ReadData<EventInputs>, { kind: 'bound' }>): unknown {
  return { id, outputs, parameters }
}

const good: Readonly<Record<string, string>> = {
  bool: 'true',
  uint8: '255',
  int32: '-7',
  uint64: '9007199254740991',
  int64: '-12',
  fp16: '0.5',
  fp32: '-3.25',
  fp64: '1e-7',
  bytes: '"M\u00fcnchen, EUR"',
  left: '0',
}

function written(members: Readonly<Record<string, string>>): string {
  return `{"features":{${Object.entries(members)
    .map(([name, value]) => `"${name}":${value}`)
    .join(',')}}}`
}

describe('a reader', () => {
  it('makes of plain features a row, in whatever order and with whatever whitespace they come', () => {
    const { quick, careful } = readers()
    const entries = Object.entries(good)
    const spaced = `\n{ "features" : {${entries.map(([name, value]) => ` "${name}" :\t${value} `).join(',\r\n')}} }\n`
    const texts = [written(good), written(Object.fromEntries([...entries].reverse())), spaced, written(good)]
    for (const text of texts) {
      const read = quick(json(text))
      expect(read.kind === 'bound' && read.bound.inputs).toBeInstanceOf(Row)
      expect(shown(read)).toEqual(shown(careful(json(text))))
    }
  })

  it('makes a row of what the one pass leaves out, too: ids, escapes, features that are ignored', () => {
    const { quick, careful } = readers({ unknownFeatures: 'ignore' })
    const members = Object.entries({ ...good, bytes: '"\\u00fc"', other: '1', '': '2' })
      .map(([name, value]) => `"${name}":${value}`)
      .join(',')
    const text = `{"id":"i","outputs":[{"name":"y"}],"features":{${members}},"parameters":{"p":1}}`
    const read = quick(json(text))
    expect(read).toMatchObject({ bound: { ignored: { count: 2, names: ['other', ''] }, outputs: ['y'] } })
    expect(read.kind === 'bound' && read.bound.inputs).toBeInstanceOf(Row)
    expect(shown(read)).toEqual(shown(careful(json(text))))
  })

  it('reads again what stands behind the features only where it is new', () => {
    const { quick, careful } = readers()
    const tails = [
      '',
      ' \n',
      ',"outputs":[{"name":"y"}]',
      ',"parameters":{"p":[1]}',
      ',"id":"i"',
      ',"features":{}',
    ]
    const many = Array.from({ length: 20 }, (_, index) => `,"parameters":{"p":${index}}`)
    for (const tail of [...tails, ...tails, ...tails, ...many, ...many, ...tails]) {
      const text = `${written(good).slice(0, -1)}${tail}}`
      expect(shown(quick(json(text)))).toEqual(shown(careful(json(text))))
    }
  })

  it('takes defaults for what is missing or null, and the tensors of the careful way where a default needs one', () => {
    const inputs = Object.fromEntries(
      DATATYPES.map((datatype) => {
        const feature = datatype.toLowerCase()
        const value = datatype === 'BYTES' ? 'none' : datatype === 'BOOL' ? true : 1
        return [feature, { feature, default: value }]
      }),
    )
    const { quick, careful } = readers({ inputs })
    const some = written({ left: '1', fp32: '2', int64: 'null', bytes: 'null' })
    expect(shown(quick(json(some)))).toEqual(shown(careful(json(some))))
    const strange = readers({
      inputs: { fp64: { feature: 'fp64', default: Number.NaN } },
      checks: { finiteInputs: false },
    })
    const { fp64: _, ...rest } = good
    expect(shown(strange.quick(json(written(rest))))).toEqual(shown(strange.careful(json(written(rest)))))
  })

  it('searches a wide event in a strange order for no longer than its width asks, and learns the order', () => {
    const features = Array.from({ length: 500 }, (_, at) => `feature_${at}`)
    const signature = {
      inputs: [{ name: 'x', datatype: 'FP32', shape: [null, 500] } as const],
      outputs: [{ name: 'y', datatype: 'FP32', shape: [null] } as const],
      constants: [],
    }
    const manifest = completeManifest({ inputs: { x: { features } } }, signature, 'manifest')
    const plan = planRows(planBinding({ name: 'm', version: '1', signature, manifest }))
    const scanner = new RowScanner(new RowStore(plan as RowPlan))
    const reversed = [...features].reverse().map((name) => [name, '1'] as const)
    const body = Buffer.from(written(Object.fromEntries(reversed)))
    expect(scanner.scan(body)).toBe(-1)
    let scans = 0
    while (scanner.scan(body) < 0 && scans < 100) scans++
    expect(scans).toBeLessThan(100)
  })

  it('reads numbers as JSON.parse does, to the last bit', () => {
    const { quick } = readers()
    const read = (fp64: string): unknown => {
      const found = quick(json(written({ ...good, fp64 })))
      if (found.kind === 'refused') throw found.error
      return toTensors(found.bound.inputs).find(({ name }) => name === 'fp64')?.data[0]
    }
    const digits = fc.stringMatching(/^-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?$/)
    const number = fc.oneof(digits, fc.double({ noNaN: true, noDefaultInfinity: true }).map(String))
    fc.assert(
      fc.property(number, (text) => {
        fc.pre(Math.abs(Number(text)) < 2 ** 53)
        expect(read(text)).toBe(JSON.parse(text))
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('a reader of binary bodies', () => {
  const floats = (rows: number): Tensor => ({
    name: 'x',
    datatype: 'FP32',
    shape: [rows, 3],
    data: Float32Array.from({ length: rows * 3 }, (_, at) => at / 7),
  })
  const longs = (rows: number): Tensor => ({
    name: 'n',
    datatype: 'INT64',
    shape: [rows],
    data: BigInt64Array.from({ length: rows }, (_, at) => -(2n ** 62n) + BigInt(at)),
  })
  const signature = {
    inputs: [
      { name: 'n', datatype: 'INT64', shape: [null] } as const,
      { name: 'x', datatype: 'FP32', shape: [null, 3] } as const,
    ],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [null] } as const],
    constants: [],
  }
  const model = { name: 'm', version: '1', signature, manifest: completeManifest({}, signature, 'manifest') }
  const bind = createBinder(model)

  function rawOf(inputs: readonly Tensor[], binary: boolean | ReadonlySet<string>, id?: string): RawData {
    const parameters = { binary_data_output: true }
    const encoded = encodeRequest({ inputs, parameters, ...(id !== undefined && { id }) }, { binary })
    const { body, contentType, inferenceHeaderLength } = encoded
    // As bytes come from a socket: they begin anywhere.
    const shifted = new Uint8Array(body.length + 1)
    shifted.set(body, 1)
    return {
      contentType,
      inferenceHeaderLength: inferenceHeaderLength?.toString(),
      body: shifted.subarray(1),
    }
  }

  it('takes the bytes of a body as they are once it has read one with the same JSON', () => {
    const read = createReader(model, bind)
    const kinds = [1, 1, 2, 2, 1].map((rows) => {
      const data = rawOf([floats(rows), longs(rows)], true)
      const found = read(data)
      expect(shown(found)).toEqual(shown(readData(data, bind)))
      return found.kind === 'bound' && found.bound.inputs instanceof RawRows
    })
    expect(kinds).toEqual([false, true, false, true, true])
  })

  it('says of any of them what the careful way says', () => {
    const read = createReader(model, bind)
    const kept = [floats(2), longs(2)]
    const bodies = fc.constantFrom(
      rawOf(kept, true),
      rawOf(kept, new Set(['x'])),
      rawOf([longs(2), floats(2)], true),
      rawOf(kept, true, 'own'),
      rawOf([floats(2), longs(1)], true),
    )
    const change = fc.record({
      at: fc.nat(400),
      byte: fc.constantFrom(0, 0x7f, 0x80, 0xff),
      length: fc.nat(1),
    })
    fc.assert(
      fc.property(bodies, fc.array(change, { maxLength: 3 }), ({ body, ...data }, changes) => {
        const changed = Uint8Array.from(body)
        for (const { at, byte } of changes) changed[at % changed.length] = byte
        const cut = { ...data, body: changed.subarray(0, changed.length - (changes[0]?.length ?? 0)) }
        expect(shown(read(cut))).toEqual(shown(readData(cut, bind)))
      }),
      { numRuns: 3_000 },
    )
  })
})

describe('the quick way of a reader', () => {
  const value = fc.oneof(
    fc.constantFrom(
      '0',
      '-0',
      '1',
      '01',
      '1.',
      '.5',
      '-',
      '+1',
      '1e5',
      '1E-400',
      '1e999',
      '256',
      '65504',
      '65520',
    ),
    fc.constantFrom(
      '3.5e38',
      '9007199254740992',
      '12345678901234567890',
      '"12"',
      '"NaN"',
      '"Infinity"',
      '"1e5"',
    ),
    fc.constantFrom(
      'true',
      'false',
      'null',
      'tru',
      'nul',
      '[1]',
      '{}',
      '[]',
      '',
      '"',
      '"\\ud800"',
      '"\\u0000"',
    ),
    fc.constantFrom(
      '"a\u0001"',
      '"\ufffd"',
      '"\u2028"',
      '"\\n"',
      '"a:b"',
      '"\ud83d\ude00"',
      '0.1000000000000000055',
    ),
  )
  const key = fc.constantFrom(...Object.keys(good), 'other', '__proto__', 'constructor', '', 'fp\\u00332')
  const oddMembers = fc.array(fc.tuple(key, value), { maxLength: 3 })
  const tail = fc.constantFrom(
    '',
    ' ',
    '}',
    ',',
    ',"id":"x"',
    ',"id":1',
    ',"inputs":[]',
    ',"outputs":[{"name":"z"}]',
  )

  function bodyOf(members: readonly (readonly [string, string])[], head: string, end: string): string {
    return `{${head}"features":{${members.map(([name, text]) => `"${name}":${text}`).join(',')}}${end}}`
  }

  it('says of any body what the careful way says', () => {
    for (const source of [{}, { unknownFeatures: 'ignore' as const }, { checks: { finiteInputs: false } }]) {
      const { quick, careful } = readers(source)
      fc.assert(
        fc.property(oddMembers, fc.boolean(), tail, fc.nat(12), (odd, isWhole, end, at) => {
          const replaced = new Map(odd)
          const rest = Object.entries(good).filter(([name]) => isWhole || !replaced.has(name))
          const members = [...rest.slice(0, at), ...odd, ...rest.slice(at)]
          const data = json(bodyOf(members, end === ' ' ? '"id":"x",' : '', end))
          expect(shown(quick(data))).toEqual(shown(careful(data)))
        }),
        { numRuns: 1_500 },
      )
    }
  })

  it('says of a good body with a byte changed, lost or added what the careful way says', () => {
    const { quick, careful } = readers()
    const bytes = Buffer.from(written(good))
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), fc.nat(2), (at, byte, kept) => {
        const body = Buffer.concat([bytes.subarray(0, at), Buffer.of(byte), bytes.subarray(at + kept)])
        const data = { ...json(''), body }
        expect(shown(quick(data))).toEqual(shown(careful(data)))
      }),
      { numRuns: 5_000 },
    )
  })
})
