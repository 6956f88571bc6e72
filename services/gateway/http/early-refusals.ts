import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { RefusalAnswer } from '../core/refusal.ts'
import { readBody } from './bodies.ts'
import type { Connections } from './connections.ts'
import type { ListenerLimits } from './limits.ts'
import { answerRefusal } from './problems.ts'

/** Why a request is refused whose body is this; undefined where it is not, and goes on to its route. */
export type EarlyLook = (body: Uint8Array) => RefusalAnswer | undefined
/** Looks at the head of a request. @returns undefined for one that goes on to its route */
export type EarlyGate = (request: IncomingMessage) => EarlyLook | undefined

/** Of a longer body somebody may be spared more than the framework costs. */
const MOST_BYTES = 16 * 1024

interface EarlyParts {
  /** Undefined while nothing is refused early. */
  readonly gate: () => EarlyGate | undefined
  readonly limits: ListenerLimits
  readonly connections: Connections
  readonly handle: RequestListener
}

/**
 * Refuses requests before they have a route: under overload most of what comes is refused, and what the framework costs would be
 * most of what a refusal costs. The body is read whole, so that the connection stays; of a request that goes on it is kept.
 *
 * @returns whether a request was taken: it is answered, or handed on later, unless its caller leaves first
 */
export function takeEarly({ gate, limits, connections, handle }: EarlyParts) {
  return (request: IncomingMessage, response: ServerResponse): boolean => {
    const look = isPlain(request) ? gate()?.(request) : undefined
    if (look === undefined) return false
    readBody({ request, limits, connections }, limits.bodyBytes, undefined, (error, body) => {
      // Its caller has left: there is nobody to be answered, and no end that its route would hear of.
      if (response.closed) return
      const refusal = error === null && body !== undefined ? look(body) : undefined
      if (refusal !== undefined)
        return answerRefusal(request, response, refusal, connections.isLastAnswer(request))
      connections.keepBody(request, { error, body })
      handle(request, response)
    })
    return true
  }
}

/** A small body of known length, as it is, of no page in a browser: all others go on. */
function isPlain({ method, headers }: IncomingMessage): boolean {
  const { 'content-length': length, origin, expect } = headers
  if (method !== 'POST' || length === undefined || Number(length) > MOST_BYTES) return false
  return origin === undefined && expect === undefined && headers['content-encoding'] === undefined
}
