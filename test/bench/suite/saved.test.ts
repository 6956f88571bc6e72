import { expect, it } from 'vitest'
import { UsageError } from '../compare/options.ts'
import type { BenchReport } from './report.ts'
import { sampleReport } from './sample-report.ts'
import { sampleResult } from './sample-result.ts'
import { changeLines, readSaved } from './saved.ts'

const rates = (...each: readonly number[]) => each.map((rate) => ({ rate }))
const reportOf = (rateOfA: readonly number[], more: Partial<BenchReport> = {}): BenchReport => ({
  ...sampleReport([sampleResult({ a: rates(...rateOfA), b: rates(5, 6, 7) })]),
  ...more,
})

it('a figure has changed where its ranges part', () => {
  const lines = changeLines(reportOf([10, 11, 12]), reportOf([13, 14, 15]))
  expect(lines.map((line) => line.split(/ {2,}/))).toEqual([
    ['against abc1234, 2026-11-29T12:00:00.000Z'],
    ['changed', 'then', 'now', 'now ÷ then'],
    ['a: rate', '11.0 (10.0 … 12.0)', '14.0 (13.0 … 15.0)', '1.273'],
  ])
})

it('ranges that touch show no change, nor does a small step', () => {
  const same = 'no figure left the range it had'
  expect(changeLines(reportOf([10, 11, 12]), reportOf([12, 13, 14]))).toContain(same)
  expect(changeLines(reportOf([100, 100, 100]), reportOf([101, 101, 101]))).toContain(same)
})

it('names what makes two reports hard to compare', () => {
  const then = reportOf([10])
  const { machine } = then
  const result = sampleResult({ a: rates(10), c: rates(1) }, { told: { profile: 'power' } })
  const now = { ...sampleReport([result]), machine: { ...machine, cores: 64 } }
  expect(changeLines(then, now)).toEqual(
    expect.arrayContaining([
      'differs: cores: 2, now 64',
      'differs: Peers: profile: process, now power',
      'differs: c: not measured then',
    ]),
  )
})

it('a file of something else is refused', async () => {
  await expect(readSaved('/no/such/file')).rejects.toThrow(UsageError)
  await expect(readSaved('package.json')).rejects.toThrow(/holds no figures/)
})
