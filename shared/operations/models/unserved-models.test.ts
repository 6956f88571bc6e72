import { describe, expect, it } from 'vitest'
import { emptyRecord, type ModelRecord } from './model-record.ts'
import { judgeModels } from './unserved-models.ts'

const since = 1
const serving = (...workers: string[]): ModelRecord['serving'] =>
  Object.fromEntries(workers.map((worker) => [worker, { versions: ['1'], since }]))
const refusing = (reason: string, ...workers: string[]): ModelRecord['refusing'] =>
  Object.fromEntries(workers.map((worker) => [worker, { code: 'model-unavailable', reason, since }]))

function judged(workers: readonly string[], record: Partial<ModelRecord>) {
  return judgeModels({ pool: 'p', workers, records: [{ ...emptyRecord('p', 'm'), ...record }] })
}

describe('judgeModels', () => {
  it('finds nothing where every living worker serves, whatever those said that are gone', () => {
    expect(judged(['a', 'b'], { serving: serving('a', 'b'), refusing: refusing('gone', 'c') })).toEqual([])
    expect(judged([], { refusing: refusing('gone', 'c') })).toEqual([])
  })

  it('says how many serve of how many, and each reason of those that do not once', () => {
    const record = { serving: serving('a', 'dead'), refusing: refusing('it is gone', 'b', 'c', 'dead') }
    expect(judged(['a', 'b', 'c'], record)).toEqual([
      { pool: 'p', model: 'm', serving: 1, workers: 3, reasons: ['it is gone'], isBroken: false },
    ])
  })

  it('says of a worker that knows nothing of it that its folder does not hold it', () => {
    expect(judged(['a'], { versions: {} })[0]?.reasons).toEqual(['it is not in the models folder'])
  })

  it('finds a model that fails on everything, whoever serves it, as long as there are workers', () => {
    const breaker = { since, cause: 'no reason', failures: 20, probes: 0, nextProbeAt: 5 }
    const broken = { serving: serving('a'), breaker }
    expect(judged(['a'], broken)).toMatchObject([
      { serving: 1, workers: 1, isBroken: true, reasons: [expect.stringContaining('no reason')] },
    ])
    expect(judged(['a', 'b'], { ...broken, refusing: refusing('it is gone', 'b') })[0]?.reasons).toEqual([
      expect.stringContaining('no reason'),
      'it is gone',
    ])
    expect(judged([], broken)).toEqual([])
  })

  it('takes a worker that serves no version for one that does not serve it', () => {
    const record = { serving: { a: { versions: [], since } } }
    expect(judged(['a'], record)[0]).toMatchObject({ serving: 0, workers: 1 })
  })
})
