import { describe, expect, it } from 'vitest'
import { BROKER_CPU, RATE, WORKER_CPU } from '../compare/figures.ts'
import { peerRatios, type Ratio, verdictOf } from './bars.ts'
import { sampleResult } from './sample-result.ts'

const at = (rate: number, worker: number, broker: number) => ({
  [RATE]: rate,
  [WORKER_CPU]: worker,
  [BROKER_CPU]: broker,
})

const FIGURES = {
  pelton: [at(40_000, 20, 18)],
  floor: [at(60_000, 12, 16)],
  'afternoon-256': [at(6_000, 170, 40)],
  'bullmq-32': [at(7_000, 150, 60)],
  'bullmq-128': [at(8_000, 140, 55)],
  fastify: [at(50_000, 25, 0)],
}

const shown = (ratios: readonly Ratio[]) =>
  ratios.map((each) => [each.figure, each.by, verdictOf(each) ?? (each.isWon === true ? 'won' : undefined)])

describe('ratios of the peers', () => {
  const result = sampleResult(FIGURES)
  const subjects = result.subjects.map((each) => ({ ...each, isPeer: each.name !== 'floor' }))

  it('are held against the bars, of the queue at its best', () => {
    expect(shown(peerRatios({ ...result, subjects }))).toEqual([
      [RATE, 'floor', 'met'],
      [RATE, 'afternoon-256', 'goal'],
      [RATE, 'bullmq-32', undefined],
      [RATE, 'bullmq-128', 'goal'],
      [RATE, 'fastify', 'won'],
      [WORKER_CPU, 'floor', 'met'],
      [BROKER_CPU, 'floor', 'met'],
    ])
  })

  it('are told without bars where each write is synced', () => {
    const ratios = peerRatios({ ...result, subjects, told: { profile: 'power' } })
    expect(ratios.map(verdictOf)).toEqual(ratios.map(() => undefined))
    expect(ratios).toHaveLength(7)
  })

  it('need nobody but those who were measured', () => {
    expect(shown(peerRatios(sampleResult({ pelton: [at(1, 2, 3)] })))).toEqual([])
  })
})

describe('verdictOf', () => {
  const ratio = (median: number, kind: 'at least' | 'at most') => ({
    figure: 'x',
    subject: 'a',
    ratio: { min: 0, median, max: 9 },
    wanted: { kind, bar: 2, goal: kind === 'at least' ? 3 : 1 },
  })

  it.each([
    [1.9, 'at least', 'missed'],
    [2, 'at least', 'met'],
    [3, 'at least', 'goal'],
    [2.1, 'at most', 'missed'],
    [2, 'at most', 'met'],
    [1, 'at most', 'goal'],
  ] as const)('%d, %s 2: %s', (median, kind, verdict) => {
    expect(verdictOf(ratio(median, kind))).toBe(verdict)
  })
})
