import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isMet, judge, type Promised } from './durability.ts'

const SAFE: Promised = { syncMs: 0, replicas: 3, unwritten: [] }
const USUAL: Promised = { syncMs: 120_000, replicas: 1, unwritten: [] }

function level(promised: Partial<Promised>, asked: 'process' | 'power'): string {
  return judge({ ...SAFE, ...promised }, asked)
    .map((finding) => finding.level)
    .join()
}

describe('judge', () => {
  it('is content when the broker promises what is asked', () => {
    expect(level({}, 'power')).toBe('ok')
    expect(level({}, 'process')).toBe('ok')
    expect(level(USUAL, 'process')).toBe('ok')
  })

  it('says what a loss of power may cost, also where nothing more was asked', () => {
    expect(judge(USUAL, 'process')[0]?.text).toBe(
      'profile process; one copy of each stream, synced every 2 min: a loss of power can cost what was stored in the last 2 min',
    )
  })

  it.each([
    ['writes are synced later', { syncMs: 120_000 }],
    ['there is one copy', { replicas: 1 }],
  ])('warns about less than power when %s', (_case, promised) => {
    expect(level(promised, 'power')).toBe('warn')
  })

  it('warns about a duration without quotes, and about streams that do not write, whatever is asked', () => {
    for (const asked of ['process', 'power'] as const) {
      const unquoted = judge({ ...SAFE, syncMs: 2_000_000_000 }, asked)
      expect(unquoted[0]).toMatchObject({ level: 'warn', remedy: expect.stringContaining('with the quotes') })
      expect(judge({ ...SAFE, unwritten: ['RESULTS'] }, asked)[0]).toMatchObject({
        level: 'warn',
        text: expect.stringContaining('RESULTS'),
      })
    }
  })

  it('says so when it cannot know, and whom it asked', () => {
    expect(level({ syncMs: undefined }, 'power')).toBe('unknown')
    const [finding] = judge(
      { ...SAFE, syncMs: undefined, silent: ['http://b:8222', 'http://c:8222'] },
      'power',
    )
    expect(finding).toMatchObject({
      level: 'unknown',
      text: expect.stringContaining('nothing from http://b:8222, http://c:8222'),
      remedy: expect.stringContaining('PELTON_NATS_MONITOR_URL'),
    })
  })

  it('knows that too few copies are less than power, also where nobody says how the server syncs', () => {
    expect(judge({ ...SAFE, replicas: 2, syncMs: undefined }, 'power')[0]).toMatchObject({
      level: 'warn',
      text: expect.stringContaining('2 copies'),
      remedy: expect.stringContaining('--replicas 3'),
    })
    expect(level({ replicas: 1, syncMs: undefined }, 'process')).toBe('unknown')
  })
})

describe('isMet', () => {
  const met = (promised: Partial<Promised>, asked: 'process' | 'power') =>
    isMet({ ...SAFE, ...promised }, asked)

  it('asks for copies before it asks for syncs', () => {
    expect(met({}, 'power')).toBe(true)
    expect(met({ replicas: 1, syncMs: undefined }, 'power')).toBe(false)
    expect(met({ syncMs: undefined }, 'power')).toBeUndefined()
    expect(met({ syncMs: 120_000 }, 'power')).toBe(false)
  })

  it('takes the end of a process for survived unless streams acknowledge before they write', () => {
    expect(met({ replicas: 1, syncMs: undefined }, 'process')).toBe(true)
    expect(met({ unwritten: ['LEDGER'], syncMs: undefined }, 'process')).toBe(false)
  })

  it('never contradicts the doctor', () => {
    const promised = fc.record({
      syncMs: fc.constantFrom(undefined, 0, 1_000, 120_000, 2_000_000_000),
      replicas: fc.integer({ min: 1, max: 5 }),
      unwritten: fc.constantFrom<readonly string[]>([], ['RESULTS']),
    })
    fc.assert(
      fc.property(promised, fc.constantFrom('process', 'power'), (given, asked) => {
        const [finding] = judge(given, asked)
        if (finding?.level === 'ok') expect(isMet(given, asked)).toBe(true)
        if (isMet(given, asked) === false) expect(finding?.level).toBe('warn')
        // What the doctor warns of is not met; but a long sync takes nothing from what outlives a process.
        if (finding?.level === 'warn' && asked === 'power') expect(isMet(given, asked)).toBe(false)
      }),
    )
  })
})
