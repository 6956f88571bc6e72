import { constants, deflate, gunzip, gzip, inflate, inflateRaw } from 'node:zlib'
import { PeltonError, showValue } from '../../../shared/sdk/errors.ts'
import { Refusal } from '../core/refusal.ts'

/** Encodings of bodies, either way. */
export type Encoding = 'gzip' | 'deflate'

/** What is read and written, for `Accept-Encoding`. */
const OFFERED = 'gzip, deflate'

/**
 * How a body is encoded: undefined where it is not.
 *
 * @throws Refusal 415 for another encoding, or for several
 */
export function encodingOf(header: string | undefined): Encoding | undefined {
  switch (header?.trim().toLowerCase()) {
    case undefined:
    case '':
    case 'identity':
      return undefined
    case 'gzip':
    case 'x-gzip':
      return 'gzip'
    case 'deflate':
      return 'deflate'
    default:
      throw new Refusal(415, 'encoding not offered', `bodies are read with one of ${OFFERED}, or with none`, {
        code: 'unsupported-encoding',
        field: 'Content-Encoding',
        value: showValue(header),
        remedy: 'Encode the body once, or send it as it is.',
        headers: { 'accept-encoding': OFFERED },
      })
  }
}

/**
 * Decompresses a body, and stops where it would be larger than `mostBytes`: how small it was sent does not matter. What
 * calls itself `deflate` is read with and without the frame of zlib: there are clients of both kinds.
 *
 * @throws PeltonError `too-large`, `malformed`
 */
export function decompress(body: Buffer, encoding: Encoding, mostBytes: number): Promise<Buffer> {
  const unpack = encoding === 'gzip' ? gunzip : isFramed(body) ? inflate : inflateRaw
  return new Promise((resolve, reject) => {
    unpack(body, { maxOutputLength: mostBytes, chunkSize: 64 * 1024 }, (error, bytes) => {
      if (error === null) resolve(bytes)
      else reject(unpackError(error, encoding, mostBytes))
    })
  })
}

/** RFC 1950: the method is 8, and the first two bytes are divisible by 31. */
function isFramed(body: Buffer): boolean {
  return body.length >= 2 && ((body[0] ?? 0) & 0x0f) === 8 && body.readUInt16BE(0) % 31 === 0
}

function unpackError(error: NodeJS.ErrnoException, encoding: Encoding, mostBytes: number): PeltonError {
  if (error.code === 'ERR_BUFFER_TOO_LARGE') return tooLarge(mostBytes, 'decompressed')
  return new PeltonError(
    'malformed',
    `the body is no ${encoding}`,
    { field: 'Content-Encoding', value: encoding, remedy: 'Send all of it, or send it without an encoding.' },
    error,
  )
}

/** @param state how its size was counted: `sent`, `decompressed` */
export function tooLarge(mostBytes: number, state: 'sent' | 'compressed' | 'decompressed'): PeltonError {
  const how = state === 'sent' ? '' : ` ${state}`
  return new PeltonError('too-large', `the body is larger than ${mostBytes} bytes${how}`, {
    remedy: 'Send fewer rows at once, or raise the limit of the gateway and of the broker.',
  })
}

/** The encoding that a client likes best of those offered; undefined where it likes it better as it is. */
export function acceptedEncoding(header: string | undefined): Encoding | undefined {
  if (header === undefined || header === '') return undefined
  const weights = weightsOf(header)
  const weightOf = (name: string): number => weights.get(name) ?? weights.get('*') ?? 0
  const gzipWeight = Math.max(weightOf('gzip'), weights.get('x-gzip') ?? 0)
  const deflateWeight = weightOf('deflate')
  const best = Math.max(gzipWeight, deflateWeight)
  if (best === 0 || (weights.get('identity') ?? 0) > best) return undefined
  return gzipWeight >= deflateWeight ? 'gzip' : 'deflate'
}

function weightsOf(header: string): ReadonlyMap<string, number> {
  const weights = new Map<string, number>()
  for (const each of header.toLowerCase().split(',')) {
    const [name = '', ...parameters] = each.split(';')
    const weight = parameters
      .map((text) => /^\s*q\s*=\s*(.*?)\s*$/.exec(text)?.[1])
      .find((text) => text !== undefined)
    weights.set(name.trim(), weight === undefined ? 1 : qualityOf(weight))
  }
  return weights
}

/** What is no quality is none. */
function qualityOf(text: string): number {
  return /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(text) ? Number(text) : 0
}

/** Fast rather than small: answers are numbers, and the loop's threads serve models too. */
const LEVEL = constants.Z_BEST_SPEED

/** Compresses off the loop. */
export function compress(body: string | Buffer, encoding: Encoding): Promise<Buffer> {
  const pack = encoding === 'gzip' ? gzip : deflate
  return new Promise((resolve, reject) => {
    pack(body, { level: LEVEL }, (error, bytes) => {
      if (error === null) resolve(bytes)
      else reject(error)
    })
  })
}
