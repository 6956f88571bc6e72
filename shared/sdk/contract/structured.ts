import { stringify } from 'lossless-json'
import { PeltonError, showValue } from '../errors.ts'
import { encodeAttribute, HEADERS, type Headers, readHeader } from './headers.ts'
import { isJsonObject, type JsonObject, type JsonValue, numberToJson, parseJson, showJson } from './json.ts'

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
  const isStructured =
    mode === undefined ? isBareEvent(headers, body) : mode.startsWith('application/cloudevents')
  if (!isStructured) return { headers, body, problem: undefined }
  try {
    if (mode !== undefined && !/^application\/cloudevents(?:\+json)?\s*(?:;|$)/.test(mode))
      throw unsupportedMode(mode)
    return fromJson(headers, body, parseJson(body))
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

/** Whether a body without a content type is a structured event. Few bodies are looked into: the word has to be there. */
function isBareEvent(headers: Headers, body: Uint8Array): boolean {
  if (OF_OTHER_MODES.some((name) => readHeader(headers, name) !== undefined)) return false
  if (!Buffer.from(body.buffer, body.byteOffset, body.length).includes(SPEC_VERSION)) return false
  const envelope = readObject(body)
  const isText = (name: string): boolean =>
    Object.hasOwn(envelope, name) && typeof envelope[name] === 'string'
  return isText('specversion') && (isText('id') || isText('source') || isText('type'))
}

/** The members of a body; none where it is no JSON object, which its decoding refuses with a reason. */
function readObject(body: Uint8Array): JsonObject {
  try {
    const value = parseJson(body)
    return isJsonObject(value) ? value : {}
  } catch {
    return {}
  }
}

/**
 * An envelope that cannot be used keeps what can be read of it, its id and source before all: who waits for the event
 * hears of it, and who sends it again is recognised. Its body stays the envelope, and is marked as one.
 */
function fromJson(headers: Headers, body: Uint8Array, envelope: JsonValue): Unwrapped {
  if (!isJsonObject(envelope))
    throw new PeltonError('malformed', 'a structured CloudEvent must be a JSON object', { field: 'data' })
  const { data, data_base64: base64, ...attributes } = envelope
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
      value: showJson(value),
      remedy: 'Send objects and lists in data.',
    },
  )
}

/** Numbers keep their sign and their kind: `-0.0` and `1e300` are read as they were meant. */
const NUMBERS = [
  {
    test: (value: unknown) => typeof value === 'number',
    stringify: (value: unknown) => numberToJson(Number(value)),
  },
]

function bodyOf(data: JsonValue | undefined, base64: JsonValue | undefined): Uint8Array {
  if (base64 === undefined) return Buffer.from(stringify(data ?? null, null, undefined, NUMBERS) ?? 'null')
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
