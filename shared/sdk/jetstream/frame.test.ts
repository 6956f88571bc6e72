import { describe, expect, it } from 'vitest'
import { encodeHeaderBlock } from '../contract/headers.ts'
import { readFrameHeaders, readStatus } from './frame.ts'
import { parseHeaderBlock } from './stored-message.ts'

/** Real ones are read in test/integration. */
function messageWith(headerBlock: Uint8Array): { readonly headerBlock: Uint8Array } {
  return { headerBlock }
}

describe('readFrameHeaders', () => {
  it('takes the first value of a name, in any case', () => {
    const block = encodeHeaderBlock([
      ['Ce-Id', '1'],
      ['ce-id', '2'],
      ['X-Empty', ''],
    ])
    const message = messageWith(block)
    expect(Object.fromEntries(readFrameHeaders(message))).toEqual({ 'ce-id': '1', 'x-empty': '' })
    expect(parseHeaderBlock(block)).toEqual(readFrameHeaders(message))
  })

  it('has no headers for a message without', () => {
    const none = messageWith(new Uint8Array())
    expect(readFrameHeaders(none).size).toBe(0)
    expect(readStatus(none)).toBeUndefined()
  })

  it('reads bytes that are no headers without throwing', () => {
    const block = Buffer.from('NATS/1.0\r\nbad name: 1\r\nx: a\nb\r\n\u00e9: 2\r\nnocolon\r\n\r\n')
    expect(Object.fromEntries(readFrameHeaders(messageWith(block)))).toEqual({
      'bad name': '1',
      x: 'a\nb',
      '\u00e9': '2',
    })
  })
})

describe('readStatus', () => {
  it('reads code and description of the first line', () => {
    const status = (line: string): unknown => readStatus(messageWith(Buffer.from(`${line}\r\n\r\n`)))
    expect(status('NATS/1.0 404 No Messages')).toEqual({ code: 404, description: 'No Messages' })
    expect(status('NATS/1.0 503')).toEqual({ code: 503, description: '' })
    expect(status('NATS/1.0')).toBeUndefined()
  })
})
