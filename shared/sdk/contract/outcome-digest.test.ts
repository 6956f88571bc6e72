import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeHeaderBlock, type HeaderEntry } from './headers.ts'
import { inputDigestStart, outcomeDigest, withoutBrokerLines, writtenDigest } from './outcome-digest.ts'
import { payloadDigest } from './token.ts'

const header = fc.tuple(
  fc.stringMatching(/^[A-Za-z][A-Za-z-]{0,11}$/).filter((name) => !/^nats-/i.test(name)),
  fc.stringMatching(/^[!-~ ]{0,12}$/),
)
const brokerLine = fc.tuple(
  fc.constantFrom('Nats-Expected-Stream', 'nats-msg-id', 'NATS-Sequence', 'Nats-'),
  fc.stringMatching(/^[!-~]{0,12}$/),
)
const body = fc.uint8Array({ maxLength: 64 })

describe('outcomeDigest', () => {
  it('is the CRC-32 of the header block and the body', () => {
    const block = encodeHeaderBlock([['Pelton-Outcome', 'prediction']])
    expect(outcomeDigest(block, Buffer.from('123'))).toBe(
      crc32(Buffer.from('NATS/1.0\r\nPelton-Outcome: prediction\r\n\r\n123')),
    )
  })

  it('says nothing of the lines of the broker, wherever they stand', () => {
    fc.assert(
      fc.property(fc.array(header), fc.array(fc.tuple(brokerLine, fc.nat(20))), body, (own, lines, bytes) => {
        const all: HeaderEntry[] = [...own]
        for (const [line, at] of lines) all.splice(Math.min(at, all.length), 0, line)
        const block = encodeHeaderBlock(own)
        expect(Buffer.from(withoutBrokerLines(encodeHeaderBlock(all)))).toEqual(Buffer.from(block))
        expect(outcomeDigest(encodeHeaderBlock(all), bytes)).toBe(outcomeDigest(block, bytes))
      }),
    )
  })

  it('is the same of a block that is written with broker lines first', () => {
    fc.assert(
      fc.property(fc.array(header), fc.array(brokerLine), body, (own, broker, bytes) => {
        const block = encodeHeaderBlock([...broker, ...own])
        const from = encodeHeaderBlock(broker).length - '\r\n'.length
        expect(writtenDigest(block, from, bytes)).toBe(outcomeDigest(encodeHeaderBlock(own), bytes))
      }),
    )
  })

  it('changes with any one byte of what it is made of', () => {
    fc.assert(
      fc.property(fc.array(header, { minLength: 1 }), body, fc.nat(), (own, bytes, at) => {
        const whole = Buffer.concat([encodeHeaderBlock(own), bytes])
        const headLength = whole.length - bytes.length
        const edited = Buffer.from(whole)
        const index = at % whole.length
        edited[index] = whole.readUInt8(index) ^ 1
        expect(outcomeDigest(edited.subarray(0, headLength), edited.subarray(headLength))).not.toBe(
          outcomeDigest(whole.subarray(0, headLength), bytes),
        )
      }),
    )
  })

  it('takes no header block for an empty one', () => {
    expect(outcomeDigest(new Uint8Array(), Buffer.from('123'))).toBe(crc32(Buffer.from('123')))
  })
})

describe('withoutBrokerLines', () => {
  it('is the block itself where nothing is to be cut', () => {
    const block = encodeHeaderBlock([['Natsu', 'summer']])
    expect(withoutBrokerLines(block)).toBe(block)
  })

  it('cuts a last line that does not end', () => {
    const cut = withoutBrokerLines(Buffer.from('NATS/1.0\r\na: b\r\nNats-Ttl: 5'))
    expect(Buffer.from(cut).toString()).toBe('NATS/1.0\r\na: b\r\n')
  })
})

describe('inputDigestStart', () => {
  it('is what the input digest begins with', () => {
    const digest = payloadDigest(Buffer.from('rows'))
    const start = Buffer.alloc(4)
    start.writeUInt32BE(inputDigestStart(digest) as number)
    expect(start.toString('hex')).toBe(Buffer.from(digest, 'base64url').subarray(0, 4).toString('hex'))
  })

  it.each([undefined, '', 'short', 'a'.repeat(40)])('is nothing for %s', (text) =>
    expect(inputDigestStart(text)).toBeUndefined(),
  )
})
