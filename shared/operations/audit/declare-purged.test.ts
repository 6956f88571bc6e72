import { describe, expect, it } from 'vitest'
import { signableIn } from './declare-purged.ts'
import type { AuditReport } from './report.ts'

const TOKEN = 'A'.repeat(22)
const REPORT = {
  epoch: 'now',
  lost: [[3, 5]],
  lostRetries: [
    { token: TOKEN, stream: 'FEATURES', sequence: 7 },
    { token: TOKEN, stream: 'FEATURES', sequence: 8, epoch: 'then' },
    { token: TOKEN, stream: 'RETRIES', sequence: 10 },
  ],
  lostEarlier: { epoch: 'then', sequences: [[5, 6]] },
  deep: {
    ...{ results: 0, deadLetters: 0, expired: 0 },
    problems: [
      { problem: 'no-dead-letter', stream: 'FEATURES', epoch: 'then', sequence: 9, token: TOKEN },
      { problem: 'no-result', stream: 'FEATURES', sequence: 11 },
    ],
  },
} as unknown as AuditReport

describe('what is declared as purged', () => {
  it('is entered under the FEATURES it was lost in, that of today first', () => {
    expect(
      signableIn(REPORT, [
        [4, 6],
        [7, 9],
      ]),
    ).toEqual([
      { epoch: 'now', sequence: 4 },
      { epoch: 'now', sequence: 5 },
      { epoch: 'then', sequence: 6 },
      { epoch: 'now', sequence: 7, token: TOKEN },
      { epoch: 'then', sequence: 8, token: TOKEN },
      { epoch: 'then', sequence: 9, token: TOKEN },
    ])
  })

  it.each([2, 10, 11])('is refused where it is not lost: %i', (sequence) => {
    expect(() => signableIn(REPORT, [[sequence, sequence]])).toThrow(/only what is lost/)
  })
})
