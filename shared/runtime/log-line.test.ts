import { describe, expect, it } from 'vitest'
import { describeLine } from './log-line.ts'

const line = (fields: object): string =>
  JSON.stringify({
    level: 'warn',
    time: '2026-01-31T12:00:00Z',
    pid: 7,
    hostname: 'h',
    name: 'worker',
    ...fields,
  })

describe('a line of a process, for people', () => {
  it('names the model and version it is about, and all else it knows', () => {
    const refused = { level: 'error', worker: 'w-1', model: 'churn', version: '3', msg: 'model-refused: no' }
    expect(describeLine(line(refused))).toBe('error: churn version 3: model-refused: no')
    expect(describeLine(line({ model: 'churn', msg: 'kept back', count: 3 }))).toBe(
      'warn: churn: kept back (count 3)',
    )
    expect(describeLine(line({ msg: 'pull failed', consumer: 'worker-default-high', end: 'lost' }))).toBe(
      'warn: pull failed (consumer worker-default-high, end lost)',
    )
    expect(describeLine(line({ level: 'fatal', msg: 'failed', err: { message: 'why', stack: 'at' } }))).toBe(
      'fatal: failed (why)',
    )
    const alert = { msg: '3 events wait', alert: 'idle-pool', about: 'gpu', remedy: 'Start workers.' }
    expect(describeLine(line(alert))).toBe('warn: 3 events wait (alert idle-pool, about gpu). Start workers.')
  })

  it('is none below warn, and what is no log line is shown as it is, bounded', () => {
    expect(describeLine(line({ level: 'info', msg: 'lifecycle', state: 'failed' }))).toBeUndefined()
    expect(describeLine('Segmentation fault')).toBe('Segmentation fault')
    expect(describeLine('{"level":"warn"')).toBe('{"level":"warn"')
    expect(describeLine('x'.repeat(5_000))).toHaveLength(1_000)
  })
})
