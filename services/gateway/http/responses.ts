import type { FastifyReply } from 'fastify'
import { addVary } from './cors.ts'
import { acceptedEncoding, compress, type Encoding } from './encodings.ts'

/** Below it a packet is a packet, bytes. */
const LEAST_BYTES = 1_024
/** Answers that are compressed at the same time: each takes a quarter of a MiB. The others are sent as they are. */
const MOST_AT_ONCE = 64

/** Compresses answers as their readers like it. One for each listener. */
export class Compressor {
  #running = 0

  /** How an answer is to be compressed, if at all; says in `Vary` that it might be. */
  encodingFor(reply: FastifyReply, payload: unknown): Encoding | undefined {
    if (typeof payload !== 'string' && !Buffer.isBuffer(payload)) return undefined
    if (payload.length < LEAST_BYTES || reply.hasHeader('content-encoding')) return undefined
    addVary(reply, 'Accept-Encoding')
    if (this.#running >= MOST_AT_ONCE || reply.request.method === 'HEAD') return undefined
    return acceptedEncoding(reply.request.headers['accept-encoding'])
  }

  /** The payload as it is sent. */
  async pack(reply: FastifyReply, payload: string | Buffer, encoding: Encoding): Promise<string | Buffer> {
    this.#running += 1
    try {
      const packed = await compress(payload, encoding)
      if (packed.length >= payload.length) return payload
      reply.header('content-encoding', encoding).removeHeader('content-length')
      return packed
    } finally {
      this.#running -= 1
    }
  }
}
