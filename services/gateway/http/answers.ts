import type { FastifyReply } from 'fastify'
import { type Problem, problemOf, problemType } from '../../../shared/runtime/http.ts'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { isReason, PeltonError, REASONS } from '../../../shared/sdk/errors.ts'
import type { Failure, Prediction } from '../../../shared/sdk/result.ts'
import type { Accepted } from '../core/request.ts'
import { sendTyped } from './problems.ts'

/** What an answer says beside what all of its kind say. */
export interface Extra {
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Members of a JSON body. */
  readonly members?: Readonly<Record<string, unknown>> | undefined
}

/** Where the result of an accepted event is asked for. */
function resultPath({ handle }: Pick<Accepted, 'handle'>): string {
  return `/v1/results/${handle}`
}

/** HTTP status of a failure: 500 for a reason that only a newer worker knows. */
export function statusOf({ reason }: Pick<Failure, 'reason'>): number {
  return isReason(reason) ? REASONS[reason].status : 500
}

/** 200: the prediction as it is stored, an Open Inference Protocol response in JSON or with raw tensors. */
export function sendPrediction(
  reply: FastifyReply,
  accepted: Accepted,
  result: Prediction,
  { headers: more }: Extra = {},
): FastifyReply {
  const { headers, body, modelVersion, queueMs, inferenceMs, batchRows } = result
  const length = readHeader(headers, HEADERS.inferenceHeaderLength)
  if (length !== undefined) reply.header(HEADERS.inferenceHeaderLength, length)
  if (modelVersion !== '') reply.header(HEADERS.modelVersion, modelVersion)
  const facts = { queueMs, inferenceMs, batchRows } as const
  for (const name of ['queueMs', 'inferenceMs', 'batchRows'] as const) {
    if (Number.isFinite(facts[name])) reply.header(HEADERS[name], String(facts[name]))
  }
  const type = length === undefined ? JSON_TYPE : 'application/octet-stream'
  return sendBytes(aboutEvent(reply, accepted, more), 200, type, body)
}

/** The event became a dead letter: its reason, with the status of it, and the token under which operators find it. */
export function sendFailure(
  reply: FastifyReply,
  accepted: Accepted,
  failure: Failure,
  { headers, members }: Extra = {},
): FastifyReply {
  const { reason, stage, id } = failure
  const status = statusOf(failure)
  const { detail = failure.description, ...details } = noticeOf(failure)
  // A newer worker may know more reasons: those are no codes of ours.
  const title = isReason(reason) ? REASONS[reason].summary : reason
  const code = isReason(reason) ? { code: reason } : {}
  if (status === 503) reply.header('retry-after', retryAfter(accepted))
  const problem: Problem = {
    ...{ type: problemType(reason), title, status, detail, error: detail, ...code, ...details },
    ...{ reason, stage, id, token: accepted.token, model: accepted.model, ...members },
  }
  return sendTyped(aboutEvent(reply, accepted, headers), problem)
}

/** What a failure notice says of what is wrong. */
const DETAILS = ['detail', 'field', 'value', 'remedy'] as const

/** Reads them from its body. A notice that cannot be read says nothing more than its headers. */
function noticeOf({ body }: Failure): Partial<Record<(typeof DETAILS)[number], string>> {
  try {
    const notice: unknown = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString())
    const members = Object(notice) as Readonly<Record<string, unknown>>
    return Object.fromEntries(
      DETAILS.flatMap((name) => (typeof members[name] === 'string' ? [[name, members[name]]] : [])),
    )
  } catch {
    return {}
  }
}

/** 504: no answer within the time of the caller, `timeoutMs`. It is found later where `Location` says. */
export function sendTimeout(
  reply: FastifyReply,
  accepted: Accepted,
  timeoutMs: number,
  { headers, members }: Extra = {},
): FastifyReply {
  const { token, model } = accepted
  const location = resultPath(accepted)
  const detail = `no answer within ${timeoutMs} ms: the event is stored under token ${token}, and will be answered`
  const remedy = `Ask GET ${location} for what became of it.`
  const problem = problemOf(new PeltonError('timeout', detail, { remedy }))
  const error = `${detail}. ${remedy}`
  return sendTyped(aboutEvent(reply, accepted, { location, ...headers }), {
    ...{ ...problem, error, token, model, ...members },
  })
}

/** 202: the stream has the event, and it will be answered; where, and after about how long, if that is known. */
export function sendAccepted(
  reply: FastifyReply,
  accepted: Accepted,
  { headers, members }: Extra = {},
): FastifyReply {
  const { token, model, pool, lane, loweredFrom, sequence, backlogSeconds } = accepted
  const result = resultPath(accepted)
  const body = { token, model, pool, lane, loweredFrom, sequence, result, estimateSeconds: backlogSeconds }
  aboutEvent(reply, accepted, { location: result, 'retry-after': retryAfter(accepted), ...headers })
  return sendBytes(reply, 202, JSON_TYPE, Buffer.from(JSON.stringify({ ...body, ...members })))
}

/** JSON under exactly `application/json`: given text, the server would write a charset behind it. */
export function sendJson(reply: FastifyReply, value: unknown, status = 200): FastifyReply {
  reply.header('cache-control', 'no-store')
  return sendBytes(reply, status, JSON_TYPE, Buffer.from(JSON.stringify(value)))
}

const JSON_TYPE = 'application/json'

/** Longest time a caller is told to stay away, seconds: an estimate is of now. */
const LONGEST_RETRY_SECONDS = 60

/** When it is worth asking again, seconds: the backlog ahead, where it is known. */
function retryAfter({ backlogSeconds = 1 }: Accepted): string {
  return String(Math.min(LONGEST_RETRY_SECONDS, Math.max(1, Math.ceil(backlogSeconds))))
}

/** What every answer about an event says: which one it is, and its lane where that is not the one that was asked for. */
function aboutEvent(
  reply: FastifyReply,
  { token, lane, loweredFrom }: Accepted,
  headers: Extra['headers'] = {},
): FastifyReply {
  reply.headers({ [HEADERS.token]: token, 'cache-control': 'no-store', ...headers })
  if (loweredFrom !== undefined) reply.header('Pelton-Lane', `${lane}; lowered-from=${loweredFrom}`)
  return reply
}

function sendBytes(reply: FastifyReply, status: number, type: string, bytes: Uint8Array): FastifyReply {
  const { buffer, byteOffset, length } = bytes
  return reply
    .code(status)
    .type(type)
    .send(Buffer.from(buffer, byteOffset, length))
}
