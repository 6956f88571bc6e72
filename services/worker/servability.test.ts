import { afterEach, describe, expect, it } from 'vitest'
import type { ServedModel } from '../../shared/models/repository.ts'
import { emptyRecord, type ModelRecord } from '../../shared/operations/models/model-record.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { type PoolKnowledge, type Repository, Servability } from './servability.ts'

const served = (name: string, version: string): ServedModel =>
  ({ name, version, key: `${name}/${version}` }) as ServedModel
const GONE = new PeltonError('model-unavailable', 'its file is gone')
const BROKEN = new PeltonError('model-refused', 'no model')
let opened: Servability | undefined

function open(given: {
  readonly models?: readonly ServedModel[]
  readonly refused?: Repository['refused']
  readonly isPending?: boolean
  readonly records?: readonly Partial<ModelRecord>[]
}): Servability {
  const { models = [], refused = [], isPending = false } = given
  const records = (given.records ?? []).map((record) => ({ ...emptyRecord('p', 'm'), ...record }))
  const repository: Repository = {
    models,
    refused,
    isPending: () => isPending,
    find: (name, version) =>
      models.findLast((one) => one.name === name && (version === undefined || one.version === version)),
  }
  const pool: PoolKnowledge = {
    find: (model) => records.find((record) => record.model === model),
    all: () => records,
    servedElsewhere: () => false,
  }
  opened = new Servability(repository, pool, { load: () => Promise.reject(new Error('not yet')) })
  return opened
}

const version = (digest: string): ModelRecord['versions'][string] => ({
  digest,
  sizeBytes: 1,
  signature: { inputs: [], outputs: [], constants: [] },
  since: 1,
})

afterEach(() => opened?.unavailable.close())

describe('what is not servable, and why', () => {
  it('is nothing of what is served, and nothing of what nobody knows', () => {
    const models = open({ models: [served('m', '1')] })
    expect([models.whyNot('m', undefined), models.whyNot('m', '1'), models.whyNot('x', undefined)]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
    expect(models.whyNot('m', '9')).toBeUndefined() // a version nobody ever had
    expect([models.isKnown('m'), models.isKnown('x')]).toEqual([true, false])
  })

  it.each([
    ['unavailable', { refused: [{ name: 'm', version: '1', error: GONE }] }],
    ['refused', { refused: [{ name: 'm', version: '1', error: BROKEN }] }],
    ['refused', { refused: [{ name: 'm', version: undefined, error: BROKEN }] }],
    ['inspecting', { refused: [{ name: 'm', version: '1', error: GONE }], isPending: true }],
    ['missing', { records: [{ versions: { 1: version('d') } }] }],
    ['missing', { records: [{ refusing: { w: { code: 'x', reason: 'y', since: 1 } } }] }],
  ] as const)('is %s', (cause, given) => {
    const models = open(given)
    expect(models.whyNot('m', undefined)?.cause).toBe(cause)
    expect(models.unserved.map(({ model, cause: why }) => [model, why])).toEqual([['m', cause]])
    expect(models.isKnown('m')).toBe(true)
  })

  it('goes by the version an event asks for', () => {
    const models = open({
      models: [served('m', '1')],
      refused: [{ name: 'm', version: '2', error: GONE }],
      records: [{ versions: { 1: version('d'), 3: version('e') } }],
    })
    const causes = ['1', '2', '3', '4'].map((asked) => models.whyNot('m', asked)?.cause)
    expect(causes).toEqual([undefined, 'unavailable', 'missing', undefined])
  })

  it('fails on everything while its breaker is open, of every version it has, and could be run to probe it', () => {
    const breaker = { since: 1, cause: 'no reason', failures: 20, probes: 0, nextProbeAt: 7 }
    const models = open({ models: [served('m', '1')], records: [{ breaker, versions: { 2: version('d') } }] })
    expect(models.whyNot('m', undefined)).toEqual({
      cause: 'breaker',
      text: expect.stringContaining('no reason'),
      probeAt: 7,
    })
    expect(['1', '2', '9'].map((asked) => models.whyNot('m', asked)?.cause)).toEqual([
      'breaker',
      'breaker',
      undefined, // a version nobody ever had
    ])
    const { probing } = models
    expect(['1', '2'].map((asked) => probing.whyNot?.('m', asked)?.cause)).toEqual([undefined, 'missing'])
    expect([probing.find('m')?.version, probing.models.length]).toEqual(['1', 1])
  })

  it('is a case for the operator, whatever its breaker says', () => {
    const breaker = { since: 1, cause: 'no reason', failures: 20, probes: 0, nextProbeAt: 7 }
    const models = open({
      models: [served('m', '1')],
      records: [{ breaker, apart: { since: 1, inARow: 3 } }],
    })
    expect(models.whyNot('m', undefined)?.cause).toBe('operator')
  })

  it('is unavailable from the run that could not open it until it is loaded again', () => {
    const model = served('m', '1')
    const models = open({ models: [model] })
    models.unavailable.add(model, 'its file has changed')
    expect(models.whyNot('m', undefined)).toEqual({ cause: 'unavailable', text: 'its file has changed' })
    expect(models.unserved).toEqual([{ model: 'm', cause: 'unavailable', text: 'its file has changed' }])
  })
})

it('thousands of models that are refused are read a few times, not each for each', () => {
  let reads = 0
  const refused = Array.from({ length: 2_000 }, (_, index) => ({
    get name() {
      reads++
      return `m${index}`
    },
    version: '1',
    error: BROKEN,
  }))
  expect(open({ refused }).unserved).toHaveLength(2_000)
  expect(reads).toBeLessThan(10 * 2_000)
})
