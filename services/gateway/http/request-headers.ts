import type { IncomingHttpHeaders } from 'node:http'
import type { Headers } from '../../../shared/sdk/contract/headers.ts'
import { PeltonError, showValue } from '../../../shared/sdk/errors.ts'
import { Refusal } from '../core/refusal.ts'

/** What a request prefers (RFC 7240), of what is understood here. */
export interface Prefer {
  /** An answer that comes later will do. */
  readonly respondAsync: boolean
  /** How long the answer may be waited for, milliseconds; undefined where nothing is said. */
  readonly waitMs: number | undefined
}

/** The longest time a connection is held for `Prefer: wait`, milliseconds. What is asked beyond is lowered to it. */
const LONGEST_WAIT_MS = 30_000

const NO_PREFERENCE: Prefer = { respondAsync: false, waitMs: undefined }

/** A header beyond it is no preference of anybody's, and costs time to read; characters. */
const LONGEST_HEADER = 1_024

/** One preference: a name, perhaps its value; then parameters, which none of ours has, and the comma behind it. */
const PREFERENCE =
  /[\s,]*([!#$%&'*+.^`|~\w-]+)(?:\s*=\s*(?:([!#$%&'*+.^`|~\w-]+)|"((?:[^"\\]|\\.)*)"))?(?:\s*;[^,"]*(?:"(?:[^"\\]|\\.)*"[^,"]*)*)?\s*(?:,|$)/y

/**
 * Reads `Prefer`: names in any case, values with or without quotes, in one header or several. Of a preference that
 * stands twice the first counts. What is unknown or has a value that cannot be used is as if it were not there, and so
 * is everything from what is no preference on, and a header of more than 1,024 characters.
 */
export function readPrefer(headers: IncomingHttpHeaders): Prefer {
  const text = textOf(headers.prefer)
  if (text === undefined || text.length > LONGEST_HEADER) return NO_PREFERENCE
  const found = new Map<string, string>()
  PREFERENCE.lastIndex = 0
  for (let match = PREFERENCE.exec(text); match !== null; match = PREFERENCE.exec(text)) {
    const [, name = '', plain, quoted] = match
    const key = name.toLowerCase()
    if (!found.has(key)) found.set(key, plain ?? quoted?.replace(/\\(.)/g, '$1') ?? '')
  }
  const wait = found.get('wait') ?? ''
  return {
    respondAsync: found.get('respond-async') === '',
    waitMs: /^\d{1,9}$/.test(wait) ? Number(wait) * 1_000 : undefined,
  }
}

/** How long an answer is really waited for, and how `Preference-Applied` says so; milliseconds. */
export function appliedWait({ waitMs }: Prefer): {
  readonly waitMs: number
  readonly applied: string | undefined
} {
  if (waitMs === undefined) return { waitMs: 0, applied: undefined }
  const bounded = Math.min(waitMs, LONGEST_WAIT_MS)
  return { waitMs: bounded, applied: `wait=${bounded / 1_000}` }
}

/** A string of structured fields (RFC 8941), perhaps with parameters, of which none means anything here. */
const QUOTED_KEY =
  /^"((?:[ !#-[\]-~]|\\["\\])*)"(?: *; *[a-z*][\w.*-]*(?:=(?:"(?:[ !#-[\]-~]|\\["\\])*"|[!#-+\--:<-~]*))?)*$/
/** What most clients send: the same without quotes. A comma would be a second header. */
const BARE_KEY = /^[!#-+\--:<-[\]-~]+$/
const LONGEST_KEY = 255

/**
 * Reads `Idempotency-Key`: text in quotes (draft-ietf-httpapi-idempotency-key-header, RFC 8941), or the same without
 * them, as most clients send it. A key is the same key in both forms.
 *
 * @returns undefined where there is none
 * @throws Refusal 400 for a key that cannot be read, an empty one, one of more than 255 characters, and for two
 */
export function readIdempotencyKey(headers: IncomingHttpHeaders): string | undefined {
  const text = textOf(headers['idempotency-key'])?.trim()
  if (text === undefined) return undefined
  const key = text.length > LONGEST_HEADER ? undefined : readKey(text)
  if (key !== undefined && key.length >= 1 && key.length <= LONGEST_KEY) return key
  throw new Refusal(
    400,
    'the idempotency key cannot be used',
    'an idempotency key is one text of 1 to 255 characters',
    {
      code: 'invalid-argument',
      field: 'Idempotency-Key',
      value: showValue(text),
      remedy: 'Send one header with printable ASCII in quotes: "8e03978e-40d5-43e8-bc93-6894a57f9324".',
    },
  )
}

function readKey(text: string): string | undefined {
  return BARE_KEY.test(text) ? text : QUOTED_KEY.exec(text)?.[1]?.replace(/\\(.)/g, '$1')
}

/** Where in a trace a request stands. */
export interface TraceContext {
  readonly traceparent?: string
  readonly tracestate?: string
}

const NO_TRACE: TraceContext = {}
/** Version, trace and span, flags, and what a later version has behind them. */
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const STATE_MEMBER = /^[a-z0-9][a-z0-9_*/@-]{0,255}=[ !-+\--<>-~]{0,255}[!-+\--<>-~]$/
const MOST_MEMBERS = 32
/** What the event that is made of a request may carry, characters; W3C asks for as many at least. */
const LONGEST_STATE = 512

/**
 * Reads W3C Trace Context. What is malformed is as if it were not there, and without a `traceparent` there is no
 * `tracestate`. A later version is carried on as version 00, with the fields that one has. Of a `tracestate` beyond 512
 * characters whole members are dropped, the last first.
 */
export function readTraceContext(headers: IncomingHttpHeaders): TraceContext {
  const text = textOf(headers.traceparent)
  if (text === undefined) return NO_TRACE
  const [, version, place, flags = '', more] = TRACEPARENT.exec(text) ?? []
  if (place === undefined || (version === '00' && more !== undefined)) return NO_TRACE
  // Of the flags of a later version one bit is known.
  const known = version === '00' ? flags : `0${Number.parseInt(flags, 16) & 1}`
  const traceparent = `00-${place}-${known}`
  const tracestate = readTraceState(textOf(headers.tracestate))
  return tracestate === undefined ? { traceparent } : { traceparent, tracestate }
}

function readTraceState(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const members = text
    .split(',')
    .map((member) => member.trim())
    .filter((member) => member !== '')
  const keys = new Set(members.map((member) => member.slice(0, member.indexOf('='))))
  const isUsable = members.length <= MOST_MEMBERS && keys.size === members.length
  if (!isUsable || !members.every((member) => STATE_MEMBER.test(member))) return undefined
  while (members.join(',').length > LONGEST_STATE) members.pop()
  return members.length === 0 ? undefined : members.join(',')
}

/** What a header of a CloudEvent may consist of: everything else stands percent-encoded in it. */
const PRINTABLE = /^[ -~\t]*$/

/**
 * The attributes of a CloudEvent in binary mode, as they stand in the headers of a request: `ce-` and their name in lower
 * case, values still encoded. An empty value is none.
 *
 * @param rawHeaders names and values in turn, as Node keeps them: its table of headers joins two into one value
 * @throws PeltonError `malformed` for an attribute that stands twice, or has other characters than printable ASCII
 */
export function readEventHeaders(rawHeaders: readonly string[]): Headers {
  const found = new Map<string, string>()
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]?.toLowerCase() ?? ''
    const value = rawHeaders[index + 1] ?? ''
    if (!name.startsWith('ce-')) continue
    if (found.has(name))
      throw unreadable('an attribute of a CloudEvent stands once', name, value, 'Send one header.')
    if (!PRINTABLE.test(value))
      throw unreadable('an attribute has characters that a header cannot carry', name, value, PERCENT)
    found.set(name, value)
  }
  for (const [name, value] of found) if (value === '' || value === '""') found.delete(name)
  return found
}

const PERCENT = 'Percent-encode spaces, quotes, % and everything outside ASCII, as UTF-8.'

function unreadable(description: string, field: string, value: string, remedy: string): PeltonError {
  return new PeltonError('malformed', description, { field, value: showValue(value), remedy })
}

/** Several headers of one name are one list. */
function textOf(value: string | readonly string[] | undefined): string | undefined {
  return value === undefined || typeof value === 'string' ? value : value.join(', ')
}
