import { PeltonError, showValue } from '../errors.ts'
import { encodeAttribute, HEADERS, type Headers, readHeader } from './headers.ts'
import { type JsonValue, showJson } from './json.ts'
import { type Envelope, openEnvelope } from './structured-envelope.ts'

/** A message in binary mode, whatever mode it was sent in. */
export interface Unwrapped {
  readonly headers: Headers
  readonly body: Uint8Array
  readonly problem: PeltonError | undefined
}

/** The content type of an event in structured mode. */
export const STRUCTURED_MODE = 'application/cloudevents+json'

/**
 * Turns a structured-mode CloudEvent (`Content-Type: application/cloudevents+json`) into what its binary mode would
 * have been. Any other message is returned as it is (CloudEvents NATS binding §3), but for one without a content type
 * whose body is such an event: the Go SDK sends them so.
 */
export function unwrapStructured(headers: Headers, body: Uint8Array): Unwrapped {
  const mode = readHeader(headers, HEADERS.contentType)?.toLowerCase()
  const bare = mode === undefined ? openBareEvent(headers, body) : undefined
  if (bare !== undefined) return fromEnvelope(headers, body, bare)
  if (!mode?.startsWith('application/cloudevents')) return { headers, body, problem: undefined }
  try {
    if (!/^application\/cloudevents(?:\+json)?\s*(?:;|$)/.test(mode)) throw unsupportedMode(mode)
    return fromEnvelope(headers, body, openEnvelope(body))
  } catch (thrown) {
    if (!(thrown instanceof PeltonError)) throw thrown
    return { headers, body, problem: thrown }
  }
}

const SPEC_VERSION = Buffer.from('"specversion"')
/** Headers of which a structured event has none: with one of them the message is in binary mode, or no event at all. */
const OF_OTHER_MODES = [
  HEADERS.id,
  HEADERS.source,
  HEADERS.specVersion,
  HEADERS.dataContentType,
  HEADERS.inferenceHeaderLength,
]

/** A body without a content type, where it is a structured event. Few bodies are looked into: the word has to be there. */
function openBareEvent(headers: Headers, body: Uint8Array): Envelope | undefined {
  if (OF_OTHER_MODES.some((name) => readHeader(headers, name) !== undefined)) return undefined
  if (!Buffer.from(body.buffer, body.byteOffset, body.length).includes(SPEC_VERSION)) return undefined
  const envelope = openIfPossible(body)
  if (envelope === undefined) return undefined
  const isText = (name: string): boolean =>
    Object.hasOwn(envelope.members, name) && typeof envelope.members[name] === 'string'
  return isText('specversion') && (isText('id') || isText('source') || isText('type')) ? envelope : undefined
}

/** Undefined for a body that is no JSON object, which its decoding refuses with a reason. */
function openIfPossible(body: Uint8Array): Envelope | undefined {
  try {
    return openEnvelope(body)
  } catch {
    return undefined
  }
}

/**
 * An envelope that cannot be used keeps what can be read of it, its id and source before all: who waits for the event
 * hears of it, and who sends it again is recognised. Its body stays the envelope, and is marked as one.
 */
function fromEnvelope(headers: Headers, body: Uint8Array, { members, data }: Envelope): Unwrapped {
  const { data: _notRead, data_base64: base64, ...attributes } = members
  const merged = new Map(headers)
  const problems: PeltonError[] = []
  const attempt = <Result>(act: () => Result): Result | undefined => {
    try {
      return act()
    } catch (thrown) {
      if (!(thrown instanceof PeltonError)) throw thrown
      problems.push(thrown)
      return undefined
    }
  }
  for (const [name, value] of Object.entries(attributes)) {
    const text = attempt(() => attributeText(name, value))
    if (text !== undefined) merged.set(`ce-${name.toLowerCase()}`, encodeAttribute(text))
  }
  const unwrapped = attempt(() => bodyOf(data, base64))
  const [problem] = problems
  const contentType = HEADERS.contentType.toLowerCase()
  if (problem === undefined) merged.delete(contentType)
  else if (!merged.has(contentType)) merged.set(contentType, STRUCTURED_MODE)
  return { headers: merged, body: problem === undefined ? (unwrapped ?? body) : body, problem }
}

/** A name becomes a header name: one with a line break would write headers of its author's choice into every copy. */
function checkAttributeName(name: string): void {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(name)) return
  throw new PeltonError('malformed', 'a CloudEvents attribute has a name that cannot be used', {
    field: 'data',
    value: showValue(name),
    remedy: 'Name attributes with letters and digits.',
  })
}

/** @returns undefined for null, which is absent. @throws PeltonError `malformed` for what a header cannot carry */
function attributeText(name: string, value: JsonValue): string | undefined {
  checkAttributeName(name)
  if (value === null) return undefined
  // Halves of a pair would all become the same character: two ids would be one.
  if (typeof value === 'string' && value.isWellFormed()) return value
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean')
    return String(value)
  throw new PeltonError(
    'malformed',
    'a CloudEvents attribute must be well-formed text, a number or a boolean',
    {
      field: name,
      value: typeof value === 'object' ? showKind(value) : showJson(value),
      remedy: 'Send objects and lists in data.',
    },
  )
}

/** Long ones were not read: how much is in them is not known. */
function showKind(value: object): string {
  return Array.isArray(value) ? 'an array' : 'an object'
}

const NULL = Buffer.from('null')

/** @param data as it was written, and so it goes on */
function bodyOf(data: Uint8Array | undefined, base64: JsonValue | undefined): Uint8Array {
  if (base64 === undefined) return data ?? NULL
  if (data !== undefined) {
    throw new PeltonError('malformed', 'a CloudEvent has either data or data_base64', {
      field: 'data_base64',
    })
  }
  if (
    typeof base64 !== 'string' ||
    !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(base64)
  ) {
    throw new PeltonError('malformed', 'data_base64 is not base64', {
      field: 'data_base64',
      value: showValue(base64),
    })
  }
  return Buffer.from(base64, 'base64')
}

function unsupportedMode(mode: string): PeltonError {
  return new PeltonError('malformed', 'this CloudEvents format is not read here', {
    field: HEADERS.contentType,
    value: showValue(mode),
    remedy: 'Send application/cloudevents+json, or the binary mode with ce-* headers.',
  })
}
