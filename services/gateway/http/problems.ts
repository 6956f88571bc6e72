import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { PROBLEM_TYPE, type Problem, problemOfThrown, problemType } from '../../../shared/runtime/http.ts'
import { ERRORS, PeltonError } from '../../../shared/sdk/errors.ts'
import { Refusal, type RefusalAnswer } from '../core/refusal.ts'
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
  return sendText(reply, refusal.status, refusalText(refusal, reply.request.id))
}

/** The headers a refusal asks for. */
function headersOf({ details }: RefusalAnswer): Record<string, string> {
  const { retryAfterMs, retryAfterSeconds: given, rateLimit } = details
  const headers: Record<string, string> = { ...details.headers }
  if (rateLimit !== undefined) Object.assign(headers, rateLimitHeaders(rateLimit))
  if (retryAfterMs !== undefined)
    headers['retry-after'] = String(retryAfterSeconds(retryAfterMs, Math.random()))
  else if (given !== undefined) headers['retry-after'] = String(Math.max(1, Math.ceil(given)))
  return headers
}

/**
 * A refusal as it is answered. `error` says all that the members say: some clients show nothing else. Written member by member:
 * under overload there is one for each request, and `JSON.stringify` takes a tenth of what such a one costs.
 */
export function refusalText({ status, title, message, details }: RefusalAnswer, requestId: string): string {
  const { retryAfterMs } = details
  const detail = jsonOf(message)
  const code = details.code === undefined ? undefined : jsonOf(details.code)
  const type = code === undefined ? 'about:blank' : problemType(code)
  const field = details.field === undefined ? undefined : jsonOf(details.field)
  const value = details.value === undefined ? undefined : jsonOf(details.value)
  const remedy = details.remedy === undefined ? undefined : jsonOf(details.remedy)
  const about = `"type":"${type}","title":"${jsonOf(title)}","status":${status},"detail":"${detail}"`
  const members = `${member('code', code)}${member('field', field)}${member('value', value)}${member('remedy', remedy)}`
  const later = retryAfterMs === undefined ? '' : `,"retryAfterMs":${retryAfterMs}`
  const error = sentence(detail, { field, value, remedy })
  return `{"instance":"urn:uuid:${requestId}",${about},"error":"${error}"${members}${later}}`
}

/** @param json between its quotes */
function member(name: string, json: string | undefined): string {
  return json === undefined ? '' : `,"${name}":"${json}"`
}

/** What stands in JSON as it is. */
const PLAIN = /^[ !#-[\]-~]*$/

/** A text as JSON has it between quotes. */
function jsonOf(text: string): string {
  return PLAIN.test(text) ? text : JSON.stringify(text).slice(1, -1)
}

type About = { readonly [Member in 'field' | 'value' | 'remedy']: string | undefined }

function sentence(message: string, { field, value, remedy }: About): string {
  const about = field === undefined ? '' : ` (${field}${value === undefined ? '' : ` = ${value}`})`
  return `${message}${about}${remedy === undefined ? '' : `. ${remedy}`}`
}

/** Before there is a route: nothing of Fastify is asked. @param closes whether the connection ends with it */
export function answerRefusal(
  request: IncomingMessage,
  response: ServerResponse,
  refusal: RefusalAnswer,
  closes: boolean,
): void {
  // As text it goes out with its head, in one piece.
  const body = refusalText(refusal, nextRequestId())
  const headers: Record<string, string | number> = headersOf(refusal)
  headers['content-type'] = typeFor(request.url ?? '', request.headers.accept)
  headers['cache-control'] = 'no-store'
  headers['content-length'] = Buffer.byteLength(body)
  if (closes) headers.connection = 'close'
  response.writeHead(refusal.status, headers).end(body)
}

/** Answers with a problem, of the type that its reader expects. */
export function sendTyped(reply: FastifyReply, problem: Problem): FastifyReply {
  return sendText(reply, problem.status, textOf(problem, reply.request.id))
}

function sendText(reply: FastifyReply, status: number, text: string): FastifyReply {
  const { request } = reply
  return (
    reply
      .code(status)
      .header('content-type', typeFor(request.url, request.headers.accept))
      .header('cache-control', 'no-store')
      // Of a text Fastify would name the charset.
      .send(Buffer.from(text))
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

/** A problem as text. */
export function textOf(problem: Problem, requestId: string): string {
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
