import { describe, expect, test } from 'vitest'
import { hashSecret, holdsKey, isKeyId, newKeyParts, readKey, showKey } from './key-text.ts'

describe('the text of a key', () => {
  test('is read as what it was made of', () => {
    const parts = newKeyParts()
    expect(readKey(showKey(parts))).toEqual(parts)
    expect(showKey(parts)).toMatch(/^pelton_[a-z2-7]{10}_[A-Za-z0-9_-]{43}$/)
    expect(isKeyId(parts.id)).toBe(true)
  })

  test('is another each time, in its id and its secret', () => {
    const all = Array.from({ length: 500 }, newKeyParts)
    expect(new Set(all.map(({ id }) => id)).size).toBe(500)
    expect(new Set(all.map(({ secret }) => secret)).size).toBe(500)
  })

  test.each([
    ['nothing', ''],
    ['another beginning', `pelt0n_${'a'.repeat(10)}_${'A'.repeat(43)}`],
    ['a short id', `pelton_${'a'.repeat(9)}_${'A'.repeat(43)}`],
    ['an id of other letters', `pelton_${'A'.repeat(10)}_${'A'.repeat(43)}`],
    ['a short secret', `pelton_${'a'.repeat(10)}_${'A'.repeat(42)}`],
    ['a long secret', `pelton_${'a'.repeat(10)}_${'A'.repeat(44)}`],
    ['something behind it', `pelton_${'a'.repeat(10)}_${'A'.repeat(43)}\n`],
    ['two of them', `pelton_${'a'.repeat(10)}_${'A'.repeat(43)}, pelton_${'a'.repeat(10)}_${'A'.repeat(43)}`],
  ])('with %s is none', (_what, text) => {
    expect(readKey(text)).toBeUndefined()
  })

  test('is found in an address, and nothing else is', () => {
    const key = showKey(newKeyParts())
    expect(holdsKey(`/v2/models/m/infer?api_key=${key}&x=1`)).toBe(true)
    expect(holdsKey(`/v2/${key.slice(0, 40)}`)).toBe(true)
    expect(holdsKey('/v2/models/pelton_model/infer')).toBe(false)
  })
})

test('what is kept of a secret is its SHA-256', () => {
  // printf 'a' | sha256sum
  const expected = 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'
  expect(hashSecret('a').toString('hex')).toBe(expected)
})
