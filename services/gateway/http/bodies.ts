import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { notLetIn } from '../core/not-let-in.ts'
import { Refusal } from '../core/refusal.ts'
import type { Connections } from './connections.ts'
import { decompress, type Encoding, encodingOf, tooLarge } from './encodings.ts'
import type { ListenerLimits } from './limits.ts'
import { Queue } from './queue.ts'

/** Bodies that are decompressed at the same time: a few for each thread that does it. */
const UNPACKED_AT_ONCE = 32

/** How soon there may be room again, milliseconds. */
const NO_ROOM_MS = 500

/** What is told of a body that was read, or why it was not. */
type Done = (error: Error | null, body?: Buffer) => void

interface Reading {
  readonly request: IncomingMessage
  readonly limits: ListenerLimits
  readonly connections: Connections
  /** What is decompressed is held by nobody until it is whole. */
  readonly unpacking: Queue
}

/**
 * Bodies of any type, and of none, reach routes as bytes: read whole, decompressed, and never beyond the limits.
 * Whoever waits to be told to go on (`Expect: 100-continue`) is told so once its request is to be read.
 */
export function takeBodies(app: FastifyInstance, limits: ListenerLimits, connections: Connections): void {
  const unpacking = new Queue(UNPACKED_AT_ONCE)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (request, payload, done) => {
    const kept = connections.keptBody(payload)
    if (kept !== undefined) done(kept.error, kept.body)
    // There is no route: nobody wants the body.
    else if (request.is404) done(null)
    else takeBody({ request: payload, limits, connections, unpacking }, done)
  })
}

function takeBody(reading: Reading, done: Done): void {
  const { request, limits, connections } = reading
  const { headers } = request
  let encoding: Encoding | undefined
  try {
    encoding = encodingOf(headers['content-encoding'])
    refuseDeclared(headers['content-length'], encoding, limits)
  } catch (error) {
    done(error as Error)
    return
  }
  connections.goOn(request)
  readBody(reading, mostOf(encoding, limits), encoding, (error, body) => {
    if (error !== null || body === undefined || encoding === undefined) done(error, body)
    else unpack(reading, body, encoding, done)
  })
}

function mostOf(encoding: Encoding | undefined, { bodyBytes, compressedBytes }: ListenerLimits): number {
  return encoding === undefined ? bodyBytes : compressedBytes
}

function refuseDeclared(
  length: string | undefined,
  encoding: Encoding | undefined,
  limits: ListenerLimits,
): void {
  const most = mostOf(encoding, limits)
  if (Number(length ?? 0) > most) throw tooLarge(most, encoding === undefined ? 'sent' : 'compressed')
}

function unpack(reading: Reading, body: Buffer, encoding: Encoding, done: Done): void {
  const { request, limits, connections, unpacking } = reading
  unpacking
    .run(() => decompress(body, encoding, limits.bodyBytes))
    .then((bytes) => {
      if (connections.hold(request, bytes.length)) done(null, bytes)
      else done(noRoom(reading))
    }, done)
}

/** Reads a body whole, as it is sent. It takes twice the memory of what came at most, whatever was announced, and in however many pieces. */
export function readBody(
  reading: Omit<Reading, 'unpacking'>,
  mostBytes: number,
  encoding: Encoding | undefined,
  done: Done,
): void {
  const { request, limits, connections } = reading
  // Let go once it is told: a request lives as long as its connection brings no other, and so do its listeners.
  let body: GrowingBytes | undefined = new GrowingBytes()
  let tell: Done | undefined = done
  let pieces = 0
  const end = (error: Error | null): void => {
    const [read, told] = [body, tell]
    body = undefined
    tell = undefined
    // What comes now is thrown away.
    if (error !== null) request.resume()
    told?.(error, error === null ? read?.bytes : undefined)
  }
  const take = (piece: Buffer): void => {
    if (body === undefined) return
    pieces += 1
    if (body.length + piece.length > mostBytes)
      end(tooLarge(mostBytes, encoding === undefined ? 'sent' : 'compressed'))
    else if (pieces > limits.bodyPieces) end(tooManyPieces(limits.bodyPieces))
    else if (!connections.hold(request, piece.length)) end(noRoom(reading))
    else body.add(piece)
  }
  const ended = (): void => end(null)
  const failed = (): void => {
    // Every request is closed in the end.
    if (body !== undefined) end(new Refusal(400, 'body not whole', 'the connection ended within the body'))
  }
  request.on('data', take).on('end', ended).on('error', failed).on('close', failed)
}

/** Bytes that come in pieces: the first is kept as it is, and mostly is all. */
class GrowingBytes {
  length = 0
  #bytes: Buffer = Buffer.alloc(0)

  add(piece: Buffer): void {
    if (this.length === 0) this.#bytes = piece
    else {
      const needed = this.length + piece.length
      if (needed > this.#bytes.length) this.#grow(Math.max(needed, 2 * this.#bytes.length))
      this.#bytes.set(piece, this.length)
    }
    this.length += piece.length
  }

  #grow(size: number): void {
    const bytes = Buffer.allocUnsafeSlow(size)
    bytes.set(this.#bytes.subarray(0, this.length))
    this.#bytes = bytes
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.length)
  }
}

function tooManyPieces(most: number): Refusal {
  return new Refusal(413, 'body in too many pieces', `a body comes in ${most} pieces at most`, {
    code: 'too-many-pieces',
    remedy: 'Send it with its length, or in larger chunks.',
  })
}

function noRoom({ limits, connections }: Pick<Reading, 'limits' | 'connections'>): Refusal {
  return notLetIn({
    limit: 'maxInFlightBytes',
    ...{ value: limits.heldBytes, measured: connections.heldBytes, unit: 'bytes', isOfSource: false },
    retryAfterMs: NO_ROOM_MS,
    because:
      'the requests that wait for their answers fill the memory for bodies: another gateway may have room',
  })
}
