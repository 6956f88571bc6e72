import { describe, expect, test } from 'vitest'
import { noOutcomes } from './accounts.ts'
import type { AuditReport } from './report.ts'
import { reportLines } from './report-lines.ts'

const REPORT: AuditReport = {
  clean: true,
  epoch: '2026-01-31T12:00:00Z',
  lastSequence: 12_000,
  sequences: 12_000,
  outcomes: { ...noOutcomes(), predicted: 11_990, 'dead-lettered': 6 },
  further: { ...noOutcomes(), 'already-answered': 2, discarded: 1 },
  waiting: 4,
  retries: { outcomes: noOutcomes(), waiting: 0 },
  lost: [],
  lostRetries: [],
  unproven: [],
  ledger: { from: 1, next: 200, expired: 0, removed: 0, unreadable: 0 },
  earlier: [],
  doubts: [],
  warnings: [],
  tookMs: 300,
}
const texts = (report: AuditReport) => reportLines(report).map(({ text }) => text)

describe('audit report', () => {
  test('says first that all is well, then only the counts that are not 0', () => {
    expect(texts(REPORT)).toEqual([
      'Every event is accounted for: 12,000 events up to sequence 12,000 (300 ms)',
      '     11,990  predicted',
      '          6  dead-lettered',
      '          4  waiting in FEATURES',
      '          2  further deliveries after the first outcome (a lost acknowledgement)',
      '          1  operators acted on afterwards',
    ])
  })

  test('names every lost sequence and token, and every contradiction', () => {
    const token = 'A'.repeat(22)
    const deep = {
      ...{ results: 3, deadLetters: 1, expired: 2, unproven: 0, withoutDigest: 7 },
      problems: [
        { problem: 'no-dead-letter', stream: 'FEATURES', sequence: 9, token },
        { problem: 'no-result', stream: 'FEATURES', sequence: 3 },
        { problem: 'no-result', stream: 'FEATURES', sequence: 4 },
        { problem: 'answered-twice', token },
      ],
    } as const
    const lost = [[17, 17] as const, [40, 44] as const]
    const lostRetries = [{ stream: 'FEATURES', sequence: 5, token }]
    const shown = texts({ ...REPORT, clean: false, lost, lostRetries, deep })
    expect(shown[0]).toMatch(/^7 without an outcome: /)
    expect(shown).toContain('Lost, neither stored nor in the ledger: 17, 40-44')
    expect(shown).toContain(`Lost in the retry lane: FEATURES 5, token ${token}`)
    expect(shown).toContain(`FEATURES 9, token ${token}: given up, but its dead letter is gone`)
    expect(shown).toContain('FEATURES 3-4: the ledger names an outcome, RESULTS has none')
    expect(shown).toContain(`token ${token}: its register has another outcome after its prediction`)
  })

  test('does not speak of every event where not every event can be proven', () => {
    const doubts = ['3 sequences cannot be proven']
    const [verdict] = reportLines({ ...REPORT, clean: false, doubts, warnings: doubts })
    expect(verdict).toMatchObject({
      level: 'bad',
      text: expect.stringMatching(/^Not every event can be proven: /),
    })
  })

  test('names what was lost with another FEATURES, and that this one went back', () => {
    const lostEarlier = { epoch: '2025-01-01T00:00:00Z', sequences: [[1, 1_000] as const] }
    const shown = texts({ ...REPORT, clean: false, lostEarlier, wentBackFrom: 12_345 })
    expect(shown[0]).toMatch(/^1,000 without an outcome: /)
    expect(shown).toContain(
      'Lost with another FEATURES, created 2025-01-01T00:00:00Z, where they waited: 1-1000',
    )
    const step = shown.findIndex((text) => text.startsWith('FEATURES went back: '))
    expect(shown[step]).toContain('given out sequence 12,345 and ends at 12,000')
    expect(shown[step + 1]).toContain('nats stream purge FEATURES --seq 12346')
  })

  test('warns of another FEATURES only where workers settled for it, and nobody signed for it', () => {
    const earlier = [
      { stream: 'FEATURES', epoch: 'one', entries: 2, byWorkers: 2 },
      { stream: 'FEATURES', epoch: 'two', entries: 1, byWorkers: 0 },
    ]
    const levels = (doubts: readonly string[]) =>
      reportLines({ ...REPORT, earlier, doubts })
        .slice(-2)
        .map(({ level }) => level)
    expect(levels(['made anew'])).toEqual(['warn', 'plain'])
    expect(levels([])).toEqual(['plain', 'plain'])
  })
})
