import { describe, expect, test } from 'vitest'
import { type ApiKey, decodeApiKey, encodeApiKey } from './key-record.ts'

const ID = 'abcdefgh23'
const KEY: ApiKey = {
  id: ID,
  name: 'shop',
  hash: 'a1'.repeat(32),
  models: ['delay', 'a.b'],
  pool: 'default',
  highestLane: 'normal',
  quotaClass: 'gold',
  createdAt: '2026-01-31T12:00:00.000Z',
  createdBy: 'ada',
}
const bytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value))
const stored = (change: object): Uint8Array =>
  bytes({ ...JSON.parse(Buffer.from(encodeApiKey(KEY)).toString()), ...change })

describe('the record of a key', () => {
  test('is read as it was written, and its id stands outside of it', () => {
    expect(decodeApiKey(encodeApiKey(KEY), ID)).toEqual({ kind: 'key', key: KEY })
    expect(Buffer.from(encodeApiKey(KEY)).toString()).not.toContain(ID)
    const revoked: ApiKey = { ...KEY, models: 'all', revokedAt: '2026-02-01T00:00:00.000Z', revokedBy: 'bob' }
    expect(decodeApiKey(encodeApiKey(revoked), ID)).toEqual({ kind: 'key', key: revoked })
  })

  test('keeps what a newer Pelton added without a new version', () => {
    const read = decodeApiKey(stored({ note: 'kept' }), ID)
    if (read.kind !== 'key') throw new Error(read.problem)
    expect(JSON.parse(Buffer.from(encodeApiKey(read.key)).toString())).toMatchObject({ note: 'kept', v: 1 })
  })

  test('of a newer version is told apart from junk', () => {
    const problem = 'it has version 2, this Pelton reads 1'
    expect(decodeApiKey(stored({ v: 2 }), ID)).toEqual({ kind: 'newer', problem })
  })

  test.each([
    ['no JSON', Buffer.from('{'), 'it is no JSON'],
    ['no object', bytes(7), 'it:'],
    ['null', bytes(null), 'it:'],
    ['no version', stored({ v: undefined }), 'v:'],
    ['a hash that is none', stored({ hash: 'A1'.repeat(32) }), 'hash:'],
    ['a short hash', stored({ hash: '' }), 'hash:'],
    ['no models', stored({ models: [] }), 'models:'],
    ['models that are no list', stored({ models: 'delay' }), 'models:'],
    ['no pool', stored({ pool: '' }), 'pool:'],
    ['another lane', stored({ highestLane: 'highest' }), 'highestLane:'],
    ['a time of revocation that is none', stored({ revokedAt: true }), 'revokedAt:'],
  ])('with %s is junk, and what is said names the place', (_what, body, problem) => {
    expect(decodeApiKey(body, ID)).toEqual({ kind: 'junk', problem: expect.stringContaining(problem) })
  })
})
