import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { GatewayCore } from '../core/core.ts'
import type { Figures } from '../core/figures.ts'
import type { Caller } from '../core/request.ts'

/** What a protocol works with. */
export interface ProtocolParts {
  /** @throws PeltonError `broker-unavailable` while there is no connection */
  core(): GatewayCore
  /** Who sent a request: known from its first hook on. */
  callerOf(request: FastifyRequest): Caller
  readonly figures: Figures
  /** How long a caller waits that says nothing of it, milliseconds. */
  readonly defaultTimeoutMs: number
  /** Whether requests are taken: the broker is reached and the service does not end. */
  isReady(): boolean
  /** Why not, for people. */
  reasons(): readonly string[]
}

/** Adds the routes of a protocol. Bodies reach them as bytes, decompressed and bounded. */
export type Protocol = (app: FastifyInstance, parts: ProtocolParts) => void
