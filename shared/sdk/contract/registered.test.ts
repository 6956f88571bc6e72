import { describe, expect, it } from 'vitest'
import { HEADERS } from './headers.ts'
import { readRegistered } from './registered.ts'

const TOKEN = 'a'.repeat(22)

/** Headers of a prediction, with others in their place; `undefined` leaves one out. */
function read(given: Readonly<Record<string, string | undefined>> = {}) {
  const all = {
    [HEADERS.contract]: '1.0',
    [HEADERS.outcome]: 'prediction',
    [HEADERS.token]: TOKEN,
    [HEADERS.origin]: 'FEATURES 2026-01-01T00:00:00Z 7',
    [HEADERS.inputDigest]: 'b'.repeat(22),
    ...given,
  }
  const entries = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [[name.toLowerCase(), value] as const],
  )
  return readRegistered(new Map(entries), TOKEN)
}

describe('readRegistered', () => {
  it('takes the two outcomes for what they are', () => {
    expect(read()).toBe('prediction')
    expect(read({ [HEADERS.outcome]: 'dead-letter' })).toBe('dead-letter')
  })

  it.each([undefined, '1', '1.7'])('reads version %s of the contract', (version) =>
    expect(read({ [HEADERS.contract]: version })).toBe('prediction'),
  )

  it.each(['2.0', '2', '31.4'])('leaves version %s alone, whatever else it says', (version) => {
    expect(read({ [HEADERS.contract]: version })).toBe('newer')
    expect(read({ [HEADERS.contract]: version, [HEADERS.outcome]: undefined })).toBe('newer')
  })

  it.each([
    ['no outcome', { [HEADERS.outcome]: undefined }],
    ['an unknown outcome', { [HEADERS.outcome]: 'Prediction' }],
    ['no token', { [HEADERS.token]: undefined }],
    ['the token of another event', { [HEADERS.token]: 'c'.repeat(22) }],
    ['no origin', { [HEADERS.origin]: undefined }],
    ['an origin that is none', { [HEADERS.origin]: 'FEATURES 7' }],
    ['no digest of its input', { [HEADERS.inputDigest]: undefined }],
    ['a digest that is none', { [HEADERS.inputDigest]: 'short' }],
    ['a version that is none', { [HEADERS.contract]: 'two' }],
    ['a version before the first', { [HEADERS.contract]: '0.9' }],
    ['an empty version', { [HEADERS.contract]: '' }],
  ])('calls junk what has %s', (_what, given) => expect(read(given)).toBe('junk'))
})
