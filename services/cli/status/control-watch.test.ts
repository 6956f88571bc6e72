import { describe, expect, it } from 'vitest'
import { EMPTY_RECORD, type WatchRecord } from '../../../shared/operations/watch-record/record.ts'
import { controlWatchLines, judgeControlWatch } from './control-watch.ts'

const AT = Date.parse('2026-01-31T12:00:00Z')
const ALERT = {
  kind: 'idle-pool',
  about: 'default',
  text: '3 events wait',
  remedy: 'Start workers.',
  count: 3,
  since: '2026-01-31T11:00:00Z',
} as const
const RECORD: WatchRecord = {
  ...EMPTY_RECORD,
  holder: 'c1',
  at: new Date(AT).toISOString(),
  everyMs: 10_000,
  alerts: [ALERT],
}

describe('what status says of the watch', () => {
  it('names ten of a kind and counts the others: whoever publishes makes up names of pools', () => {
    const pools = Array.from({ length: 50 }, (_pool, index) => ({
      ...ALERT,
      kind: 'unserved-pool' as const,
      about: `pool-${index}`,
    }))
    const more = { ...ALERT, kind: 'unserved-pool' as const, about: '(more)', count: 2_950 }
    const of = (alerts: WatchRecord['alerts']): readonly string[] =>
      controlWatchLines(judgeControlWatch({ ...RECORD, alerts }, AT))
    expect(of([...pools, ALERT])).toHaveLength(10 * 2 + 1 + 2)
    expect(of([...pools, ALERT])[20]).toBe('unserved-pool: and 40 more, with 120 events; all with --json')
    expect(of([...pools, more]).at(-1)).toBe(
      'unserved-pool: and at least 41 more, with 3,070 events; all with --json',
    )
  })

  it('is of now while looks come, and until four did not', () => {
    expect(judgeControlWatch(RECORD, AT + 39_000).isWatched).toBe(true)
    expect(judgeControlWatch(RECORD, AT + 40_000).isWatched).toBe(false)
    expect(judgeControlWatch({ ...RECORD, everyMs: 100 }, AT + 9_000).isWatched).toBe(true)
    expect(judgeControlWatch({ ...RECORD, holder: '' }, AT).isWatched).toBe(false)
    expect(judgeControlWatch(EMPTY_RECORD, AT)).toEqual({
      isWatched: false,
      watcher: '',
      lookedAt: '',
      alerts: [],
    })
  })

  it('names each alert with what to do, and says when nobody looks any more', () => {
    const alert = ['idle-pool default, since 2026-01-31T11:00:00Z: 3 events wait', '  Start workers.']
    expect(controlWatchLines(judgeControlWatch(RECORD, AT))).toEqual(alert)
    expect(controlWatchLines(judgeControlWatch({ ...RECORD, alerts: [] }, AT))).toEqual([
      'the watch finds nothing wrong',
    ])
    const stopped = 'no control service watches since 2026-01-31T12:00:00.000Z: start `pelton control`'
    expect(controlWatchLines(judgeControlWatch({ ...RECORD, holder: '' }, AT))).toEqual([stopped, ...alert])
    expect(controlWatchLines(judgeControlWatch(EMPTY_RECORD, AT))).toEqual([
      'no control service watches: start `pelton control`',
    ])
    expect(controlWatchLines(undefined)).toEqual([])
  })

  it('names the control service that is silent, and tells what it last saw', () => {
    expect(controlWatchLines(judgeControlWatch(RECORD, AT + 60_000))).toEqual([
      'the watch is silent: control service c1 has written nothing down since 2026-01-31T12:00:00.000Z: see its log, or start another `pelton control`',
      'idle-pool default, since 2026-01-31T11:00:00Z: 3 events wait',
      '  Start workers.',
    ])
  })

  it('leaves out what status has seen itself, and does not call that well', () => {
    const watch = judgeControlWatch(RECORD, AT)
    expect(controlWatchLines(watch, [{ kind: 'idle-pool', about: 'default' }])).toEqual([])
    expect(controlWatchLines(watch, [{ kind: 'idle-pool', about: 'gpu' }])).toHaveLength(2)
    const quiet = judgeControlWatch({ ...RECORD, alerts: [] }, AT)
    expect(controlWatchLines(quiet, [{ kind: 'server-away', about: 'n2' }])).toEqual([])
  })
})
