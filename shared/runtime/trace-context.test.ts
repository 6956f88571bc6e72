import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readTraceparent, sampledContext, writeTraceparent } from './trace-context.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const SPAN = 'b7ad6b7169203331'

describe('readTraceparent', () => {
  it('reads what the recommendation shows', () => {
    expect(readTraceparent(`00-${TRACE}-${SPAN}-01`)).toEqual({
      traceId: TRACE,
      spanId: SPAN,
      traceFlags: 1,
      isRemote: true,
    })
  })

  it('reads a later version, and keeps only the flag it knows', () => {
    expect(readTraceparent(`cc-${TRACE}-${SPAN}-0b-what-comes`)).toMatchObject({ traceFlags: 1 })
    expect(readTraceparent(`00-${TRACE}-${SPAN}-fe`)).toMatchObject({ traceFlags: 0 })
  })

  it.each([
    undefined,
    '',
    `ff-${TRACE}-${SPAN}-01`,
    `00-${'0'.repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}`,
    `00-${TRACE}-${SPAN}-0`,
    `00-${TRACE}-${SPAN}-011`,
  ])('reads nothing in %j', (text) => expect(readTraceparent(text)).toBeUndefined())

  it('never throws, whatever a producer sends', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (text, state) => {
        readTraceparent(text, state)
      }),
    )
  })

  it('reads what was written', () => {
    const hex = (length: number) =>
      fc
        .uint8Array({ minLength: length, maxLength: length })
        .map((bytes) => Buffer.from(bytes).toString('hex'))
    fc.assert(
      fc.property(hex(16), hex(8), fc.constantFrom(0, 1), (traceId, spanId, traceFlags) => {
        fc.pre(/[1-9a-f]/.test(traceId) && /[1-9a-f]/.test(spanId))
        const place = { traceId, spanId, traceFlags, isRemote: true }
        expect(readTraceparent(writeTraceparent(place))).toEqual(place)
      }),
    )
  })
})

describe('sampledContext', () => {
  it('knows a sampled sender, with its state, and no other', () => {
    const headers = (flags: string) =>
      new Map([
        ['traceparent', `00-${TRACE}-${SPAN}-${flags}`],
        ['tracestate', 'vendor=1'],
      ])
    expect(sampledContext(headers('01'))?.traceState?.get('vendor')).toBe('1')
    expect(sampledContext(headers('00'))).toBeUndefined()
    expect(sampledContext(new Map())).toBeUndefined()
  })
})
