import type { Contents, DescribedAnswer, Operation } from '../../../shared/runtime/openapi.ts'
import { problem } from './schemas.ts'

type Answers = Operation['answers']

/** Why a request is refused, by status, whatever it asks for. */
const REFUSALS: Readonly<Record<number, string>> = {
  400: 'What was sent cannot be read',
  401: 'An API key is needed, or this one is not accepted',
  403: 'The key may not do that, or the page is of an origin that may not',
  404: 'There is no such model, version or result',
  409: 'The request with this idempotency key has no answer yet',
  410: 'There was a result, and it is no longer kept',
  413: 'The body is larger than the gateway or the broker takes, or comes in too many pieces',
  415: 'The encoding or the format of the body is not read here',
  422: 'The request does not fit the model, or its idempotency key came with another body before',
  429: 'The connection has too many requests under way, the key has used up its quota, or its source asks for more than its share',
  500: 'The model failed on it, or a defect, whose id the log has',
  501: 'This server does not have that part of the protocol, or the transfer encoding',
  503: 'Not now: more waits than can be answered in time, the broker is away, a limit is reached, or no worker serves the model; `Retry-After` says when to ask again',
  504: 'No answer within the time the caller gave: the event is stored, and `Location` says where its result will be; or the event became a dead letter because of time',
}
const OTHERS = 'Any other refusal: 405 another method, 414 and 431 what is too long, 421 another host'

/** Any request may be answered so: before it reaches a route, or by a defect. */
const ANY = [400, 401, 403, 429, 500, 501, 503] as const
/** Of a request that becomes an event, too. */
const OF_EVENTS = [404, 409, 413, 415, 422, 504] as const

/** What clients of the Open Inference Protocol read, and what `Accept` may ask for. */
const BELOW_V2 = { 'application/json': problem, 'application/problem+json': problem }
const ELSEWHERE = { 'application/problem+json': problem }

const HEADERS: Readonly<Record<number, Readonly<Record<string, string>>>> = {
  401: { 'WWW-Authenticate': 'How to say who calls' },
  429: {
    'Retry-After': 'Seconds',
    RateLimit: 'What is left of a quota or share, and seconds until there is more: `"quota";r=0;t=1`',
    'RateLimit-Policy': 'What the quota is: `"quota";q=400;w=2`',
  },
  503: { 'Retry-After': 'Seconds' },
  504: { Location: 'Path of the result, where it is yet to come' },
}

/** The refusals of a path: those that any request may meet, and some of its own. */
export function refusals(path: string, ...own: readonly number[]): Answers {
  const statuses = [...new Set([...ANY, ...own])].sort((left, right) => left - right)
  return {
    ...Object.fromEntries(statuses.map((status) => [status, refusal(path, status)])),
    default: { description: OTHERS, content: contentOf(path) },
  }
}

/** The refusals of a request that becomes an event. */
export function eventRefusals(path: string): Answers {
  return refusals(path, ...OF_EVENTS)
}

function refusal(path: string, status: number): DescribedAnswer {
  const headers = HEADERS[status]
  return {
    description: REFUSALS[status] ?? '',
    content: contentOf(path),
    ...(headers !== undefined && { headers }),
  }
}

function contentOf(path: string): Contents {
  return path.startsWith('/v2') ? BELOW_V2 : ELSEWHERE
}

/** What every answer about an event says. */
const EVENT_HEADERS: Readonly<Record<string, string>> = {
  'Pelton-Token': 'Names the event everywhere in Pelton',
  'Pelton-Lane': 'Its lane, where that is lower than the one asked for',
  'Idempotency-Replayed': '`true` where an earlier request with the key had this event',
}

/** What an answer with a prediction says. */
export const PREDICTION_HEADERS: Readonly<Record<string, string>> = {
  ...EVENT_HEADERS,
  'Pelton-Model-Version': 'Version that answered',
  'Pelton-Queue-Ms': 'Milliseconds it waited',
  'Pelton-Inference-Ms': 'Milliseconds of the model call',
  'Pelton-Batch-Rows': 'Rows of the call it was answered with',
  'Inference-Header-Content-Length': 'Bytes of JSON before the first raw tensor, where there are some',
}

/** What a 202 says. */
export const ACCEPTED_HEADERS: Readonly<Record<string, string>> = {
  ...EVENT_HEADERS,
  Location: 'Path of the result',
  'Retry-After': 'Seconds after which it is worth asking',
  'Preference-Applied': 'What of `Prefer` was done',
}
