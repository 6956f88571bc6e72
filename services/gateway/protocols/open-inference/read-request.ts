import type { FastifyRequest } from 'fastify'
import { HEADERS } from '../../../../shared/sdk/contract/headers.ts'
import type { Lane } from '../../../../shared/sdk/contract/subjects.ts'
import { PeltonError, showValue } from '../../../../shared/sdk/errors.ts'
import type { Caller, CallerSignal, InferenceRequest } from '../../core/request.ts'
import { readIdempotencyKey, readTraceContext } from '../../http/request-headers.ts'
import { bytesOf } from '../request-parts.ts'
import { type ScanLimits, type ScannedRequest, scanRequest } from '../scan-request.ts'

/** What is known of a request before its body is looked at. */
export interface Arrival {
  readonly caller: Caller
  readonly model: string
  readonly version: string | undefined
  readonly signal: CallerSignal
  readonly limits: ScanLimits
}

/** A request as the core takes it, and the id that its sender gave. */
export interface ReadInference {
  readonly asked: InferenceRequest
  readonly id: string | undefined
}

/**
 * Reads a request of the protocol: its body goes on as it came, JSON alone or JSON and raw tensors as the header
 * `Inference-Header-Content-Length` says, whatever its Content-Type.
 *
 * @throws PeltonError `malformed`, `too-large`, `invalid-argument` for what can become no event
 * @throws Refusal for an idempotency key that cannot be read
 */
export function readInference(request: FastifyRequest, arrival: Arrival): ReadInference {
  const { caller, model, version, signal, limits } = arrival
  const data = bytesOf(request)
  const length = readHeaderLength(request.headers[LENGTH], data.length)
  const scanned = scanRequest(length === undefined ? data : data.subarray(0, length), limits)
  const asked: InferenceRequest = {
    caller,
    model,
    modelVersion: version,
    ...readSchedule(scanned),
    data,
    contentType: length === undefined ? 'application/json' : 'application/octet-stream',
    inferenceHeaderLength: length,
    idempotencyKey: readIdempotencyKey(request.headers),
    ...readTraceContext(request.headers),
    signal,
  }
  return { asked, id: scanned.id }
}

const LENGTH = HEADERS.inferenceHeaderLength.toLowerCase()

function readHeaderLength(text: string | string[] | undefined, bodyLength: number): number | undefined {
  if (text === undefined) return undefined
  const length = typeof text === 'string' && /^\d{1,10}$/.test(text.trim()) ? Number(text) : undefined
  if (length !== undefined && length <= bodyLength) return length
  throw new PeltonError('malformed', `the JSON header does not fit in the body of ${bodyLength} bytes`, {
    field: HEADERS.inferenceHeaderLength,
    value: showValue(text),
    remedy: 'Send the bytes of JSON before the first raw tensor, of the body before any compression.',
  })
}

/** When the caller gives up, and how urgent it is. */
export function readSchedule({ parameters = {} }: Pick<ScannedRequest, 'parameters'>): {
  readonly timeoutMs: number | undefined
  readonly lane: Lane
} {
  const timeout = readCount(parameters, 'timeout', 'Send microseconds, 0 for none.') ?? 0
  const priority = readCount(parameters, 'priority', 'Send 1 for high, 2 for normal, 3 or more for low.') ?? 0
  return { timeoutMs: timeout === 0 ? undefined : toMs(timeout), lane: laneOf(priority) }
}

const US_PER_MS = 1_000
/** For so long results are kept: who waits for ever waits no longer. */
const LONGEST_TIMEOUT_MS = 24 * 3_600_000

function toMs(timeoutUs: number): number {
  return Math.min(LONGEST_TIMEOUT_MS, Math.ceil(timeoutUs / US_PER_MS))
}

function laneOf(priority: number): Lane {
  if (priority >= 3) return 'low'
  return priority === 1 ? 'high' : 'normal'
}

/** A whole number of 0 or more; undefined where it is not given. */
function readCount(parameters: object, name: string, remedy: string): number | undefined {
  if (!Object.hasOwn(parameters, name)) return undefined
  const value = (parameters as Readonly<Record<string, unknown>>)[name]
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value
  throw new PeltonError('invalid-argument', `${name} must be a whole number`, {
    field: `parameters.${name}`,
    value: showValue(value),
    remedy,
  })
}
