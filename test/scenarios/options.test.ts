import { describe, expect, test } from 'vitest'
import { FULL, QUICK } from './measure/timing.ts'
import { CONTESTANT_NAMES, readScenarioOptions, SCENARIO_NAMES } from './options.ts'

describe('options of scenarios', () => {
  test('everything, in full, with the deep model, where nothing is said', () => {
    expect(readScenarioOptions([])).toEqual({
      ...{ timing: FULL, isQuick: false, model: 'deep', isJson: false, isMarkdown: false },
      contestants: CONTESTANT_NAMES,
      scenarios: SCENARIO_NAMES,
      seed: expect.any(Number),
    })
  })

  test('what is named alone', () => {
    const options = readScenarioOptions([
      'overload',
      '--quick',
      '--only',
      'naive,pelton-sdk',
      '--model',
      'light',
      '--seed=7',
    ])
    expect(options).toMatchObject({
      ...{ timing: QUICK, isQuick: true, model: 'light' },
      contestants: ['pelton-sdk', 'naive'],
      scenarios: ['overload'],
      seed: 7,
    })
  })

  test('what nobody is called is refused with what there is', () => {
    expect(() => readScenarioOptions(['--only', 'kafka'])).toThrow('kafka is none of pelton-gateway')
    expect(() => readScenarioOptions(['flood'])).toThrow('flood is none of build-up, fivefold')
    expect(() => readScenarioOptions(['--model', 'huge'])).toThrow('huge is none of deep, light')
    expect(() => readScenarioOptions(['--fast'])).toThrow(/--fast/)
    expect(() => readScenarioOptions(['--seed', 'x'])).toThrow('--seed: x is no whole number')
  })
})
