import type { FastifyReply, FastifyRequest } from 'fastify'
import { encodeAttribute } from '../../../../shared/sdk/contract/headers.ts'
import { isLane, LANES, type Lane } from '../../../../shared/sdk/contract/subjects.ts'
import { PeltonError, showValue } from '../../../../shared/sdk/errors.ts'
import type { Answer, Caller, CallerSignal, InferenceRequest } from '../../core/request.ts'
import { sendAccepted, sendFailure, sendPrediction, sendTimeout } from '../../http/answers.ts'
import { countEnded, type Ending, endingOf } from '../../http/count-ended.ts'
import { leavingSignal } from '../../http/leaving.ts'
import {
  appliedWait,
  type Prefer,
  readIdempotencyKey,
  readPrefer,
  readTraceContext,
} from '../../http/request-headers.ts'
import type { Protocol, ProtocolParts } from '../protocol.ts'
import { bytesOf, servedName } from '../request-parts.ts'
import { type ScanLimits, scanRequest } from '../scan-request.ts'
import { type ReceivedEvent, receiveEvent } from './received-event.ts'

interface Addressed {
  readonly Params: { readonly model: string; readonly version?: string }
  readonly Querystring: Readonly<Record<string, string | readonly string[]>>
}

/**
 * CloudEvents over HTTP, for callers that have events and want no answer on the connection: an event in binary or
 * structured mode is published for a model, and answered 202 with where its result is found. `Prefer: wait=<seconds>`
 * waits for the result first, and answers with it where it comes in time.
 *
 * - `POST /v1/models/{model}/events`
 * - `POST /v1/models/{model}/versions/{version}/events`: by that version alone
 *
 * The query `lane` says how urgent it is: `high`, `normal` (where nothing is said) or `low`.
 */
export const cloudEvents: Protocol = createCloudEvents()

/** The same with bounds of its own on the JSON of events. */
export function createCloudEvents(limits: ScanLimits = {}): Protocol {
  return (app, parts) => {
    for (const path of ['/v1/models/:model/events', '/v1/models/:model/versions/:version/events'])
      app.post<Addressed>(path, (request, reply) => take({ parts, limits }, request, reply))
  }
}

interface Tools {
  readonly parts: ProtocolParts
  readonly limits: ScanLimits
}

function take(
  { parts, limits }: Tools,
  request: FastifyRequest<Addressed>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const signal = leavingSignal(request, reply)
  const caller = parts.callerOf(request)
  const modelOf = (): string | undefined => servedName(parts, caller, request.params.model)
  return countEnded({ figures: parts.figures, protocol: 'cloudevents', signal, modelOf }, reply, async () => {
    const { headers, raw } = request
    const { rawHeaders } = raw
    const event = receiveEvent({ headers, rawHeaders, body: bytesOf(request) })
    scanRequest(event.data.subarray(0, event.inferenceHeaderLength), limits)
    const prefer = readPrefer(request.headers)
    const { waitMs } = appliedWait(prefer)
    const answer = await parts
      .core()
      .infer(inferenceRequest(request, caller, event, signal), { mode: 'async', waitMs })
    return send(reply, answer, aboutEvent(caller, event, prefer, answer))
  })
}

function inferenceRequest(
  { params, query, headers }: FastifyRequest<Addressed>,
  caller: Caller,
  { data, contentType, inferenceHeaderLength, attributes }: ReceivedEvent,
  signal: CallerSignal,
): InferenceRequest {
  return {
    caller,
    model: params.model,
    modelVersion: params.version,
    lane: readLane(query),
    data,
    contentType,
    inferenceHeaderLength,
    timeoutMs: undefined,
    // There should be none: the id of an event does the same, and the core says so.
    idempotencyKey: readIdempotencyKey(headers),
    attributes,
    ...readTraceContext(headers),
    signal,
  }
}

/** @throws PeltonError `invalid-argument` for a lane there is not, and for anything else in the query */
function readLane({ lane = 'normal', ...others }: Addressed['Querystring']): Lane {
  const [unknown] = Object.keys(others)
  if (unknown !== undefined)
    throw unusable(
      'the query has a parameter that is not known',
      unknown,
      others[unknown],
      'Send lane alone.',
    )
  if (typeof lane === 'string' && isLane(lane)) return lane
  throw unusable('there is no such lane', 'lane', lane, `Use one of ${LANES.join(', ')}.`)
}

function unusable(description: string, field: string, value: unknown, remedy: string): PeltonError {
  return new PeltonError('invalid-argument', description, { field, value: showValue(value), remedy })
}

/** What is said of an event beside its answer. */
interface About {
  readonly headers: Readonly<Record<string, string>>
  readonly members: Readonly<Record<string, unknown>>
}

function send(reply: FastifyReply, answer: Answer, { headers, members }: About): Ending {
  const { accepted } = answer
  reply.headers(headers)
  if (answer.kind === 'prediction') sendPrediction(reply, accepted, answer.result)
  else if (answer.kind === 'failure') sendFailure(reply, accepted, answer.result)
  else if (answer.kind === 'timeout') sendTimeout(reply, accepted, answer.timeoutMs)
  else sendAccepted(reply, accepted, { members })
  return endingOf(answer)
}

/** Who an event is, whether its source is another than it said, and what was preferred and is done. */
function aboutEvent(caller: Caller, { id, source }: ReceivedEvent, prefer: Prefer, answer: Answer): About {
  const isReplaced = caller.keyId !== undefined && caller.source !== source
  const used = isReplaced ? caller.source : source
  const isAsync = prefer.respondAsync && answer.kind === 'accepted'
  const applied = [isAsync && 'respond-async', appliedWait(prefer).applied].filter(Boolean).join(', ')
  return {
    headers: {
      ...(applied !== '' && { 'preference-applied': applied }),
      ...(isReplaced && { 'Pelton-Source': encodeAttribute(used) }),
    },
    members: { id, source: used, duplicate: answer.accepted.duplicate },
  }
}
