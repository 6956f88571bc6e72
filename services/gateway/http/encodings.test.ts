import { deflateRawSync, deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { acceptedEncoding, compress, decompress, encodingOf } from './encodings.ts'

describe('the encoding of a body', () => {
  test.each([
    [undefined, undefined],
    ['', undefined],
    [' Identity ', undefined],
    ['gzip', 'gzip'],
    ['X-GZIP', 'gzip'],
    ['deflate', 'deflate'],
  ])('%s: %s', (header, encoding) => {
    expect(encodingOf(header)).toBe(encoding)
  })

  test.each(['br', 'zstd', 'gzip, gzip', 'deflate, gzip', 'gzip;q=1', ','])(
    '%s is refused with what is read instead',
    (header) => {
      expect(() => encodingOf(header)).toThrow(
        expect.objectContaining({
          status: 415,
          details: expect.objectContaining({ headers: { 'accept-encoding': 'gzip, deflate' } }),
        }),
      )
    },
  )
})

describe('decompressing', () => {
  const body = Buffer.from(JSON.stringify({ inputs: Array.from({ length: 5_000 }, (_, index) => index) }))

  test.each([
    ['gzip', gzipSync(body)],
    ['gzip', Buffer.concat([gzipSync(body.subarray(0, 9)), gzipSync(body.subarray(9))])],
    ['deflate', deflateSync(body)],
    ['deflate', deflateRawSync(body)],
  ] as const)('%s', async (encoding, packed) => {
    expect(await decompress(packed, encoding, body.length)).toEqual(body)
  })

  test.each([
    ['gzip', gzipSync(body)],
    ['deflate', deflateSync(body)],
  ] as const)('%s that would be larger than it may be is stopped', async (encoding, packed) => {
    await expect(decompress(packed, encoding, body.length - 1)).rejects.toMatchObject({ code: 'too-large' })
  })

  test.each([
    ['gzip', body],
    ['gzip', gzipSync(body).subarray(0, -9)],
    ['gzip', Buffer.alloc(0)],
    ['deflate', body],
    ['deflate', deflateSync(body).subarray(0, -9)],
    ['deflate', Buffer.alloc(0)],
  ] as const)('%s that is none, or not all of it, is malformed', async (encoding, packed) => {
    await expect(decompress(packed, encoding, 1024 ** 2)).rejects.toMatchObject({ code: 'malformed' })
  })
})

describe('the encoding of an answer', () => {
  test.each([
    [undefined, undefined],
    ['', undefined],
    ['gzip', 'gzip'],
    ['deflate', 'deflate'],
    ['gzip, deflate, br', 'gzip'],
    ['deflate, gzip;q=0.5', 'deflate'],
    ['gzip;q=0, deflate;q=0.1', 'deflate'],
    ['br, zstd', undefined],
    ['*', 'gzip'],
    ['*;q=0.1, gzip;q=0', 'deflate'],
    ['gzip;q=0.5, identity', undefined],
    ['identity;q=0.5, gzip', 'gzip'],
    ['identity', undefined],
    ['GZIP ; Q = 1', 'gzip'],
    ['gzip;q=7', undefined],
    ['x-gzip', 'gzip'],
    [';;;,,q=,', undefined],
  ])('%s: %s', (header, encoding) => {
    expect(acceptedEncoding(header)).toBe(encoding)
  })

  test('is what it says', async () => {
    const text = 'a'.repeat(5_000)
    expect(gunzipSync(await compress(text, 'gzip')).toString()).toBe(text)
    expect(inflateSync(await compress(Buffer.from(text), 'deflate')).toString()).toBe(text)
  })
})
