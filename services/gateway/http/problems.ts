import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { PROBLEM_TYPE, type Problem, problemOfThrown, problemType } from '../../../shared/runtime/http.ts'
import { ERRORS, type ErrorDetails, PeltonError } from '../../../shared/sdk/errors.ts'
import { Refusal } from '../core/refusal.ts'
import { rateLimitHeaders, retryAfterSeconds } from './retry-after.ts'

/** KServe's client shows the text of an error under no other type, and none with a parameter. */
const PLAIN_TYPE = 'application/json'
/** When to come back to what will pass, seconds, where nobody computed it. */
const SOON_S = 1

/** Answers what was thrown. */
export type RenderError = (thrown: unknown, request: FastifyRequest, reply: FastifyReply) => FastifyReply

/**
 * Answers whatever a request ends with that is no answer: a PeltonError with the status of its code, a {@link Refusal}
 * with its own, what Fastify refuses as 4xx, and anything else as `internal`, whose text only the log has.
 *
 * @param explain makes a PeltonError of what the service knows to be no defect
 */
export function createErrorRenderer(
  log: Logger,
  explain: (thrown: unknown) => unknown = (thrown) => thrown,
): RenderError {
  return (thrown, request, reply) => {
    const known = explain(thrown)
    if (known instanceof Refusal) return sendRefusal(reply, known)
    if (known instanceof PeltonError && isPassing(known)) reply.header('retry-after', String(SOON_S))
    return sendTyped(reply, problemOfThrown(known, request, log))
  }
}

function isPassing({ code }: PeltonError): boolean {
  return ERRORS[code].status === 503 && ERRORS[code].retryable
}

function sendRefusal(reply: FastifyReply, refusal: Refusal): FastifyReply {
  reply.headers(headersOf(refusal))
  if (refusal.details.closes === true) reply.header('connection', 'close')
  return sendTyped(reply, problemOfRefusal(refusal))
}

/** Written field by field: under overload there is one for each request. */
type Written<Fields> = { -readonly [Field in keyof Fields]: Fields[Field] }

/** The headers a refusal asks for. */
function headersOf({ details }: Refusal): Record<string, string> {
  const { retryAfterMs, retryAfterSeconds: given, rateLimit } = details
  const headers: Record<string, string> = { ...details.headers }
  if (rateLimit !== undefined) Object.assign(headers, rateLimitHeaders(rateLimit))
  if (retryAfterMs !== undefined)
    headers['retry-after'] = String(retryAfterSeconds(retryAfterMs, Math.random()))
  else if (given !== undefined) headers['retry-after'] = String(Math.max(1, Math.ceil(given)))
  return headers
}

/** A refusal as it is answered. `error` says all that the members say: some clients show nothing else. */
function problemOfRefusal({ status, title, message, details }: Refusal): Problem {
  const { code, field, value, remedy, retryAfterMs } = details
  const problem: Written<Problem> = {
    type: code === undefined ? 'about:blank' : problemType(code),
    title,
    status,
    detail: message,
    error: sentence(message, details),
  }
  if (code !== undefined) problem.code = code
  if (field !== undefined) problem.field = field
  if (value !== undefined) problem.value = value
  if (remedy !== undefined) problem.remedy = remedy
  if (retryAfterMs !== undefined) problem.retryAfterMs = retryAfterMs
  return problem
}

function sentence(message: string, { field, value, remedy }: ErrorDetails): string {
  const about = field === undefined ? '' : ` (${field}${value === undefined ? '' : ` = ${value}`})`
  return `${message}${about}${remedy === undefined ? '' : `. ${remedy}`}`
}

/** Before there is a route: nothing of Fastify is asked. @param closes whether the connection ends with it */
export function answerRefusal(
  request: IncomingMessage,
  response: ServerResponse,
  refusal: Refusal,
  closes: boolean,
): void {
  // As text it goes out with its head, in one piece.
  const body = textOf(problemOfRefusal(refusal), nextRequestId())
  const headers: Record<string, string | number> = headersOf(refusal)
  headers['content-type'] = typeFor(request.url ?? '', request.headers.accept)
  headers['cache-control'] = 'no-store'
  headers['content-length'] = Buffer.byteLength(body)
  if (closes) headers.connection = 'close'
  response.writeHead(refusal.status, headers).end(body)
}

/** Answers with a problem, of the type that its reader expects. */
export function sendTyped(reply: FastifyReply, problem: Problem): FastifyReply {
  const { request } = reply
  return (
    reply
      .code(problem.status)
      .header('content-type', typeFor(request.url, request.headers.accept))
      .header('cache-control', 'no-store')
      // Of a text Fastify would name the charset.
      .send(bodyOf(problem, request.id))
  )
}

/** Answers that there is no such path, or not with this method: with a code, as everything else does. */
export function sendUnknown(reply: FastifyReply, problem: Problem): FastifyReply {
  const why =
    problem.status === 405
      ? { code: 'method-not-allowed', field: 'method', remedy: METHOD_REMEDY }
      : { code: 'not-found', field: 'path', remedy: PATH_REMEDY }
  return sendTyped(reply, { ...problem, ...why })
}

/** What to do about a method that a path does not take. */
export const METHOD_REMEDY = 'Send one of those that Allow names.'
/** What to do about a path that there is not. */
export const PATH_REMEDY =
  'GET /v2/models lists the models, GET /v2 what there is of the Open Inference Protocol.'

/** A problem as bytes. */
export function bodyOf(problem: Problem, requestId: string): Buffer {
  return Buffer.from(textOf(problem, requestId))
}

function textOf(problem: Problem, requestId: string): string {
  return `{"instance":"urn:uuid:${requestId}",${JSON.stringify(problem).slice(1)}`
}

/** Below `/v2` problems are plain JSON, unless `Accept` names their own type; everywhere else they have that. */
export function typeFor(target: string, accept: string | undefined): string {
  return isInferenceTarget(target) && !asksForProblems(accept) ? PLAIN_TYPE : PROBLEM_TYPE
}

function isInferenceTarget(target: string): boolean {
  return target.startsWith('/v2') && (target.length === 3 || target[3] === '/' || target[3] === '?')
}

function asksForProblems(accept: string | undefined): boolean {
  if (accept === undefined || !/problem\+json/i.test(accept)) return false
  return accept
    .toLowerCase()
    .split(',')
    .some((range) => /^\s*application\/problem\+json\s*(?:;(?!.*\bq=0(?:\.0*)?\s*(?:;|$)).*)?$/.test(range))
}

/** Unknown ahead, and of this process alone; what follows is counted. Of the form of a UUID, at a fiftieth of its cost. */
const FIXED = ((hex: string) =>
  `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-`)(
  randomBytes(10).toString('hex'),
)
let count = 0

/** An id for a request: in the log line of a defect, and in its answer. */
export function nextRequestId(): string {
  count += 1
  return `${FIXED}${count.toString(16).padStart(12, '0')}`
}
