import { expect, it } from 'vitest'
import { readRun, runSource } from './run-options.ts'

it('takes what is given, and knows what is not', () => {
  expect(readRun({})).toEqual({ flights: 20_000, name: 'first' })
  expect(readRun({ flights: '7', run: 'a-b_1' })).toEqual({ flights: 7, name: 'a-b_1' })
})

it('gives each run a source of its own', () => {
  const sources = ['a', 'b'].map((run) => runSource(readRun({ run })))
  expect(new Set(sources).size).toBe(2)
})

it.each([
  { flights: '0' },
  { flights: '1.5' },
  { flights: '' },
  { run: '' },
  { run: 'a b' },
  { run: 'x'.repeat(65) },
])('refuses %j', (options) => {
  expect(() => readRun(options)).toThrow(/invalid-argument/)
})
