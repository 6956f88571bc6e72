import { describe, expect, it } from 'vitest'
import {
  beginCalibration,
  dropCalibration,
  endCalibration,
  findCalibration,
  mayCalibrate,
} from './calibrations.ts'
import { decodeModelRecord, emptyRecord, encodeModelRecord } from './model-record.ts'

const of = { digest: 'a'.repeat(64), cpu: 'some processor', threads: 2 }
const cost = {
  fixedMs: 0.01,
  perRowMs: 0.002,
  handOverMs: 0.05,
  batchRows: 32,
  timings: [{ rows: 1, ms: 0.012 }],
}
const empty = emptyRecord('default', 'm')

describe('calibrations of a record', () => {
  it('are of their files, their processor and their number of threads', () => {
    const record = endCalibration(empty, of, cost, 1)
    expect(findCalibration(record, of)?.cost).toEqual(cost)
    for (const other of [{ digest: 'b'.repeat(64) }, { cpu: 'another' }, { threads: 3 }])
      expect(findCalibration(record, { ...of, ...other })).toBeUndefined()
  })

  it('come through a record as they were, and a record of before has none', () => {
    const record = beginCalibration(endCalibration(empty, of, cost, 1), { ...of, threads: 4 }, 'w', 2)
    const read = decodeModelRecord(encodeModelRecord(record), 'default', 'm')
    expect(read).toEqual({ kind: 'record', record })
    expect(findCalibration(empty, of)).toBeUndefined()
  })

  it('are made by one worker at a time', () => {
    const record = beginCalibration(empty, of, 'one', 1)
    expect(mayCalibrate(record, of, 'two', ['one', 'two'])).toBe(false)
    expect(mayCalibrate(record, of, 'one', ['one', 'two'])).toBe(true)
    expect(mayCalibrate(record, of, 'two', ['two'])).toBe(true)
    expect(mayCalibrate(endCalibration(record, of, cost, 2), of, 'two', ['one', 'two'])).toBe(true)
  })

  it('are given up where measuring ended two workers, not where workers gave it up', () => {
    const once = beginCalibration(empty, of, 'one', 1)
    const twice = beginCalibration(once, of, 'two', 2)
    expect(mayCalibrate(twice, of, 'three', ['three'])).toBe(false)
    const dropped = dropCalibration(twice, of, 'two')
    expect(dropped.calibrations).toEqual([])
    expect(dropCalibration(once, of, 'two')).toBe(once)
  })

  it('keep what was known while it is measured anew, and when that is given up', () => {
    const begun = beginCalibration(endCalibration(empty, of, cost, 1), of, 'one', 2)
    expect(findCalibration(begun, of)?.cost).toEqual(cost)
    expect(findCalibration(dropCalibration(begun, of, 'one'), of)).toEqual({ ...of, since: 1, cost })
  })

  it('are the newest thirty-two', () => {
    let record = empty
    for (let threads = 1; threads <= 40; threads++)
      record = endCalibration(record, { ...of, threads }, cost, threads)
    expect(record.calibrations?.map(({ threads }) => threads)).toEqual(
      Array.from({ length: 32 }, (_, index) => 40 - index),
    )
  })
})
