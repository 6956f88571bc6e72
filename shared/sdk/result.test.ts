import { describe, expect, it } from 'vitest'
import { HEADERS } from './contract/headers.ts'
import { readResult } from './result.ts'

const TOKEN = 'abcdefghijklmnopqrstuv'
const headers = new Map<string, string>([
  [HEADERS.outcome, 'prediction'],
  [HEADERS.token, TOKEN],
  [HEADERS.origin, 'FEATURES 2026-01-01T00:00:00Z 7'],
  [HEADERS.inputDigest, TOKEN],
  [HEADERS.correlationId, 'order-1'],
  [HEADERS.attempt, '1'],
  [HEADERS.modelVersion, '2'],
  [HEADERS.time, '2026-01-01T00:00:01Z'],
])
const body = Buffer.from(
  '{"model_name":"m","model_version":"2","outputs":[{"name":"p","datatype":"FP32","shape":[1,1],"data":[0.5]}]}',
)
const read = (more: readonly (readonly [string, string])[] = [], bytes: Uint8Array = body) =>
  readResult(
    `results.m.${TOKEN}`,
    new Map([...headers, ...more].map(([name, value]) => [name.toLowerCase(), value])),
    bytes,
  )

describe('readResult', () => {
  it('gives a prediction whose fields are its own: it can be copied, taken apart and written', () => {
    const result = read()
    if (result?.kind !== 'prediction') throw new Error('no prediction')
    const copy = { ...result }
    expect(copy).toMatchObject({
      ...{ id: 'order-1', token: TOKEN, model: 'm', attempt: 1, eventSequence: 7, modelVersion: '2' },
      ...{ time: new Date('2026-01-01T00:00:01Z'), traceparent: undefined, cached: false },
      outputs: [{ name: 'p', shape: [1, 1] }],
    })
    const { value, outputs } = result
    expect(value('p')).toBe(0.5)
    expect(outputs).toBe(result.outputs)
    expect(JSON.parse(JSON.stringify(result))).toMatchObject({ id: 'order-1', outputs: [{ name: 'p' }] })
  })

  it('gives its outputs to whatever stands before it, such as what a store makes of it', () => {
    const result = read()
    if (result?.kind !== 'prediction') throw new Error('no prediction')
    for (const before of [new Proxy(result, {}), Object.create(result) as typeof result]) {
      expect(before.outputs).toMatchObject([{ name: 'p', shape: [1, 1] }])
      expect(before.value('p')).toBe(0.5)
    }
  })

  it('decodes outputs when they are read, each time with the same error', () => {
    const result = read([], Buffer.from('{"model_name":"m","model_version":"2","outputs":1}'))
    if (result?.kind !== 'prediction') throw new Error('no prediction')
    expect(result.id).toBe('order-1')
    for (let time = 0; time < 2; time++) expect(() => result.outputs).toThrow(/outputs/)
  })

  it('gives a failure with its reason', () => {
    const reason = [
      [HEADERS.outcome, 'dead-letter'],
      [HEADERS.deadLetterReason, 'malformed'],
    ] as const
    expect(read(reason)).toMatchObject({ kind: 'failure', reason: 'malformed', description: '', stage: '' })
  })

  it('is undefined for what is no outcome', () => {
    expect(read([[HEADERS.outcome, 'other']])).toBeUndefined()
    expect(read([[HEADERS.token, 'of-another']])).toBeUndefined()
  })
})
