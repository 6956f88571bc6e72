import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { LedgerEntry } from '../../sdk/contract/ledger.ts'
import type { Mark } from '../watch-record/marks.ts'
import { Accounts, type OpenThen } from './accounts.ts'

const EPOCH = '2026-01-31T12:00:00Z'
const TOKEN = 'A'.repeat(22)
const HOUR = 3_600_000

interface Known {
  readonly openThen?: OpenThen
  readonly marks?: readonly Mark[]
}

function open(lastSequence: number, obligedUntil: number, known: Known = {}): Accounts {
  const epochs = new Map([
    ['FEATURES', EPOCH],
    ['RETRIES', EPOCH],
  ])
  const { openThen = { sequence: 0, waiting: [], retries: [] }, marks = [] } = known
  return new Accounts({ epochs, lastSequence, obligedUntil, openThen, marks })
}

function enter(
  accounts: Accounts,
  position: number,
  entries: LedgerEntry[],
  stream = 'FEATURES',
  at = 0,
): void {
  accounts.enter({ stream, epoch: EPOCH, by: 'w', entries }, position, at)
}

describe('Accounts', () => {
  test('leave open exactly the sequences no record names, whatever is doubled or out of order', () => {
    const records = fc.array(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 8 }), { maxLength: 20 })
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 50 }), records, (last, groups) => {
        const accounts = open(last, 100)
        for (const [index, group] of groups.entries())
          enter(
            accounts,
            index + 1,
            group.map((sequence) => ({ sequence, outcome: 'predicted' })),
          )
        const named = new Set(groups.flat())
        const all = Array.from({ length: last }, (_, index) => index + 1)
        expect([...accounts.settled.absent()]).toEqual(all.filter((sequence) => !named.has(sequence)))
        const { predicted } = accounts.outcomes
        expect(predicted).toBe(all.filter((sequence) => named.has(sequence)).length)
        const within = groups.flat().filter((sequence) => sequence <= last)
        expect(predicted + accounts.further.predicted).toBe(within.length)
      }),
    )
  })

  test('keep a retry open until its token comes to an end', () => {
    const accounts = open(5, 10)
    enter(accounts, 1, [{ sequence: 1, outcome: 'retried', token: TOKEN }])
    enter(accounts, 2, [{ sequence: 2, outcome: 'retried', token: TOKEN }], 'RETRIES')
    expect([...accounts.retries.values()]).toEqual([{ token: TOKEN, stream: 'FEATURES', sequence: 1 }])
    enter(accounts, 3, [{ sequence: 4, outcome: 'replayed', token: TOKEN }])
    expect(accounts.retries.size).toBe(1)
    enter(accounts, 4, [{ sequence: 4, outcome: 'dead-lettered', token: TOKEN }], 'RETRIES')
    expect(accounts.retries.size).toBe(0)
  })

  test('follow a retry of a FEATURES that was made anew, but not of a RETRIES that was', () => {
    const retried = { stream: 'FEATURES', epoch: 'earlier', by: 'w' } as const
    const entries = [{ sequence: 1, outcome: 'retried', token: TOKEN }] as const
    const accounts = open(5, 10)
    accounts.enter({ ...retried, entries }, 1, Date.parse(EPOCH) - 1)
    expect(accounts.retries.size).toBe(0)
    accounts.enter({ ...retried, entries }, 2, Date.parse(EPOCH))
    expect([...accounts.retries.values()]).toEqual([
      { token: TOKEN, stream: 'FEATURES', sequence: 1, epoch: 'earlier' },
    ])
    enter(accounts, 3, [{ sequence: 9, outcome: 'predicted', token: TOKEN }], 'RETRIES')
    expect(accounts.retries.size).toBe(0)
  })

  test('ask nothing of a retry that was entered after the waiting ones were read', () => {
    const accounts = open(5, 1)
    enter(accounts, 2, [{ sequence: 1, outcome: 'retried', token: TOKEN }])
    expect([accounts.retries.size, accounts.youngRetries.size]).toEqual([0, 1])
  })

  test('start from what was open at the floor', () => {
    const retries = [{ token: TOKEN, stream: 'FEATURES', sequence: 4 }]
    const waiting = [
      [3, 3],
      [7, 8],
    ] as const
    const accounts = open(12, 10, { openThen: { sequence: 10, waiting, retries } })
    enter(
      accounts,
      5,
      [7, 11].map((sequence) => ({ sequence, outcome: 'predicted' })),
    )
    expect([...accounts.settled.absent()]).toEqual([3, 8, 12])
    expect(accounts.outcomes.predicted).toBe(2)
    expect(accounts.retries.has(TOKEN)).toBe(true)
  })

  test('put entries of another stream creation aside', () => {
    const accounts = open(2, 10)
    const entries = [{ sequence: 1, outcome: 'predicted' }] as const
    accounts.enter({ stream: 'FEATURES', epoch: 'earlier', by: 'w', entries }, 1, 0)
    expect([...accounts.settled.absent()]).toEqual([1, 2])
    expect(accounts.foreign).toEqual([{ stream: 'FEATURES', epoch: 'earlier', entries: 1, byWorkers: 1 }])
  })

  /** Marks of hour 0, 1 and 2: FEATURES had come to 1,000 within the first. */
  const MARKS: readonly Mark[] = [
    [0, 10],
    [HOUR, 1_000],
    [2 * HOUR, 1_000],
  ]

  test.each([
    ['an operator acts on an old event', 'discarded'],
    ['an old event of a slow lane is settled', 'predicted'],
  ] as const)('take what expired for lost in no case, also where %s first', (_what, outcome) => {
    const accounts = open(1_000, 10, { marks: MARKS })
    enter(accounts, 1, [{ sequence: 10, outcome, token: TOKEN }], 'FEATURES', HOUR / 2)
    expect(accounts.horizon).toBe(1_000)
  })

  test('see what was accepted after the oldest record that is left', () => {
    const accounts = open(1_300, 10, { marks: [...MARKS, [3 * HOUR, 1_200]] })
    enter(accounts, 1, [{ sequence: 10, outcome: 'predicted' }], 'FEATURES', HOUR / 2)
    enter(accounts, 2, [{ sequence: 1_001, outcome: 'predicted' }], 'FEATURES', 2.5 * HOUR)
    enter(accounts, 3, [{ sequence: 1_003, outcome: 'predicted' }], 'FEATURES', 2.5 * HOUR)
    expect(accounts.horizon).toBe(1_000)
    expect([...accounts.settled.absent()].find((sequence) => sequence > accounts.horizon)).toBe(1_002)
  })

  test('see nothing before the first mark, nor without one', () => {
    const late = open(1_000, 10, { marks: [[0, 10]] })
    enter(late, 1, [{ sequence: 999, outcome: 'predicted' }], 'FEATURES', HOUR)
    expect([late.horizon, open(70, 10).horizon]).toEqual([1_000, 70])
  })

  test('know how far FEATURES had come when the end of the ledger was noted', () => {
    const accounts = open(5, 2)
    enter(accounts, 1, [{ sequence: 4, outcome: 'predicted' }])
    enter(accounts, 2, [{ sequence: 9, outcome: 'predicted' }])
    enter(accounts, 2, [{ sequence: 12, outcome: 'discarded', token: TOKEN }])
    enter(accounts, 3, [{ sequence: 20, outcome: 'predicted' }])
    expect(accounts.highest).toBe(9)
  })
})
