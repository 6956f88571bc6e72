import type { IncomingHttpHeaders } from 'node:http'
import { splitBody } from '../../../../shared/sdk/contract/body-sections.ts'
import {
  decodeAttribute,
  encodeAttribute,
  HEADERS,
  type HeaderEntry,
  type Headers,
} from '../../../../shared/sdk/contract/headers.ts'
import { readRfc3339 } from '../../../../shared/sdk/contract/rfc3339.ts'
import { STRUCTURED_MODE, unwrapStructured } from '../../../../shared/sdk/contract/structured.ts'
import { PeltonError, showValue } from '../../../../shared/sdk/errors.ts'
import { checkIdentity } from '../../../../shared/sdk/event-message.ts'
import { Refusal } from '../../core/refusal.ts'
import type { InferenceRequest } from '../../core/request.ts'
import { readEventHeaders } from '../../http/request-headers.ts'

/** A request that carries a CloudEvent. */
export interface EventRequest {
  readonly headers: IncomingHttpHeaders
  /** Names and values in turn, as Node keeps them. */
  readonly rawHeaders: readonly string[]
  readonly body: Uint8Array
}

/** A CloudEvent that was received, whatever mode it came in. */
export interface ReceivedEvent
  extends Pick<InferenceRequest, 'data' | 'contentType' | 'inferenceHeaderLength'> {
  readonly id: string
  /** What it says itself: a caller with a key has its own. */
  readonly source: string
  readonly attributes: NonNullable<InferenceRequest['attributes']>
}

/** Extension attributes of an event, and their bytes together: copies of it carry all of them in their headers. */
const MOST_EXTENSIONS = 64
const MOST_EXTENSION_BYTES = 4_096

/**
 * Reads the CloudEvent of a request (HTTP protocol binding 1.0): in binary mode, or in structured mode as JSON.
 *
 * @throws PeltonError `malformed`, `invalid-argument` naming the attribute or header
 * @throws Refusal 415 for batches, other formats of events, and data that no worker reads
 */
export function receiveEvent({ headers, rawHeaders, body }: EventRequest): ReceivedEvent {
  const mode = mediaTypeOf(headers['content-type'])
  const isStructured = mode?.startsWith('application/cloudevents') === true
  const event = isStructured ? openEnvelope(mode, body) : inBinaryMode(headers, rawHeaders, body)
  const attribute = attributesOf(event.headers, isStructured)
  checkSpecVersion(attribute)
  const contentType = attribute.optional(HEADERS.dataContentType) ?? event.contentType
  const id = attribute.required(HEADERS.id)
  const source = attribute.required(HEADERS.source)
  return {
    id,
    source,
    ...readData(event.body, contentType, headers[LENGTH_HEADER]),
    attributes: {
      id,
      source,
      type: attribute.required(HEADERS.type),
      subject: attribute.optional(HEADERS.subject),
      time: attribute.time(HEADERS.time),
      expiresAt: attribute.time(HEADERS.expiryTime),
      extensions: extensionsOf(event.headers, attribute),
    },
  }
}

interface OpenedEvent {
  /** Attributes as headers: values still encoded. */
  readonly headers: Headers
  readonly body: Uint8Array
  /** Where no attribute says it. */
  readonly contentType: string | undefined
}

const LENGTH_HEADER = HEADERS.inferenceHeaderLength.toLowerCase()

/** @throws PeltonError `malformed` for an envelope that cannot be read */
function openEnvelope(mode: string, body: Uint8Array): OpenedEvent {
  if (mode.startsWith('application/cloudevents-batch'))
    throw unsupported(
      'batches of CloudEvents are not taken',
      mode,
      'Send each event in a request of its own.',
    )
  if (mode !== STRUCTURED_MODE && mode !== 'application/cloudevents')
    throw unsupported(
      'this format of CloudEvents is not read',
      mode,
      `Send ${STRUCTURED_MODE}, or binary mode.`,
    )
  // What stands in headers, too, is a copy: the envelope has all of it.
  const opened = unwrapStructured(new Map([['content-type', STRUCTURED_MODE]]), body)
  if (opened.problem !== undefined) throw opened.problem
  return { headers: opened.headers, body: opened.body, contentType: undefined }
}

function inBinaryMode(
  headers: IncomingHttpHeaders,
  rawHeaders: readonly string[],
  body: Uint8Array,
): OpenedEvent {
  const found = readEventHeaders(rawHeaders)
  const second = found.get(HEADERS.dataContentType)
  if (second !== undefined) {
    const remedy = 'Leave it out: in binary mode Content-Type says what the data is.'
    throw malformed(
      'an event in binary mode says its content type once',
      HEADERS.dataContentType,
      second,
      remedy,
    )
  }
  return { headers: found, body, contentType: headers['content-type'] || undefined }
}

/** Reads the attributes of one event. */
interface ReadAttributes {
  /** What its sender calls it. */
  fieldOf(header: string): string
  /** @throws PeltonError where it is missing */
  required(header: string): string
  optional(header: string): string | undefined
  /** As RFC 3339 text. */
  time(header: string): string | undefined
  decoded(header: string): string | undefined
}

/** @param isStructured whether attributes are named as members of an envelope, or as headers */
function attributesOf(headers: Headers, isStructured: boolean): ReadAttributes {
  const fieldOf = (header: string): string => (isStructured ? header.slice('ce-'.length) : header)
  const decoded = (header: string): string | undefined => {
    const raw = headers.get(header)
    if (raw === undefined) return undefined
    const value = decodeAttribute(raw)
    if (value === undefined)
      throw malformed('an attribute is not percent-encoded UTF-8', fieldOf(header), raw, PERCENT)
    return value === '' ? undefined : value
  }
  const optional = (header: string): string | undefined => {
    const value = decoded(header)
    if (value !== undefined) checkIdentity(fieldOf(header), value)
    return value
  }
  return {
    fieldOf,
    decoded,
    optional,
    required: (header) => optional(header) ?? missing(fieldOf(header), isStructured),
    time: (header) => {
      const value = optional(header)
      if (value === undefined || readRfc3339(value) !== undefined) return value
      throw malformed('a time of a CloudEvent is RFC 3339', fieldOf(header), value, TIME)
    },
  }
}

const PERCENT = 'Percent-encode spaces, quotes, % and everything outside ASCII, as UTF-8.'
const TIME = 'Send for example 2026-01-31T12:00:00Z.'

function missing(field: string, isStructured: boolean): never {
  const remedy = isStructured
    ? `Give the envelope a member "${field}" with text.`
    : `Send the header ${field}, or the whole event as ${STRUCTURED_MODE}.`
  throw malformed('a CloudEvent has specversion, id, source and type', field, undefined, remedy)
}

function checkSpecVersion(attribute: ReadAttributes): void {
  const version = attribute.required(HEADERS.specVersion)
  if (version === '1.0') return
  const field = attribute.fieldOf(HEADERS.specVersion)
  throw malformed('this version of CloudEvents is not read here', field, version, 'Send CloudEvents 1.0.')
}

/** What is no extension: Pelton and CloudEvents know these themselves. */
const OWN: ReadonlySet<string> = new Set([
  HEADERS.specVersion,
  HEADERS.id,
  HEADERS.source,
  HEADERS.type,
  HEADERS.subject,
  HEADERS.time,
  HEADERS.dataContentType,
  HEADERS.expiryTime,
])

function extensionsOf(headers: Headers, attribute: ReadAttributes): HeaderEntry[] {
  const found: HeaderEntry[] = []
  let bytes = 0
  for (const name of headers.keys()) {
    if (!name.startsWith('ce-') || OWN.has(name)) continue
    if (!/^ce-[a-z0-9]{1,64}$/.test(name)) {
      const remedy = 'Name attributes with letters and digits, 64 at most.'
      throw malformed('an attribute of a CloudEvent has a name that cannot be used', name, undefined, remedy)
    }
    const value = attribute.decoded(name)
    if (value === undefined) continue
    const encoded = encodeAttribute(value)
    found.push([name, encoded])
    bytes += name.length + encoded.length
  }
  if (found.length <= MOST_EXTENSIONS && bytes <= MOST_EXTENSION_BYTES) return found
  throw new PeltonError('invalid-argument', 'an event has too many extension attributes', {
    field: 'extensions',
    value: `${found.length} with ${bytes} bytes`,
    remedy: `Send ${MOST_EXTENSIONS} with ${MOST_EXTENSION_BYTES} bytes at most, names included; what is more belongs in data.`,
  })
}

const JSON_TYPE = /^application\/(?:json|[\w.-]+\+json)$/
const BINARY_TYPE = 'application/octet-stream'

/** The data as it goes into the stream: in one of two forms. */
function readData(
  body: Uint8Array,
  contentType: string | undefined,
  lengthHeader: string | string[] | undefined,
): Pick<ReceivedEvent, 'data' | 'contentType' | 'inferenceHeaderLength'> {
  const length = lengthHeader === undefined ? undefined : String(lengthHeader)
  const type = mediaTypeOf(contentType) ?? (length === undefined ? 'application/json' : BINARY_TYPE)
  const isJson = JSON_TYPE.test(type)
  if (!isJson && type !== BINARY_TYPE)
    throw unsupported('data of this type is not read', type, `Send application/json or ${BINARY_TYPE}.`)
  // Checks charset and length as a worker would, before there is an event.
  splitBody(contentType, length, body)
  return {
    data: body,
    contentType: isJson ? 'application/json' : BINARY_TYPE,
    inferenceHeaderLength: length === undefined ? undefined : Number(length),
  }
}

/** In lower case, without parameters; undefined where nothing is said. */
function mediaTypeOf(contentType: string | undefined): string | undefined {
  return contentType?.split(';', 1)[0]?.trim().toLowerCase() || undefined
}

function malformed(
  description: string,
  field: string,
  value: string | undefined,
  remedy: string,
): PeltonError {
  return new PeltonError('malformed', description, {
    field,
    ...(value !== undefined && { value: showValue(value) }),
    remedy,
  })
}

function unsupported(detail: string, value: string, remedy: string): Refusal {
  return new Refusal(415, 'unsupported media type', detail, {
    code: 'unsupported-media-type',
    field: 'Content-Type',
    value: showValue(value),
    remedy,
  })
}
