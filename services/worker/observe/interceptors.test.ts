import { describe, expect, it } from 'vitest'
import type { Batch } from '../prepare/prepared.ts'
import type { Concluded } from '../settle/outcome.ts'
import type { StoredOutcome } from '../settle/outcome-store.ts'
import { createInterceptors, type Interceptors } from './interceptors.ts'
import type { Timed, WorkerMetrics } from './worker-metrics.ts'

const BATCH: Batch = []
const concluded = (): Concluded => ({ outcome: { kind: 'predicted' } }) as unknown as Concluded

/** Notes what it is told, in order. */
function noting() {
  const log: string[] = []
  const how = ({ error = 'well', durationMs }: Timed): string => {
    expect(durationMs).toBeGreaterThanOrEqual(0)
    return error
  }
  const metrics: Pick<WorkerMetrics, 'started' | 'processed' | 'ran' | 'acknowledged' | 'stored'> = {
    started: () => void log.push('started'),
    processed: (_batch, told) => void log.push(`processed ${how(told)}`),
    ran: (_batch, told) => void log.push(`ran ${how(told)}`),
    acknowledged: (_group, told) => void log.push(`acknowledged ${how(told)}`),
    stored: (_outcome, told) => void log.push(`stored ${how(told)}: ${told.result?.how}`),
  }
  const span =
    (name: string) =>
    <Work, Answer>(next: (work: Work) => Promise<Answer>) =>
    async (work: Work): Promise<Answer> => {
      log.push(`${name} (`)
      return next(work).finally(() => log.push(`) ${name}`))
    }
  const traces: Interceptors = {
    process: span('process'),
    run: span('run'),
    settle: span('settle'),
    store: span('store'),
    storeAll: (next) => next,
    isWatched: () => false,
  }
  return { log, metrics: metrics as WorkerMetrics, traces }
}

describe('createInterceptors', () => {
  it('gives back the very same step where nobody looks', () => {
    const step = async (): Promise<never[]> => []
    const store = async (): Promise<StoredOutcome> => ({ how: 'predicted' })
    const { process, run, settle, store: storing } = createInterceptors({})
    const work = async (): Promise<void> => undefined
    expect([process(work), run(step), settle(step), storing(store)]).toEqual([work, step, step, store])
    expect(process(work)).toBe(work)
    expect(storing(store)).toBe(store)
  })

  it('measures around the trace, and lets the step answer', async () => {
    const { log, metrics, traces } = noting()
    const { process, settle } = createInterceptors({ metrics, traces })
    await process(async (batch) => {
      expect(batch).toBe(BATCH)
      log.push('work')
    })(BATCH)
    expect(await settle(async () => [])([])).toEqual([])
    expect(log).toEqual([
      ...['started', 'process (', 'work', ') process', 'processed well'],
      ...['settle (', ') settle', 'acknowledged well'],
    ])
  })

  it('tells how a step failed, and lets it fail', async () => {
    const { log, metrics } = noting()
    const { run } = createInterceptors({ metrics })
    const stopped = run(() => Promise.reject(new DOMException('stopped', 'AbortError')))
    await expect(stopped(BATCH)).rejects.toThrow('stopped')
    await expect(run(() => Promise.reject(new TypeError('oops')))(BATCH)).rejects.toThrow('oops')
    expect(log).toEqual(['ran aborted', 'ran internal'])
  })

  it('times the first of the outcomes that are stored together, and each is stored', async () => {
    const { log, metrics } = noting()
    let stored = 0
    const store = createInterceptors({ metrics }).store(async (): Promise<StoredOutcome> => {
      await new Promise(setImmediate)
      return { how: stored++ === 0 ? 'predicted' : 'retried' }
    })
    await Promise.all([concluded(), concluded(), concluded()].map(store))
    expect([stored, log]).toEqual([3, ['stored well: predicted']])
    await Promise.all([concluded(), concluded()].map(store))
    expect([stored, log]).toEqual([5, ['stored well: predicted', 'stored well: retried']])
  })
})
