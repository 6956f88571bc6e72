import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { eventMessage } from '../event-message.ts'
import { decodeEntry, type Entry, encodeEntry } from './entry.ts'

const entries = fc
  .record({
    id: fc.string({ minLength: 1, maxLength: 30 }).filter((text) => !/\p{Cc}/u.test(text)),
    data: fc.uint8Array({ maxLength: 300 }),
    acceptedAt: fc.nat(),
    isRefused: fc.boolean(),
  })
  .map(({ id, data, acceptedAt, isRefused }): Entry => {
    const message = eventMessage({ model: 'm', id, data }, { source: 'gate/7', pool: 'p', now: 0 })
    const refusal = { code: 'too-large', description: 'ü\n"', at: acceptedAt + 1 } as const
    return { message, model: 'm', acceptedAt, ...(isRefused && { refusal }) }
  })

describe('an entry', () => {
  test('is read back as it was written', () => {
    fc.assert(
      fc.property(entries, (entry) => {
        expect(decodeEntry(encodeEntry(entry))).toEqual(entry)
      }),
    )
  })

  test('that was changed anywhere, cut or extended is not read', () => {
    fc.assert(
      fc.property(entries, fc.nat(), fc.integer({ min: 1, max: 255 }), (entry, at, change) => {
        const bytes = encodeEntry(entry)
        const index = at % bytes.length
        const flipped = bytes.map((byte, i) => (i === index ? byte ^ change : byte))
        expect(decodeEntry(flipped)).toBeUndefined()
        expect(decodeEntry(bytes.subarray(0, index))).toBeUndefined()
        expect(decodeEntry(new Uint8Array([...bytes, change]))).toBeUndefined()
      }),
    )
  })
})
