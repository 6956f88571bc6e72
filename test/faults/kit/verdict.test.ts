import { describe, expect, test } from 'vitest'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import type { StoredRecord } from '../../kit/outcomes.ts'
import type { StagedEvent } from './stage-events.ts'
import { type Ending, type Expected, judge, type Remains } from './verdict.ts'

const event = (id: string): StagedEvent => ({ model: 'm', id, features: { x: 1 } })
const payload = new TextEncoder().encode('the payload')

function result(token: string, headers: Record<string, string>, value = 0.5): StoredRecord {
  const outputs = [{ name: 'y', datatype: 'FP32', shape: [1, 1], data: [value] }]
  const body = new TextEncoder().encode(JSON.stringify({ model_name: 'm', model_version: '1', outputs }))
  const given = { [HEADERS.dataContentType]: 'application/json', [HEADERS.correlationId]: token, ...headers }
  const lowered = Object.entries(given).map(([name, text]) => [name.toLowerCase(), text] as const)
  return { subject: `results.m.${token}`, sequence: 1, storedAt: 20, headers: new Map(lowered), body }
}
const prediction = (token: string, value?: number) =>
  result(token, { [HEADERS.outcome]: 'prediction' }, value)
const failure = (token: string) =>
  result(token, { [HEADERS.outcome]: 'dead-letter', [HEADERS.deadLetterReason]: 'timed-out' })
const letter = (token: string, body = payload): StoredRecord => ({ ...failure(token), body })

/** What is found of events whose tokens are their ids. */
function found(
  ids: readonly string[],
  results: readonly StoredRecord[],
  deadLetters: readonly StoredRecord[] = [],
) {
  const accepted = ids.map((id) => ({ event: event(id), token: id, sequence: 1, at: 10 }))
  return { accepted, sent: new Map(ids.map((id) => [id, event(id)])), results, deadLetters } satisfies Remains
}

function expected(endings: readonly Ending[] = ['prediction'], isReplayed = false): Expected {
  return {
    endings: () => endings,
    isReplayed: () => isReplayed,
    outputs: async () => new Map([['y', Float32Array.of(0.5)]]),
    payload: () => payload,
  }
}

const clean = { lost: [], doubled: [], strangers: [], wrong: [], misjudged: [], damaged: [] }

describe('the verdict on a scenario', () => {
  test('finds nothing where every event has its prediction or its dead letter', async () => {
    expect(await judge(found(['a'], [prediction('a')]), expected())).toMatchObject({
      ...clean,
      predictions: 1,
    })
    const dead = found(['a'], [failure('a')], [letter('a')])
    expect(await judge(dead, expected(['timed-out']))).toMatchObject({ ...clean, deadLetters: 1 })
  })

  test('names an event without an outcome', async () => {
    expect(await judge(found(['a', 'b'], [prediction('a')]), expected())).toMatchObject({
      ...clean,
      lost: ['b'],
    })
  })

  test('names an event with two outcomes, but not one that was replayed', async () => {
    const twice = found(['a'], [prediction('a'), prediction('a')])
    expect(await judge(twice, expected())).toMatchObject({ ...clean, doubled: ['a'] })
    expect(await judge(twice, expected(['prediction'], true))).toMatchObject({ doubled: ['a'] })
    const replayed = found(['a'], [failure('a'), prediction('a')])
    expect(await judge(replayed, expected(['prediction'], true))).toMatchObject(clean)
    expect(await judge(replayed, expected())).toMatchObject({ doubled: ['a'] })
  })

  test('names a value the model does not give, and one that is another event’s', async () => {
    const { wrong } = await judge(found(['a'], [prediction('a', 0.25)]), expected())
    expect(wrong).toEqual([expect.stringContaining('a: y is 0.25')])
    const other = result('a', { [HEADERS.outcome]: 'prediction', [HEADERS.correlationId]: 'b' })
    expect((await judge(found(['a'], [other]), expected())).wrong).toEqual(['a: names b'])
  })

  test('names an event that ended as it should not have', async () => {
    const dead = found(['a'], [failure('a')], [letter('a')])
    expect(await judge(dead, expected())).toMatchObject({ ...clean, misjudged: ['a: timed-out'] })
    const saved = await judge(found(['a'], [prediction('a')]), expected(['timed-out']))
    expect(saved.misjudged).toEqual(['a: prediction'])
  })

  test('names a dead letter that is gone or holds something else', async () => {
    const gone = await judge(found(['a'], [failure('a')]), expected(['timed-out']))
    expect(gone.damaged).toEqual(['a: its dead letter is gone'])
    const cut = found(['a'], [failure('a')], [letter('a', payload.slice(1))])
    expect((await judge(cut, expected(['timed-out']))).damaged).toEqual(['a: another payload'])
  })

  test('names outcomes of events nobody sent', async () => {
    const { strangers } = await judge(found([], [prediction('x')]), expected())
    expect(strangers).toEqual(['x'])
  })
})
