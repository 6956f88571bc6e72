import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'
import { PeltonError, showValue } from '../../../shared/sdk/errors.ts'

/** How long a browser need not ask again, seconds. */
const PREFLIGHT_S = '600'
/** What a page may see of an answer beside its body. */
const EXPOSED =
  'Inference-Header-Content-Length, Location, Preference-Applied, Retry-After, RateLimit, RateLimit-Policy, Idempotency-Key, Allow, Content-Encoding'
/** Names of headers, and commas between them. */
const NAMES = /^[\w!#$%&'*+.^`|~, -]{1,1024}$/

/**
 * Origins that pages may call from: each whole, none by a pattern. Keys go in a header that a page sets itself, so
 * credentials of the browser are never asked for.
 *
 * @throws PeltonError `invalid-configuration` for what is no origin
 */
export function readOrigins(origins: readonly string[]): ReadonlySet<string> {
  for (const origin of origins) if (!isOrigin(origin)) throw noOrigin(origin)
  return new Set(origins)
}

function isOrigin(text: string): boolean {
  return (
    !text.includes('*') &&
    URL.canParse(text) &&
    /^https?:$/.test(new URL(text).protocol) &&
    new URL(text).origin === text
  )
}

function noOrigin(origin: string): PeltonError {
  return new PeltonError('invalid-configuration', 'this is no origin', {
    field: 'PELTON_GATEWAY_CORS_ORIGINS',
    value: showValue(origin),
    remedy: 'Give each as a browser sends it, `https://pages.example`: no path, no pattern.',
  })
}

/** Answers what a browser asks before a request of an allowed origin. Whether it was that. */
export function answerPreflight(
  { method, headers }: IncomingMessage,
  response: ServerResponse,
  origins: ReadonlySet<string>,
): boolean {
  const wanted = headers['access-control-request-method']
  if (method !== 'OPTIONS' || wanted === undefined) return false
  if (headers.origin === undefined || !origins.has(headers.origin)) return false
  const asked = headers['access-control-request-headers']
  response.writeHead(204, {
    'access-control-allow-origin': headers.origin,
    'access-control-allow-methods': 'GET, POST',
    ...(asked !== undefined && NAMES.test(asked) && { 'access-control-allow-headers': asked }),
    'access-control-max-age': PREFLIGHT_S,
    vary: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
  })
  response.end()
  return true
}

/** Lets a page of an allowed origin see an answer. */
export function allowOrigin(reply: FastifyReply, origins: ReadonlySet<string>): void {
  addVary(reply, 'Origin')
  const { origin } = reply.request.headers
  if (origin === undefined || !origins.has(origin)) return
  reply.header('access-control-allow-origin', origin)
  reply.header('access-control-expose-headers', EXPOSED)
}

/** Says that an answer is another where a header of its request is another. */
export function addVary(reply: FastifyReply, name: string): void {
  const there = reply.getHeader('vary')
  reply.header('vary', there === undefined ? name : `${String(there)}, ${name}`)
}
