import { describe, expect, test } from 'vitest'
import { emptyRecord, type ModelRecord } from '../../../../shared/operations/models/model-record.ts'
import { indexEntries, metadataOf } from './metadata.ts'

const version = (columns: number) => ({
  ...{ digest: 'a'.repeat(64), sizeBytes: 1, since: 0 },
  signature: {
    inputs: [{ name: 'x', datatype: 'FP32' as const, shape: [null, columns] }],
    outputs: [{ name: 'y', datatype: 'INT64' as const, shape: [] }],
    constants: [],
  },
})
const RECORD: ModelRecord = {
  ...emptyRecord('default', 'm'),
  versions: { '2': version(2), '10': version(10), '9': version(9) },
}

describe('metadataOf', () => {
  test('is of the highest version that is served, in numbers and not in letters', () => {
    expect(metadataOf(RECORD, ['10', '9'], undefined)).toEqual({
      ...{ name: 'm', versions: ['9', '10'], platform: 'onnxruntime_onnx' },
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 10] }],
      outputs: [{ name: 'y', datatype: 'INT64', shape: [] }],
    })
    expect(metadataOf(RECORD, ['2'], undefined).inputs[0]?.shape).toEqual([-1, 2])
  })

  test('is of the version that is asked for, served or not', () => {
    expect(metadataOf(RECORD, ['10'], '2')).toMatchObject({ versions: ['2'], inputs: [{ shape: [-1, 2] }] })
  })

  test('is what the pool remembers where no worker is there', () => {
    expect(metadataOf(RECORD, [], undefined)).toMatchObject({ versions: ['2', '9', '10'] })
  })

  test.each(['3', '', '__proto__', 'toString'])('is not there for version %j', (asked) => {
    expect(() => metadataOf(RECORD, ['10'], asked)).toThrow(/Its versions are 2, 9, 10/)
    expect(() => metadataOf(emptyRecord('default', 'm'), [], undefined)).toThrow(/unknown-model/)
  })
})

describe('indexEntries', () => {
  const refusing = (ofVersion?: string) => ({
    version: ofVersion,
    code: 'model-refused',
    reason: 'broken',
    since: 0,
  })

  test('has each version, and why it is not served', () => {
    const record = { ...RECORD, refusing: { w1: refusing('9'), w2: refusing('11') } }
    expect(indexEntries(record, ['10'])).toEqual([
      { name: 'm', version: '2', state: 'UNAVAILABLE', reason: 'no worker serves it' },
      { name: 'm', version: '9', state: 'UNAVAILABLE', reason: 'broken' },
      { name: 'm', version: '10', state: 'READY', reason: '' },
      { name: 'm', version: '11', state: 'UNAVAILABLE', reason: 'broken' },
    ])
  })

  test('has a model whose folder is refused without a version', () => {
    const record = { ...emptyRecord('default', 'm'), refusing: { w: refusing() } }
    expect(indexEntries(record, [])).toEqual([{ name: 'm', state: 'UNAVAILABLE', reason: 'broken' }])
    expect(indexEntries(emptyRecord('default', 'm'), [])).toMatchObject([{ reason: 'no worker serves it' }])
  })
})
