import type { FastifyReply } from 'fastify'
import { PROBLEM_TYPE, type Problem } from '../../../shared/runtime/http.ts'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { ERRORS, isReason, REASONS } from '../../../shared/sdk/errors.ts'
import type { Failure, Prediction } from '../../../shared/sdk/result.ts'
import type { Accepted } from '../core/request.ts'

/** Where the result of an accepted event is asked for. */
function resultPath({ handle }: Pick<Accepted, 'handle'>): string {
  return `/v1/results/${handle}`
}

/** Longest time a caller is told to stay away, seconds: estimates are of now. */
const LONGEST_RETRY_S = 60

/** When it is worth asking again, seconds: the backlog ahead, where it is known. */
function retryAfter({ backlogSeconds = 1 }: Accepted): string {
  return String(Math.min(LONGEST_RETRY_S, Math.max(1, Math.ceil(backlogSeconds))))
}

/** What an answer says beside what all of its kind say. */
export interface Extra {
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Members of a JSON body. */
  readonly members?: Readonly<Record<string, unknown>> | undefined
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
  return aboutEvent(reply, accepted)
    .code(202)
    .headers({ location: result, 'retry-after': retryAfter(accepted), ...headers })
    .type('application/json')
    .send(bytesOf({ ...body, ...members }))
}

/** 200: the prediction as it is stored, an Open Inference Protocol response in JSON or with raw tensors. */
export function sendPrediction(reply: FastifyReply, accepted: Accepted, result: Prediction): FastifyReply {
  const { headers, body, modelVersion } = result
  const length = readHeader(headers, HEADERS.inferenceHeaderLength)
  if (length !== undefined) reply.header(HEADERS.inferenceHeaderLength, length)
  return aboutEvent(reply, accepted)
    .code(200)
    .header(HEADERS.modelVersion, modelVersion)
    .type(readHeader(headers, HEADERS.dataContentType) ?? 'application/json')
    .send(Buffer.from(body.buffer, body.byteOffset, body.length))
}

/** The event became a dead letter: its reason, with the status of it. */
export function sendFailure(reply: FastifyReply, accepted: Accepted, result: Failure): FastifyReply {
  const { reason, description, stage, id } = result
  const status = statusOf(result)
  const title = isReason(reason) ? REASONS[reason].summary : reason
  const type = `https://pelton.dev/problems/${reason}`
  const about = { reason, stage, id, token: accepted.token }
  // A newer worker may know more reasons: the code of the table is then none of ours.
  const code = isReason(reason) ? { code: reason } : {}
  if (status === 503) reply.header('retry-after', retryAfter(accepted))
  return sendAbout(
    reply,
    accepted,
    { type, title, status, detail: description, error: description, ...code },
    about,
  )
}

/** HTTP status of a failure: 500 for a reason that only a newer worker knows. */
export function statusOf({ reason }: Pick<Failure, 'reason'>): number {
  return isReason(reason) ? REASONS[reason].status : 500
}

/** 504: no answer within the time of the caller; it is found later where `Location` says. */
export function sendTimeout(reply: FastifyReply, accepted: Accepted, timeoutMs: number): FastifyReply {
  const { status, summary } = ERRORS.timeout
  const detail = `no answer within ${timeoutMs} ms: the event is stored, and will be answered`
  const problem = {
    type: 'https://pelton.dev/problems/timeout',
    title: summary,
    status,
    detail,
    error: detail,
  }
  reply.header('location', resultPath(accepted))
  return sendAbout(
    reply,
    accepted,
    { ...problem, code: 'timeout', remedy: `Ask GET ${resultPath(accepted)} for what became of it.` },
    { token: accepted.token },
  )
}

function sendAbout(
  reply: FastifyReply,
  accepted: Accepted,
  problem: Problem,
  members: Readonly<Record<string, unknown>>,
): FastifyReply {
  const body = { instance: `urn:uuid:${reply.request.id}`, ...problem, ...members }
  return aboutEvent(reply, accepted).code(problem.status).type(PROBLEM_TYPE).send(bytesOf(body))
}

/** What every answer about an event says: which one it is, and the lane where it is not the one that was asked for. */
function aboutEvent(reply: FastifyReply, { token, lane, loweredFrom }: Accepted): FastifyReply {
  reply.headers({ [HEADERS.token]: token, 'cache-control': 'no-store' })
  return loweredFrom === undefined
    ? reply
    : reply.header('Pelton-Lane', `${lane}; lowered-from=${loweredFrom}`)
}

/** To a text Fastify adds a charset, and there are clients that know one spelling of a content type alone. */
function bytesOf(body: object): Buffer {
  return Buffer.from(JSON.stringify(body))
}
