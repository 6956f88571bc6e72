import { describe, expect, it } from 'vitest'
import { judge, type Promised } from './durability-check.ts'

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

  it('says so when it cannot know', () => {
    expect(level({ syncMs: undefined }, 'power')).toBe('unknown')
  })
})
