import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MAX_IDENTITY_LENGTH } from './event.ts'
import { keyDigest, keyedId, readKeyedId } from './keyed-id.ts'

describe('the id of an event with an idempotency key', () => {
  test('is read back, and fits any source and key', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.string(),
        fc.string(),
        fc.integer({ min: 1, max: 999_999 }),
        (model, source, key, attempt) => {
          const keyed = { digest: keyDigest({ model, source, key }), attempt }
          expect(readKeyedId(keyedId(keyed))).toEqual(keyed)
          expect(keyedId(keyed).length).toBeLessThan(MAX_IDENTITY_LENGTH)
        },
      ),
    )
  })

  test('tells model, version, source and key apart, wherever one ends and the other begins', () => {
    const digests = [
      keyDigest({ model: 'm', source: 's', key: 'k' }),
      keyDigest({ model: 'm\ns', source: '', key: 'k' }),
      keyDigest({ model: 'm', source: 's\nk', key: '' }),
      keyDigest({ model: 'm","s', source: 'k', key: '' }),
      keyDigest({ model: 'm', source: '', key: 'sk' }),
      keyDigest({ model: 'm', modelVersion: '1', source: 's', key: 'k' }),
      keyDigest({ model: 'm', modelVersion: '2', source: 's', key: 'k' }),
    ]
    expect(new Set(digests).size).toBe(digests.length)
  })

  test.each([
    '',
    'event-1',
    'idempotency:short:1',
    `idempotency:${'a'.repeat(22)}`,
    `idempotency:${'a'.repeat(22)}:0`,
    `idempotency:${'a'.repeat(22)}:01`,
    `idempotency:${'a'.repeat(22)}:1234567`,
    ` idempotency:${'a'.repeat(22)}:1`,
    `idempotency:${'a'.repeat(22)}:1\n`,
  ])('is none of %j', (id) => expect(readKeyedId(id)).toBeUndefined())
})
