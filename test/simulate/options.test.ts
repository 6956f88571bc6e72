import { describe, expect, test } from 'vitest'
import { SHAPES } from './load/shapes.ts'
import { readSimulateOptions } from './options.ts'

describe('options of the simulation', () => {
  test('every shape, with every door open and with Pelton`s, where nothing is said', () => {
    expect(readSimulateOptions([])).toEqual({
      ...{ shapes: SHAPES, laws: ['none', 'pelton'], seed: 1, doors: 10, workers: 2, times: 3, seconds: 5 },
      ...{ isJson: false, isDocs: false },
    })
  })

  test('what is named', () => {
    const args = ['--shape', 'sine', '--law', 'mimd', '--doors', '100', '--times', '1.5', '--json']
    expect(readSimulateOptions(args)).toMatchObject({
      ...{ shapes: ['sine'], laws: ['mimd'], doors: 100, times: 1.5, isJson: true },
    })
  })

  test('what nobody is called is refused with what there is', () => {
    expect(() => readSimulateOptions(['--shape', 'flood'])).toThrow(
      '--shape takes step or spike or ramp or sine or retry-storm or slow-model or hot-key, not flood',
    )
    expect(() => readSimulateOptions(['--doors', '0'])).toThrow('--doors needs a number above 0')
    expect(() => readSimulateOptions(['--fast'])).toThrow(/--fast/)
  })

  test('what is written into the docs is always the same', () => {
    expect(() => readSimulateOptions(['--docs', '--seed', '2'])).toThrow('--docs')
    expect(readSimulateOptions(['--docs'])).toMatchObject({ isDocs: true })
  })
})
