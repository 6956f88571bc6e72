import { headers as createHeaders, type Msg } from '@nats-io/transport-node'
import { describe, expect, it } from 'vitest'
import { encodeHeaderBlock } from '../contract/headers.ts'
import { parseHeaderBlock, readMessageHeaders } from './stored-message.ts'

describe('readMessageHeaders', () => {
  it('reads what parseHeaderBlock reads of the same headers', () => {
    const block = createHeaders()
    block.append('Ce-Id', '1')
    block.append('ce-id', '2')
    block.append('X-Many', 'a')
    block.append('X-Many', 'b')
    block.append('X-Empty', '')
    const read = readMessageHeaders({ headers: block } as Msg)
    expect(Object.fromEntries(read)).toEqual({ 'ce-id': '1', 'x-many': 'a', 'x-empty': '' })
    const raw = encodeHeaderBlock(
      [...block].flatMap(([name, values]) => values.map((value) => [name, value] as const)),
    )
    expect(parseHeaderBlock(raw)).toEqual(read)
  })

  it('has no headers for a message without', () => expect(readMessageHeaders({} as Msg).size).toBe(0))
})

describe('parseHeaderBlock', () => {
  it('keeps colons in values, drops the space around them, and reads UTF-8', () => {
    const block = Buffer.from('NATS/1.0\r\nTime:  10:00 \r\nname:né\r\n\r\n')
    expect(Object.fromEntries(parseHeaderBlock(block))).toEqual({ time: '10:00', name: 'né' })
  })

  it('survives bytes that are not UTF-8, and a block cut short', () => {
    expect(parseHeaderBlock(Buffer.from([0xff, 0x0d, 0x0a, 0x61, 0x3a, 0xff])).get('a')).toBe('\ufffd')
  })
})
