import { describe, expect, test } from 'vitest'
import type { ModelRecord } from '../../../shared/operations/models/model-record.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { checkModel } from './check-model.ts'
import type { ModelDirectory } from './core.ts'
import type { Caller } from './request.ts'

const refused = { w1: { version: '3', code: 'model-refused', reason: 'it is broken', since: 1 } }
const record = (model: string): ModelRecord =>
  ({ pool: 'p', model, versions: { 1: {}, 2: {} }, serving: {}, refusing: refused }) as unknown as ModelRecord

function directoryOf(names: readonly string[], isRead = true): ModelDirectory {
  const records = names.map(record)
  return {
    isRead,
    find: (_pool, model) => records.find((each) => each.model === model),
    all: () => records,
    servedVersions: () => [],
  }
}

const CALLER = { pool: 'p', mayUse: (model: string) => !model.startsWith('secret') } as Caller

function detailsOf(directory: ModelDirectory, model: string, version?: string): unknown {
  try {
    checkModel(directory, CALLER, model, version)
  } catch (thrown) {
    if (thrown instanceof PeltonError && thrown.code === 'unknown-model') return thrown.details
    throw thrown
  }
  return 'known'
}

describe('a model that is asked for', () => {
  test('is known in every version that was served or refused', () => {
    const directory = directoryOf(['churn'])
    for (const version of [undefined, '1', '2', '3'])
      expect(detailsOf(directory, 'churn', version)).toBe('known')
    expect(detailsOf(directory, 'churn', '9')).toMatchObject({ field: 'modelVersion', value: '"9"' })
    expect(detailsOf(directory, 'churn', 'toString')).toMatchObject({ field: 'modelVersion' })
  })

  test('is not known not to be there before all was read', () => {
    expect(detailsOf(directoryOf([], false), 'churn')).toBe('known')
  })

  test('is told the name that is near, or what there is, and never what the caller may not use', () => {
    const directory = directoryOf(['churn', 'secret-churm'])
    expect(detailsOf(directory, 'churm')).toEqual({
      field: 'model',
      value: '"churm"',
      remedy: 'Did you mean "churn"?',
    })
    expect(detailsOf(directory, 'secret-churn')).toMatchObject({ remedy: 'Known here: "churn".' })
    expect(detailsOf(directoryOf([]), 'churn')).toMatchObject({
      remedy: expect.stringContaining('start a worker'),
    })
    const many = directoryOf(Array.from({ length: 5_000 }, (_, index) => `model-${index}`))
    expect(JSON.stringify(detailsOf(many, 'x'.repeat(10_000))).length).toBeLessThan(500)
  })
})
