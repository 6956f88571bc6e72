import { describe, expect, it } from 'vitest'
import { type Figures, type Phase, RATE, type Run, WORKER_CPU } from './figures.ts'
import type { Machine } from './machine.ts'
import { reportLines, verdictLine } from './report.ts'
import { judge, summarise } from './summary.ts'

const MACHINE: Machine = {
  processor: 'Processor',
  cores: 2,
  memoryGiB: 24,
  system: 'Linux 6',
  node: 'v20.19.0',
  natsServer: '2.15.1',
  load: [0.1, 0.2, 0.3],
  busy: 0.01,
}

/** Both runs of each round. */
function runsOf(phase: Phase, rounds: readonly (readonly [base: Figures, head: Figures])[]): Run[] {
  return rounds.flatMap(([base, head], round) => [
    { phase, round, side: 'base' as const, figures: base, conditions: {} },
    { phase, round, side: 'head' as const, figures: head, conditions: {} },
  ])
}

/** Drains whose ratios are given. */
const drains = (figure: string, ratios: readonly number[]) =>
  runsOf(
    'drain',
    ratios.map((ratio) => [{ [figure]: 1_000 }, { [figure]: 1_000 * ratio }]),
  )

describe('summarise', () => {
  it('divides within a round, so that what slows both halves changes nothing', () => {
    const rounds = [1, 10, 100].map((slow) => [{ [RATE]: slow }, { [RATE]: 2 * slow }] as const)
    const [row] = summarise('drain', runsOf('drain', rounds)).rows
    expect(row?.base).toEqual({ min: 1, median: 10, max: 100 })
    expect(row?.comparison?.ratio).toEqual({ min: 2, median: 2, max: 2 })
  })

  it('leaves out both runs of a round when one is void, and the other phase', () => {
    const runs = runsOf('open', [
      [{ a: 1 }, { a: 2 }],
      [{ a: 1 }, { a: 5 }],
    ]).map((run, index) => (index === 2 ? { ...run, void: 'late' } : run))
    const summary = summarise('open', [...drains('a', [7]), ...runs])
    expect(summary).toMatchObject({ rounds: 2, counted: 1 })
    expect(summary.rows[0]?.head).toEqual({ min: 2, median: 2, max: 2 })
  })

  it('shows what one side alone has, and what is zero, without a ratio', () => {
    const { rows } = summarise(
      'drain',
      runsOf('drain', [
        [
          { old: 4, none: 0 },
          { new: 5, none: 0 },
        ],
      ]),
    )
    expect(rows).toEqual([
      { figure: 'old', base: { min: 4, median: 4, max: 4 }, head: undefined },
      { figure: 'none', base: { min: 0, median: 0, max: 0 }, head: { min: 0, median: 0, max: 0 } },
      { figure: 'new', base: undefined, head: { min: 5, median: 5, max: 5 } },
    ])
  })

  it('does not compare conditions', () => {
    const runs = drains(RATE, [1]).map((run) => ({ ...run, conditions: { noise: 3 } }))
    expect(summarise('drain', runs).rows[1]).toEqual({
      figure: 'noise',
      base: { min: 3, median: 3, max: 3 },
      head: { min: 3, median: 3, max: 3 },
    })
  })
})

describe('judge', () => {
  const verdict = (ratios: readonly number[]) =>
    judge([summarise('drain', drains(RATE, ratios))], 'rate', 0.95)

  it('is sure only where the whole interval is at the wanted ratio or above', () => {
    expect(verdict([0.95, 0.96, 0.97, 1, 1.1, 1.2]).kind).toBe('at least')
    expect(verdict([0.94, 1, 1, 1, 1.1, 1.2]).kind).toBe('unclear')
    expect(verdict([0.8, 0.8, 0.8, 0.8, 0.8, 0.95]).kind).toBe('unclear')
    expect(verdict([0.8, 0.8, 0.8, 0.8, 0.8, 0.94]).kind).toBe('below')
  })

  it('turns what an event costs into how many events the same buys', () => {
    const runs = drains(WORKER_CPU, [0.5, 0.5, 0.5, 0.5, 0.5, 0.8])
    expect(judge([summarise('drain', runs)], 'cpu', 1)).toMatchObject({
      kind: 'at least',
      median: 2,
      interval: { low: 1.25, high: 2 },
    })
  })

  it('does not judge by nothing', () => {
    expect(() => judge([summarise('drain', [])], 'rate', 1)).toThrow('no drain has told events/s')
  })
})

describe('reportLines', () => {
  const report = { machine: MACHINE, sides: { base: 'a', head: 'b' }, perSecond: 1_500, verdict: undefined }

  it('is a table for each phase', () => {
    const runs = drains(RATE, [0.9, 1, 1.05, 1.1, 1.1, 1.2])
    expect(reportLines({ ...report, summaries: [summarise('drain', runs)], runs })).toEqual([
      'machine: Processor, 2 cores, 24 GiB, Linux 6, node v20.19.0, nats-server 2.15.1',
      'before: load 0.10 0.20 0.30, 1.0 % of all cores busy',
      'base: a',
      'head: b',
      '',
      'Drain of a backlog: 6 rounds; median (lowest … highest)',
      '          base                   head                 head ÷ base            96.9 % interval',
      'events/s  1,000 (1,000 … 1,000)  1,075 (900 … 1,200)  1.075 (0.900 … 1.200)  0.900 … 1.200',
    ])
  })

  it('says which runs are void, why, and that nothing is left', () => {
    const runs = runsOf('open', [[{ a: 1 }, { a: 1 }]]).map((run) =>
      run.side === 'head' ? { ...run, void: 'the generator was late' } : run,
    )
    expect(reportLines({ ...report, summaries: [summarise('open', runs)], runs }).slice(5)).toEqual([
      'Open loop at 1,500 events/s: 1 round, 1 of them void; median (lowest … highest)',
      'no round counts',
      'void: round 1, head: the generator was late',
    ])
  })

  it('warns of a machine that does other work', () => {
    const lines = reportLines({ ...report, machine: { ...MACHINE, busy: 0.3 }, summaries: [], runs: [] })
    expect(lines).toContainEqual(expect.stringMatching(/^WARNING: this machine does other work/))
  })

  it('ends with the verdict that was asked for', () => {
    const interval = { low: 0.9, high: 1.02, coverage: 0.961 }
    const verdict = { kind: 'unclear', by: 'rate', wanted: 0.95, median: 0.97, interval } as const
    const line =
      'events/s of a drain, head ÷ base: 0.970, 96.1 % interval 0.900 … 1.020: cannot tell whether at least 0.95'
    expect(verdictLine(verdict)).toBe(line)
    expect(reportLines({ ...report, verdict, summaries: [], runs: [] }).at(-1)).toBe(line)
  })
})
