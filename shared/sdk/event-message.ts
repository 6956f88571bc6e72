import { CONTRACT_VERSION, MAX_IDENTITY_LENGTH, PLAIN_IDENTITY } from './contract/event.ts'
import { encodeAttribute, HEADERS, type HeaderEntry } from './contract/headers.ts'
import type { JsonValue } from './contract/json.ts'
import { readJsonData } from './contract/json-tensors.ts'
import {
  type EncodedBody,
  encodeFeatures,
  encodeRequest,
  type Features,
  type OutputRequest,
  type Parameters,
  type RequestFields,
} from './contract/open-inference.ts'
import type { OutgoingMessage } from './contract/outcome.ts'
import { readRfc3339 } from './contract/rfc3339.ts'
import { isLane, isReplySubject, LANES, type Lane, REPLY_ROOTS, subjects } from './contract/subjects.ts'
import { type Datatype, elementCount, isDatatype, type Tensor, type TensorData } from './contract/tensor.ts'
import { eventToken } from './contract/token.ts'
import { STREAMS } from './contract/topology.ts'
import { PeltonError, showValue } from './errors.ts'

/** Values of a tensor: flat, or nested as its shape says. */
export type TensorValues = readonly (number | bigint | boolean | string | TensorValues)[]

/** One input tensor of an event. */
export interface TensorInput {
  readonly name: string
  readonly datatype: Datatype
  /** Dimensions, rows first: `[2, 3]` is two rows of three. */
  readonly shape: readonly number[]
  /**
   * Row-major: the typed array of the datatype (FP16: raw bits in a `Uint16Array`; INT64 and UINT64: bigints), or plain
   * values.
   */
  readonly data: TensorData | TensorValues
}

/** A feature event to publish. Exactly one of `features`, `inputs` and `data` is given. */
export interface EventToPublish {
  /** Name of the model that shall predict it. */
  readonly model: string
  /** Priority class. @default 'normal' */
  readonly lane?: Lane
  /**
   * Identity within model and source, at most 1024 characters percent-encoded: publishing the same id again is
   * absorbed. @default a random UUID
   */
  readonly id?: string
  /** One row of named scalars; the model's manifest turns them into tensors. */
  readonly features?: Features
  /** Tensors, one row or many. */
  readonly inputs?: readonly TensorInput[]
  /** A body encoded already; see `contentType`. */
  readonly data?: Uint8Array
  /** Content type of `data`. @default 'application/json' */
  readonly contentType?: string
  /** Bytes of JSON before the first raw tensor in `data`; needed for `application/octet-stream`. */
  readonly inferenceHeaderLength?: number
  /** Outputs wanted, by name. @default all */
  readonly outputs?: readonly (string | OutputRequest)[]
  /** Send `inputs` as raw bytes instead of JSON, and ask for raw outputs: nothing is parsed. @default false */
  readonly binary?: boolean
  /** Open Inference Protocol parameters of the request. */
  readonly parameters?: Parameters
  /** CloudEvents type. @default 'pelton.features' */
  readonly type?: string
  /** CloudEvents subject: what the event is about. */
  readonly subject?: string
  /** When it happened; a string is RFC 3339. @default now */
  readonly time?: Date | string
  /** Deadline: not predicted after it, but answered `deadline-exceeded`. A string is RFC 3339. */
  readonly expiresAt?: Date | string
  /** Deadline as milliseconds from now, by this machine's clock; excludes `expiresAt`. */
  readonly deadlineMs?: number
  /** Pins the model version. @default the one the worker serves as stable */
  readonly modelVersion?: string
  /** W3C trace context, carried into the outcome. */
  readonly traceparent?: string
  readonly tracestate?: string
  /** Subject below `_INBOX.`, or your `inboxPrefix`, that gets a copy of the outcome at once, over core NATS and without guarantee. */
  readonly replyTo?: string
}

/** What a producer adds to its events. */
export interface EventOrigin {
  readonly source: string
  readonly pool: string
  /** Below what reply subjects of its Pelton lie. @default as without a prefix */
  readonly replyRoots?: readonly string[]
  /** Milliseconds since 1970. */
  readonly now: number
  /** Below what else than usual reply subjects may lie. */
  readonly inboxPrefix?: string | undefined
}

/** An event ready to be published, and who it is. */
export interface EventMessage extends OutgoingMessage {
  readonly id: string
  readonly token: string
  /** Bytes of headers and body, as the stream counts them. */
  readonly sizeBytes: number
}

/**
 * An event as a message for FEATURES, with plain names.
 *
 * @throws PeltonError `invalid-argument` for fields that cannot be used, `schema-mismatch` for tensor values that do not
 *   fit their datatype or shape
 */
export function eventMessage(event: EventToPublish, origin: EventOrigin): EventMessage {
  const { model, lane = 'normal', id = crypto.randomUUID() } = event
  checkIdentity('model', model)
  checkIdentity('id', id)
  if (!isLane(lane)) throw unusable('lane', lane, `Use one of ${LANES.join(', ')}.`)
  const subject = subjects.feature({ pool: origin.pool, model, lane })
  const token = eventToken(model, origin.source, id)
  const { body, contentType, inferenceHeaderLength } = encodeBody(event)
  const now = isoTime(origin.now)
  const headers: HeaderEntry[] = [
    [HEADERS.messageId, token],
    [HEADERS.expectedStream, STREAMS.features],
    [HEADERS.contract, CONTRACT_VERSION],
    [HEADERS.specVersion, '1.0'],
    [HEADERS.id, encodeAttribute(id)],
    [HEADERS.source, encodeAttribute(origin.source)],
    [HEADERS.type, attribute('type', event.type ?? 'pelton.features')],
    [HEADERS.time, event.time === undefined ? now : timeText('time', event.time)],
    [HEADERS.dataContentType, attribute('contentType', contentType)],
    [HEADERS.publishedAt, now],
  ]
  addOptional(headers, event, origin)
  if (inferenceHeaderLength !== undefined)
    headers.push([HEADERS.inferenceHeaderLength, String(inferenceHeaderLength)])
  return { subject, headers, body, id, token, sizeBytes: sizeOf(headers) + body.length }
}

/**
 * Checks an id, source or model name. Control characters are refused because they separate the parts of a token.
 *
 * @throws PeltonError `invalid-argument`
 */
export function checkIdentity(field: string, value: string): void {
  if (typeof value === 'string' && PLAIN_IDENTITY.test(value)) return
  if (typeof value !== 'string' || value === '' || !value.isWellFormed() || CONTROL.test(value))
    throw unusable(field, value, 'Send well-formed, non-empty text without control characters.')
  if (encodeAttribute(value).length > MAX_IDENTITY_LENGTH)
    throw unusable(field, value, `Use at most ${MAX_IDENTITY_LENGTH} characters, percent-encoded.`)
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this finds
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/

function unusable(field: string, value: unknown, remedy: string): PeltonError {
  return new PeltonError('invalid-argument', `the ${field} cannot be used`, {
    field,
    value: showValue(value),
    remedy,
  })
}

/** Events that are published in the same millisecond have the same time. */
let lastTime = { at: Number.NaN, text: '' }

function isoTime(at: number): string {
  if (at !== lastTime.at) lastTime = { at, text: new Date(at).toISOString() }
  return lastTime.text
}

const OF_FEW = ['modelVersion', 'traceparent', 'tracestate'] as const

function addOptional(headers: HeaderEntry[], event: EventToPublish, origin: EventOrigin): void {
  const { subject, replyTo } = event
  const deadline = deadlineOf(event, origin.now)
  if (subject !== undefined) headers.push([HEADERS.subject, attribute('subject', subject)])
  if (deadline !== undefined) headers.push([HEADERS.expiryTime, deadline])
  for (const name of OF_FEW) {
    const value = event[name]
    if (value === undefined) continue
    if (!/^[!-~](?:[ -~]{0,510}[!-~])?$/.test(value))
      throw unusable(name, value, 'Send 1 to 512 printable ASCII characters.')
    headers.push([HEADERS[name], value])
  }
  if (replyTo !== undefined) {
    const { replyRoots = REPLY_ROOTS, inboxPrefix = '_INBOX' } = origin
    if (!isReplySubject(replyTo, [...replyRoots, inboxPrefix]))
      throw unusable('replyTo', replyTo, `Use a subject below ${inboxPrefix}.`)
    headers.push([HEADERS.replyTo, replyTo])
  }
}

function attribute(field: string, value: string): string {
  checkIdentity(field, value)
  return encodeAttribute(value)
}

function deadlineOf({ expiresAt, deadlineMs }: EventToPublish, now: number): string | undefined {
  if (deadlineMs === undefined) return expiresAt === undefined ? undefined : timeText('expiresAt', expiresAt)
  if (expiresAt !== undefined)
    throw unusable('deadlineMs', deadlineMs, 'Give either expiresAt or deadlineMs, not both.')
  if (!Number.isFinite(deadlineMs) || deadlineMs <= 0)
    throw unusable('deadlineMs', deadlineMs, 'Send a number of milliseconds above 0.')
  return timeText('deadlineMs', new Date(now + deadlineMs))
}

function timeText(field: string, time: Date | string): string {
  const text = time instanceof Date && !Number.isNaN(time.getTime()) ? time.toISOString() : String(time)
  // A Date of year 0 to 9999 is written in 24 characters, all as they should be.
  if ((time instanceof Date && text.length === 24) || readRfc3339(text) !== undefined) return text
  throw unusable(field, text, 'Send a Date of year 0 to 9999, or RFC 3339 text such as 2026-01-31T12:00:00Z.')
}

type Body = Omit<EncodedBody, 'contentType'> & { readonly contentType: string }

function encodeBody(event: EventToPublish): Body {
  const { features, inputs, data, binary = false } = event
  const count = Number(features !== undefined) + Number(inputs !== undefined) + Number(data !== undefined)
  if (count !== 1) {
    const given = { features, inputs, data }
    const names = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [name]))
    throw new PeltonError('invalid-argument', 'an event carries exactly one of features, inputs and data', {
      field: names.length === 0 ? 'features' : names.join(', '),
      value: names.length === 0 ? 'nothing' : `${names.length} of them`,
      remedy: 'Give one of them.',
    })
  }
  if (features !== undefined) return encodeFeatures({ ...requestFields(event), features })
  if (inputs !== undefined)
    return encodeRequest({ ...requestFields(event), inputs: inputs.map(toTensor) }, { binary })
  return encodedAlready(event)
}

const NO_FIELDS: RequestFields = {}

function requestFields({ outputs, parameters, binary }: EventToPublish): RequestFields {
  if (outputs === undefined && parameters === undefined && binary !== true) return NO_FIELDS
  const asked = binary === true ? { binary_data_output: true, ...parameters } : parameters
  return {
    ...(asked !== undefined && { parameters: asked }),
    ...(outputs !== undefined && {
      outputs: outputs.map((output) => (typeof output === 'string' ? { name: output } : output)),
    }),
  }
}

function encodedAlready(event: EventToPublish): Body {
  const { data, contentType = 'application/json', inferenceHeaderLength } = event
  if (!(data instanceof Uint8Array)) throw unusable('data', data, 'Give the bytes of an encoded body.')
  for (const name of ['outputs', 'parameters', 'binary'] as const) {
    if (event[name] !== undefined)
      throw unusable(name, event[name], 'Write it into data, or send inputs or features.')
  }
  if (inferenceHeaderLength === undefined) return { body: data, contentType }
  if (!Number.isInteger(inferenceHeaderLength) || inferenceHeaderLength < 0)
    throw unusable('inferenceHeaderLength', inferenceHeaderLength, 'Give a number of bytes.')
  return { body: data, contentType, inferenceHeaderLength }
}

function toTensor({ name, datatype, shape, data }: TensorInput, index: number): Tensor {
  const field = `inputs[${index}]`
  if (!isDatatype(datatype)) throw unusable(`${field}.datatype`, datatype, 'Use a datatype such as FP32.')
  if (ArrayBuffer.isView(data)) return { name, datatype, shape, data: data as TensorData }
  // Plain values are read exactly as their JSON would be.
  const values = readJsonData(datatype, shape, elementCount(shape), data as JsonValue, field)
  return { name, datatype, shape, data: values }
}

/** `NATS/1.0`, a line per entry, an empty line. All values are ASCII by now. */
function sizeOf(headers: readonly HeaderEntry[]): number {
  let bytes = 12
  for (const [name, value] of headers) bytes += name.length + value.length + 4
  return bytes
}
