import { describe, expect, it } from 'vitest'
import { decodeModelRecord, emptyRecord, encodeModelRecord, type ModelRecord } from './model-record.ts'

const x = { name: 'x', datatype: 'FP32', shape: [null, 3] } as const
const RECORD: ModelRecord = {
  pool: 'default',
  model: 'delay',
  versions: {
    '1': {
      digest: 'a'.repeat(64),
      sizeBytes: 12,
      signature: { inputs: [x], outputs: [x], constants: ['bias'] },
      since: 5,
    },
  },
  serving: { one: { versions: ['1'], since: 6 } },
  refusing: {
    two: { version: '1', code: 'model-unavailable', reason: 'it is gone', since: 7 },
    three: { code: 'model-refused', reason: 'no version', since: 8 },
  },
  apart: { since: 9, inARow: 2 },
  admission: { mode: 'observe', by: 'ops', at: 10 },
  breaker: {
    since: 10,
    cause: 'index out of range',
    failures: 25,
    probes: 1,
    nextProbeAt: 11,
    probing: { by: 'one', until: 12 },
  },
}

const read = (value: unknown) =>
  decodeModelRecord(
    Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
    'default',
    'delay',
  )

const wireOf = (record: ModelRecord): Record<string, unknown> =>
  JSON.parse(Buffer.from(encodeModelRecord(record)).toString())

describe('the record of a model', () => {
  it.each([
    ['whole', RECORD],
    ['empty', emptyRecord('default', 'delay')],
  ])('reads what it writes, %s', (_how, record) => {
    expect(decodeModelRecord(encodeModelRecord(record), 'default', 'delay')).toEqual({
      kind: 'record',
      record,
    })
  })

  it('keeps members that a newer Pelton adds', () => {
    const wire = { ...wireOf(RECORD), calibration: { best: 8 } }
    const decoded = read(wire)
    expect(decoded).toMatchObject({ kind: 'record', record: { calibration: { best: 8 } } })
    if (decoded.kind === 'record') expect(wireOf(decoded.record)).toEqual(wire)
  })

  it('leaves out a calibration that makes no sense, and keeps all else', () => {
    const of = { digest: 'a', cpu: 'c', threads: 2, since: 1 }
    const cost = { fixedMs: 1, perRowMs: 0, handOverMs: 0, batchRows: 8, timings: [{ rows: 1, ms: 1 }] }
    const good = { ...of, cost, later: 'more' }
    const bad = [
      { ...of, cost: { ...cost, batchRows: 0 } },
      { ...of, cost: { ...cost, fixedMs: -1 } },
      { ...of, cost: { ...cost, perRowMs: null } },
      { ...of, begun: true },
      null,
    ]
    for (const [calibrations, left] of [
      [[...bad, good], [good]],
      ['none', []],
    ])
      expect(read({ ...wireOf(RECORD), calibrations })).toEqual({
        kind: 'record',
        record: { ...RECORD, calibrations: left },
      })
  })

  it.each([
    ['no JSON', '{'],
    ['no text', '\u0000\u0001'],
    ['a number', '7'],
    ['null', 'null'],
    ['no version', { ...wireOf(RECORD), v: undefined }],
    ['another digest', { ...wireOf(RECORD), versions: { '1': { ...RECORD.versions['1'], digest: 'x' } } }],
    ['a list for a map', { ...wireOf(RECORD), serving: ['one'] }],
    [
      'a datatype that is none',
      {
        ...wireOf(RECORD),
        versions: {
          '1': {
            ...RECORD.versions['1'],
            signature: { inputs: [{ ...x, datatype: 'FP7' }], outputs: [], constants: [] },
          },
        },
      },
    ],
    ['a mode that is none', { ...wireOf(RECORD), admission: { mode: 'on', by: 'ops', at: 1 } }],
    ['a breaker without a time', { ...wireOf(RECORD), breaker: { ...RECORD.breaker, nextProbeAt: null } }],
    ['a time that is none', { ...wireOf(RECORD), apart: { since: 'now', inARow: 1 } }],
  ])('tells %s from a record, with the place', (_what, value) => {
    expect(read(value)).toEqual({ kind: 'junk', problem: expect.stringMatching(/\S/) })
  })

  it('tells the record of a newer Pelton, which is not to be written over', () => {
    expect(read({ v: 2, everything: 'else' })).toEqual({
      kind: 'newer',
      problem: expect.stringContaining('version 2'),
    })
  })
})
