import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeAttribute, encodeAttribute } from '../../../shared/sdk/contract/headers.ts'
import { Refusal } from '../core/refusal.ts'
import {
  appliedWait,
  readEventHeaders,
  readIdempotencyKey,
  readPrefer,
  readTraceContext,
} from './request-headers.ts'

/** Text as a string of structured fields. */
const quoted = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`
const printable = (maxLength: number) =>
  fc.string({
    unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
    maxLength,
  })

describe('readPrefer', () => {
  test.each([
    [undefined, false, undefined],
    ['', false, undefined],
    ['respond-async', true, undefined],
    ['Respond-Async', true, undefined],
    ['respond-async, wait=10', true, 10_000],
    ['wait=10, respond-async', true, 10_000],
    ['respond-async,wait="10"', true, 10_000],
    ['respond-async=""', true, undefined],
    ['respond-async=false', false, undefined],
    ['WAIT = 3', false, 3_000],
    ['wait=0', false, 0],
    ['wait=3, wait=9', false, 3_000],
    ['wait=-1', false, undefined],
    ['wait=1.5', false, undefined],
    ['wait=soon', false, undefined],
    ['wait', false, undefined],
    ['wait=99999999999999999999', false, undefined],
    ['return=minimal; foo="some, \\" parameter", respond-async', true, undefined],
    ['handling=lenient, foo; bar=1; baz, wait=2', false, 2_000],
    [', ,respond-async,,wait=1,', true, 1_000],
    ['respond-async; wait=5', true, undefined],
    ['wait=2, "what is this", respond-async', false, 2_000],
    ['wait="5', false, undefined],
    [`${' '.repeat(2_000)}wait=5`, false, undefined],
  ])('%j', (prefer, respondAsync, waitMs) => {
    expect(readPrefer({ prefer })).toEqual({ respondAsync, waitMs })
  })

  test('reads several headers as one list', () => {
    expect(readPrefer({ prefer: ['respond-async', 'wait=4'] })).toEqual({ respondAsync: true, waitMs: 4_000 })
  })

  test('finds both among any others, in any order and form', () => {
    const token = fc
      .stringMatching(/^[a-z!#$&'*+.^`|~-]{1,12}$/)
      .filter((name) => !/^(wait|respond-async)$/.test(name))
    const value = fc.oneof(token, printable(20).map(quoted))
    const parameter = fc.tuple(token, value).map((pair) => `; ${pair.join('=')}`)
    const other = fc
      .tuple(token, fc.option(value, { nil: undefined }), fc.array(parameter, { maxLength: 2 }))
      .map(([name, given, more]) => `${name}${given === undefined ? '' : `=${given}`}${more.join('')}`)
    fc.assert(
      fc.property(
        fc.array(other, { maxLength: 4 }),
        fc.nat({ max: 1e6 }),
        fc.boolean(),
        fc.nat(),
        (others, wait, isQuoted, at) => {
          const list = [...others]
          list.splice(at % (list.length + 1), 0, 'respond-ASYNC', `Wait=${isQuoted ? `"${wait}"` : wait}`)
          const prefer = list.join(' , ')
          fc.pre(prefer.length <= 1_024)
          expect(readPrefer({ prefer })).toEqual({ respondAsync: true, waitMs: wait * 1_000 })
        },
      ),
    )
  })

  test('takes any text without an error', () => {
    fc.assert(fc.property(fc.string({ maxLength: 2_000 }), (prefer) => void readPrefer({ prefer })))
  })

  test('a wait is lowered to half a minute, and said so', () => {
    expect(appliedWait({ respondAsync: false, waitMs: undefined })).toEqual({ waitMs: 0, applied: undefined })
    expect(appliedWait({ respondAsync: false, waitMs: 5_000 })).toEqual({ waitMs: 5_000, applied: 'wait=5' })
    expect(appliedWait({ respondAsync: false, waitMs: 1e9 })).toEqual({ waitMs: 30_000, applied: 'wait=30' })
  })
})

describe('readIdempotencyKey', () => {
  const read = (text: string | string[]): string | undefined =>
    readIdempotencyKey({ 'idempotency-key': text })

  test.each([
    ['"8e03978e-40d5-43e8-bc93-6894a57f9324"', '8e03978e-40d5-43e8-bc93-6894a57f9324'],
    ['8e03978e-40d5-43e8-bc93-6894a57f9324', '8e03978e-40d5-43e8-bc93-6894a57f9324'],
    ['dGhpcyBpcw==/+', 'dGhpcyBpcw==/+'],
    ['"with spaces, and a comma; and more"', 'with spaces, and a comma; and more'],
    ['"a \\"quote\\" and a \\\\"', 'a "quote" and a \\'],
    ['"key"; v=1; other="x"; flag', 'key'],
    [`"${'k'.repeat(255)}"`, 'k'.repeat(255)],
  ])('%s', (text, key) => expect(read(text)).toBe(key))

  test('is undefined where there is none', () => expect(readIdempotencyKey({})).toBeUndefined())

  test.each([
    [''],
    ['""'],
    ['"open'],
    ['open"'],
    ['"a" "b"'],
    ['"a", "b"'],
    ['a, b'],
    ['a b'],
    ['a\\b'],
    ['"a\\b"'],
    ['"käse"'],
    ['käse'],
    ['"a\tb"'],
    [`"${'k'.repeat(256)}"`],
    ['k'.repeat(256)],
    ['"a"; ;'],
  ])('refuses %j by its name', (text) => {
    const refused = refusalOf(() => read(text))
    expect(refused.status).toBe(400)
    expect(refused.details).toMatchObject({ field: 'Idempotency-Key', value: expect.any(String) })
    expect(refused.details.remedy).toContain('in quotes')
  })

  test('refuses two headers', () => {
    expect(() => read(['"a"', '"b"'])).toThrow(Refusal)
    expect(() => read(['a', 'b'])).toThrow(Refusal)
  })

  test('reads what is written as RFC 8941 says, and the same without quotes', () => {
    const key = printable(255).filter((text) => text.length > 0)
    fc.assert(fc.property(key, (text) => void expect(read(quoted(text))).toBe(text)))
    const bare = key.filter((text) => !/[ ",;\\]/.test(text))
    fc.assert(fc.property(bare, (text) => void expect(read(text)).toBe(read(quoted(text)))))
  })

  test('reads or refuses any text, and what it reads is printable', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 600 }), (text) => {
        try {
          expect(read(text)).toMatch(/^[ -~]{1,255}$/)
        } catch (thrown) {
          if (!(thrown instanceof Refusal)) throw thrown
        }
      }),
    )
  })

  function refusalOf(act: () => unknown): Refusal {
    try {
      act()
    } catch (thrown) {
      if (thrown instanceof Refusal) return thrown
      throw thrown
    }
    throw new Error('not refused')
  }
})

describe('readTraceContext', () => {
  const trace = '0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331'

  test.each([
    [`00-${trace}-01`, `00-${trace}-01`],
    [`00-${trace}-03`, `00-${trace}-03`],
    [`cc-${trace}-03-what-the-future-will-be-like`, `00-${trace}-01`],
    [`cc-${trace}-02`, `00-${trace}-00`],
  ])('carries %s on as %s', (traceparent, carried) => {
    expect(readTraceContext({ traceparent })).toEqual({ traceparent: carried })
  })

  test.each([
    [undefined],
    [''],
    [`ff-${trace}-01`],
    [`00-${trace.toUpperCase()}-01`],
    [`00-${trace}-01-more`],
    [`cc-${trace}-01.more`],
    [`00-${trace}-1`],
    [`00-${trace}-xy`],
    [`00-${'0'.repeat(32)}-b7ad6b7169203331-01`],
    [`00-0af7651916cd43dd8448eb211c80319c-${'0'.repeat(16)}-01`],
    [`00-${trace}-01, 00-${trace}-01`],
    [` 00-${trace}-01`],
  ])('ignores %j, and the state with it', (traceparent) => {
    expect(readTraceContext({ traceparent, tracestate: 'a=1' })).toEqual({})
  })

  test.each([
    ['rojo=00f067aa0ba902b7,congo=t61rcWkgMzE', 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE'],
    ['rojo=1 ,\t congo=2,', 'rojo=1,congo=2'],
    ['fw529a3039@dt=FfAAAAAs0;4;5', 'fw529a3039@dt=FfAAAAAs0;4;5'],
    ['a=1,a=2', undefined],
    ['A=1', undefined],
    ['a=b=c', undefined],
    ['a=', undefined],
    ['a', undefined],
    ['a=ü', undefined],
    ['', undefined],
    [Array.from({ length: 33 }, (_, index) => `k${index}=1`).join(','), undefined],
    [`a=${'1'.repeat(256)},b=${'2'.repeat(253)},c=3`, `a=${'1'.repeat(256)}`],
  ])('reads the state %j as %j', (tracestate, carried) => {
    const traceparent = `00-${trace}-01`
    const expected = carried === undefined ? { traceparent } : { traceparent, tracestate: carried }
    expect(readTraceContext({ traceparent, tracestate })).toEqual(expected)
  })

  test('takes any text, and what it carries on fits into an event', () => {
    const text = fc.oneof(
      fc.string({ maxLength: 700 }),
      fc.stringMatching(/^([a-z]{1,3}=[!-~]{0,99},){0,40}$/),
    )
    fc.assert(
      fc.property(text, (tracestate) => {
        const read = readTraceContext({ traceparent: `00-${trace}-01`, tracestate })
        if (read.tracestate !== undefined) expect(read.tracestate).toMatch(/^[!-~](?:[ -~]{0,510}[!-~])?$/)
      }),
    )
  })
})

describe('readEventHeaders', () => {
  test('takes what begins with ce-, in any case, and no empty value', () => {
    const raw = [
      'Host',
      'x',
      'CE-Id',
      '1',
      'ce-Source',
      '/a',
      'ce-subject',
      '',
      'ce-empty',
      '""',
      'Cache',
      'y',
    ]
    expect(readEventHeaders(raw)).toEqual(
      new Map([
        ['ce-id', '1'],
        ['ce-source', '/a'],
      ]),
    )
  })

  test('refuses an attribute that stands twice, and one that is no ASCII', () => {
    expect(() => readEventHeaders(['ce-id', '1', 'CE-ID', '1'])).toThrow(/once.*ce-id/)
    expect(() => readEventHeaders(['ce-subject', 'K\u00c3\u00a4se'])).toThrow(/ce-subject.*Percent-encode/)
  })

  test('what is written as the binding says is read as it was', () => {
    const name = fc.stringMatching(/^[a-z0-9]{1,20}$/)
    const value = fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => text.isWellFormed())
    fc.assert(
      fc.property(fc.dictionary(name, value), (attributes) => {
        const raw = Object.entries(attributes).flatMap(([key, text]) => [`ce-${key}`, encodeAttribute(text)])
        const read = [...readEventHeaders(raw)].map(([key, text]) => [key.slice(3), decodeAttribute(text)])
        expect(Object.fromEntries(read)).toEqual({ ...attributes })
      }),
    )
  })
})
