import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseHeaderBlock } from '../jetstream/stored-message.ts'
import { readEvent } from './event.ts'
import { encodeHeaderBlock, HEADERS, type HeaderEntry } from './headers.ts'
import { deadLetterMessage } from './outcome.ts'
import { encodeLines, failureNotice, predictionMessage } from './register-message.ts'
import { isLetterOfOtherModel, isOfOtherModel, readRegistered } from './registered.ts'

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

describe('the model of an outcome', () => {
  const FACTS = {
    ...{ modelVersion: '1', contentType: 'application/json', inferenceHeaderLength: undefined },
    ...{ queueMs: 1, inferenceMs: 1, batchRows: 1 },
  }
  const MADE = { worker: 'w1', at: 0, deliveryCount: 1, storedAt: 0, inputDigest: 'b'.repeat(22) }
  const FAILURE = { reason: 'timed-out', description: 'late', stage: 'infer' } as const
  const asStored = (headers: readonly HeaderEntry[]) => parseHeaderBlock(encodeHeaderBlock(headers))

  /** What a worker writes of an event with this subject. */
  function written(subject: string) {
    const headers = new Map([[HEADERS.id.toLowerCase(), 'e1']])
    const stored = { stream: 'FEATURES', epoch: '2026-01-01T00:00:00Z', sequence: 7 }
    const event = readEvent({ subject, headers, body: new Uint8Array(), ...stored })
    const outcomes = [
      predictionMessage(event, FACTS, MADE, new Uint8Array()),
      failureNotice(event, FAILURE, MADE),
    ]
    return { outcomes, letter: deadLetterMessage(event, subject, FAILURE, MADE) }
  }

  it('is that of its subject, whatever a client put into the subject of the event', () => {
    const segment = fc
      .oneof(
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }),
        fc.stringMatching(/^[a-c%2F0-9_-]+$/),
      )
      .map((text) => text.toWellFormed().replace(/[\s.*>\0]/gu, '_'))
    fc.assert(
      fc.property(segment, segment, fc.constantFrom('features', 'due'), (pool, model, root) => {
        const tail = root === 'due' ? '.t' : ''
        const { outcomes, letter } = written(`${root}.${pool}.${model}.normal${tail}`)
        for (const outcome of outcomes)
          expect(isOfOtherModel(outcome.subject, parseHeaderBlock(encodeLines(outcome)))).toBe(false)
        expect(isLetterOfOtherModel(letter.subject, asStored(letter.headers))).toBe(false)
      }),
      { numRuns: 500 },
    )
  })

  it('is another where it was moved', () => {
    const { outcomes, letter } = written('features.default.m.normal')
    for (const outcome of outcomes)
      expect(isOfOtherModel('results.n.t', parseHeaderBlock(encodeLines(outcome)))).toBe(true)
    expect(isLetterOfOtherModel('deadletters.n.t', asStored(letter.headers))).toBe(true)
  })
})
