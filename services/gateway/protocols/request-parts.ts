import type { FastifyRequest } from 'fastify'
import type { Caller } from '../core/request.ts'
import type { ProtocolParts } from './protocol.ts'

const NOTHING = new Uint8Array(0)

/** The body of a request; no bytes where it has none. */
export function bytesOf({ body }: Pick<FastifyRequest, 'body'>): Uint8Array {
  return body instanceof Uint8Array ? body : NOTHING
}

/** The name of a model that is served, so that figures have no names that callers made up. */
export function servedName(parts: ProtocolParts, { pool }: Caller, model: string): string | undefined {
  try {
    return parts.core().models.find(pool, model) === undefined ? undefined : model
  } catch {
    return undefined // there is no connection yet
  }
}
