import { describe, expect, it } from 'vitest'
import { RATE, WORKER_CPU } from '../compare/figures.ts'
import { peerRatios } from './bars.ts'
import { benchLines, benchMarkdown } from './report.ts'
import { sampleReport } from './sample-report.ts'
import { sampleResult } from './sample-result.ts'

const result = {
  ...sampleResult({
    pelton: [
      { 'µs/event worker.main': 9, [WORKER_CPU]: 20, [RATE]: 30_000 },
      { [RATE]: 40_000, [WORKER_CPU]: 24 },
    ],
    floor: [{ [RATE]: 60_000 }],
  }),
  absent: [{ name: 'bullmq-32', reason: 'no Redis here' }],
}
const spoilt = {
  ...result.runs[2],
  subject: 'floor',
  round: 1,
  figures: {},
  conditions: {},
  void: 'it ended',
}
const report = {
  ...sampleReport([]),
  results: [{ ...result, runs: [...result.runs, spoilt], ratios: peerRatios(result) }],
}

describe('the report', () => {
  const lines = benchLines(report)

  it('shows medians with their range, the rate first and single threads last', () => {
    const table = lines.filter((line) => /^(?:events|µs)/.test(line)).map((line) => line.split(/ {2,}/))
    expect(table.slice(0, 3)).toEqual([
      [RATE, '35,000 (30,000 … 40,000)', '60,000'],
      [WORKER_CPU, '22.0 (20.0 … 24.0)', '–'],
      ['µs/event worker.main', '9.00', '–'],
    ])
  })

  it('names the bar of a ratio, and whether it is reached', () => {
    expect(lines.join('\n')).toMatch(/events\/s: pelton ÷ floor +0\.50 +at least 0\.6, goal 0\.8 +missed/)
  })

  it('says who did not take part, and which run does not count', () => {
    expect(lines).toContain('bullmq-32 did not take part: no Redis here')
    expect(lines).toContain('void: round 2, floor: it ended')
  })

  it('is a table in Markdown', () => {
    expect(benchMarkdown(report)).toEqual(
      expect.arrayContaining([
        '|  | pelton | floor |',
        '| --- | ---: | ---: |',
        `| ${WORKER_CPU} | 22.0 (20.0 … 24.0) | – |`,
      ]),
    )
  })
})
