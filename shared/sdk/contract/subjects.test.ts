import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createNames } from './names.ts'
import {
  decodeSegment,
  encodeSegment,
  isLane,
  isReplySubject,
  LANES,
  readOutcomeSubject,
  readPoolRecord,
  readRoute,
  subjects,
  tokenOfSubject,
} from './subjects.ts'

const name = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1 }).filter((text) => text.isWellFormed()),
  fc.string({
    unit: fc.constantFrom('.', '*', '>', ' ', '%', '\0', '\n', 'a', '🛫', '\ufeff'),
    minLength: 1,
  }),
)
const lane = fc.constantFrom(...LANES)
const token = fc.stringMatching(/^[A-Za-z0-9_-]{22}$/)

describe('encodeSegment', () => {
  it('writes only characters that are safe in a subject, and decodes back', () => {
    fc.assert(
      fc.property(name, (text) => {
        expect(encodeSegment(text)).toMatch(/^(?:[A-Za-z0-9_-]|%[0-9A-F]{2})+$/)
        expect(decodeSegment(encodeSegment(text))).toBe(text)
      }),
      { numRuns: 500 },
    )
  })

  it.each([
    ['flight-delay_2', 'flight-delay_2'],
    ['a.b', 'a%2Eb'],
    ['*', '%2A'],
    ['>', '%3E'],
    ['a b', 'a%20b'],
    ['100%', '100%25'],
    ['né', 'n%C3%A9'],
    ['🛫', '%F0%9F%9B%AB'],
    ['\ufeffa', '%EF%BB%BFa'],
  ])('writes %j as %s', (text, segment) => {
    expect(encodeSegment(text)).toBe(segment)
    expect(decodeSegment(segment)).toBe(text)
  })

  it.each(['', '\ud800', 'a\udc00'])('refuses %j', (text) => {
    expect(() => encodeSegment(text)).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
  })
})

describe('decodeSegment', () => {
  it.each(['', '%', '%4', '%zz', 'a%', 'né', 'a b', '%FF', '%C3', '%ED%A0%80'])(
    'knows no name for %j',
    (segment) => {
      expect(decodeSegment(segment)).toBeUndefined()
    },
  )

  it('reads what another client encoded more of than it had to', () => {
    expect(decodeSegment('%61%2eb')).toBe('a.b')
  })
})

describe('readRoute', () => {
  it('reads what the builders write, of events and of due retries', () => {
    fc.assert(
      fc.property(name, name, lane, token, (pool, model, lane, token) => {
        const route = { pool, model, lane }
        expect(readRoute(subjects.feature(route))).toEqual(route)
        expect(readRoute(subjects.due(route, token))).toEqual(route)
      }),
    )
  })

  it('takes a segment that does not decode for itself', () => {
    expect(readRoute('features.%zz.né.low')).toEqual({ pool: '%zz', model: 'né', lane: 'low' })
  })

  it.each(['features.a.b', 'features.a.b.urgent', 'results.a.b.high', 'features', '', 'retries.a.b.high.t'])(
    'knows no route for %j',
    (subject) => expect(readRoute(subject)).toBeUndefined(),
  )
})

describe('the subjects of an outcome', () => {
  it('can be written for whatever a client may have published', () => {
    const segment = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 400 })
      .filter((text) => !/[\s.*>]/.test(text))
    fc.assert(
      fc.property(segment, (model) => {
        const route = readRoute(`features.default.${model}.normal`)
        expect(subjects.result(route?.model ?? '', 't').length).toBeLessThanOrEqual(300)
      }),
    )
    for (const model of ['!'.repeat(86), '數'.repeat(32), 'm'.repeat(256)])
      expect(readRoute(`features.default.${model}.normal`)?.model).toMatch(/^too-long-/)
  })
})

describe('readOutcomeSubject', () => {
  it('reads what the builders write', () => {
    fc.assert(
      fc.property(name, token, (model, token) => {
        expect(readOutcomeSubject(subjects.result(model, token))).toEqual({ model, token })
        expect(readOutcomeSubject(subjects.deadLetter(model, token))).toEqual({ model, token })
      }),
    )
  })

  it.each(['results.a', 'results.a.b.c', 'ledger.a.b', ''])('knows nothing of %j', (subject) => {
    expect(readOutcomeSubject(subject)).toBeUndefined()
  })
})

describe('readPoolRecord', () => {
  it('reads what the builders write', () => {
    fc.assert(
      fc.property(name, name, (pool, name) => {
        expect(readPoolRecord(subjects.modelRecord(pool, name))).toEqual({ kind: 'model', pool, name })
        expect(readPoolRecord(subjects.workerPresence(pool, name))).toEqual({ kind: 'worker', pool, name })
      }),
    )
  })

  it.each([
    subjects.auditFloor(),
    subjects.replayRecord('model.a.b'),
    `${subjects.modelRecord('a', 'b')}.c`,
    '',
  ])('knows nothing of %j', (subject) => expect(readPoolRecord(subject)).toBeUndefined())
})

describe('subjects', () => {
  const route = { pool: 'default', model: 'flight.delay', lane: 'high' } as const

  it('are those of the contract', () => {
    expect(subjects.feature(route)).toBe('features.default.flight%2Edelay.high')
    expect(subjects.retry(route, 't')).toBe('retries.default.flight%2Edelay.high.t')
    expect(subjects.due(route, 't')).toBe('due.default.flight%2Edelay.high.t')
    expect(subjects.result('flight.delay', 't')).toBe('results.flight%2Edelay.t')
    expect(subjects.deadLetter('flight.delay', 't')).toBe('deadletters.flight%2Edelay.t')
    expect(subjects.ledger('a b')).toBe('ledger.a%20b')
    expect(subjects.featureFilter('default', 'low')).toBe('features.default.*.low')
    expect(subjects.dueFilter('default', 'low')).toBe('due.default.*.low.*')
    expect(subjects.resultFilter()).toBe('results.*.*')
    expect(subjects.resultFilter('a.b')).toBe('results.a%2Eb.*')
  })

  it('never let a name add a segment or a wildcard', () => {
    fc.assert(
      fc.property(name, name, lane, (pool, model, lane) => {
        expect(subjects.feature({ pool, model, lane })).toMatch(/^features(?:\.[A-Za-z0-9_%-]+){3}$/)
        expect(subjects.featureFilter(pool, lane)).toMatch(/^features\.[A-Za-z0-9_%-]+\.\*\.\w+$/)
      }),
    )
  })

  it('know three lanes', () => {
    expect(LANES.map(isLane)).toEqual([true, true, true])
    expect(isLane('urgent')).toBe(false)
  })
})

it('finds the token at the end of what carries one, whatever the model is called', () => {
  const route = { pool: 'a.b', model: 'm.*>', lane: 'high' } as const
  const all = [
    subjects.result('m.*>', 't-1'),
    subjects.deadLetter('m.*>', 't-1'),
    subjects.retry(route, 't-1'),
  ]
  expect(all.map(tokenOfSubject)).toEqual(['t-1', 't-1', 't-1'])
})

describe('isReplySubject', () => {
  it.each(['_INBOX.a', '_INBOX.a-b.c_1', '_pelton.reply.gateway-1.42'])('allows %s', (subject) => {
    expect(isReplySubject(subject)).toBe(true)
  })

  it.each([
    '',
    '_INBOX',
    '_INBOX.',
    '_INBOX..a',
    '_INBOX.>',
    '_INBOX.*',
    '_INBOX.a b',
    '_INBOX.a\r\nPUB x 0',
    '_INBOX.a\n',
    'x_INBOX.a',
    '_pelton.replies.a',
    '_pelton.reply',
    'results.a.b',
    '$JS.API.STREAM.PURGE.FEATURES',
  ])('refuses %j', (subject) => expect(isReplySubject(subject)).toBe(false))

  it('allows with a prefix what lies behind it, and inboxes', () => {
    const { replyRoots } = createNames('staging')
    const allowed = ['_INBOX.a', 'staging._pelton.reply.a']
    const refused = ['_pelton.reply.a', 'other._pelton.reply.a', 'staging._INBOX.a', 'staging.results.a.b']
    expect(allowed.filter((subject) => !isReplySubject(subject, replyRoots))).toEqual([])
    expect(refused.filter((subject) => isReplySubject(subject, replyRoots))).toEqual([])
    expect(isReplySubject('staging._pelton.reply.a')).toBe(false)
  })
})
