import { describe, expect, it } from 'vitest'
import { BROKER_CPU, PEAK_MEMORY, RATE, WORKER_CPU } from '../compare/figures.ts'
import { verdictOf } from './bars.ts'
import { sampleResult } from './sample-result.ts'
import { securityRatios } from './security.ts'
import { WAYS_IN } from './ways-in.ts'

const at = (rate: number, worker: number, broker: number) => ({
  [RATE]: rate,
  [WORKER_CPU]: worker,
  [BROKER_CPU]: broker,
  [PEAK_MEMORY]: 200,
})

const FIGURES = {
  plain: [at(10_000, 80, 50)],
  tls: [at(8_000, 100, 75)],
  rights: [at(10_000, 80, 51)],
  prefix: [at(9_900, 84, 50)],
}

const shown = (figures: Parameters<typeof sampleResult>[0]) =>
  securityRatios(sampleResult(figures)).map(({ figure, subject, by, ratio: { median } }) => [
    figure,
    `${subject} ÷ ${by}`,
    Number(median.toFixed(3)),
  ])

describe('ratios of security', () => {
  it('tell what each way costs beside the plain one: rate, then worker, then broker', () => {
    expect(shown(FIGURES)).toEqual([
      [RATE, 'tls ÷ plain', 0.8],
      [RATE, 'rights ÷ plain', 1],
      [RATE, 'prefix ÷ plain', 0.99],
      [WORKER_CPU, 'tls ÷ plain', 1.25],
      [WORKER_CPU, 'rights ÷ plain', 1],
      [WORKER_CPU, 'prefix ÷ plain', 1.05],
      [BROKER_CPU, 'tls ÷ plain', 1.5],
      [BROKER_CPU, 'rights ÷ plain', 1.02],
      [BROKER_CPU, 'prefix ÷ plain', 1],
    ])
  })

  it('tell what the plain one has become beside that of another checkout', () => {
    const { plain } = FIGURES
    expect(shown({ plain, 'plain-other': [at(12_500, 64, 50)] })).toEqual([
      [RATE, 'plain ÷ plain-other', 0.8],
      [WORKER_CPU, 'plain ÷ plain-other', 1.25],
      [BROKER_CPU, 'plain ÷ plain-other', 1],
    ])
  })

  it('have no bar', () => {
    const ratios = securityRatios(sampleResult(FIGURES))
    expect(ratios.map(verdictOf)).toEqual(ratios.map(() => undefined))
  })

  it('leave no way out', () => {
    const told = new Set(securityRatios(sampleResult(FIGURES)).flatMap(({ subject, by }) => [subject, by]))
    expect([...told].sort()).toEqual(WAYS_IN.map(({ name }) => name).sort())
  })
})
