/** Header names of the wire contract. Written exactly so, read in any case. */
export const HEADERS = {
  specVersion: 'ce-specversion',
  id: 'ce-id',
  source: 'ce-source',
  type: 'ce-type',
  time: 'ce-time',
  subject: 'ce-subject',
  dataContentType: 'ce-datacontenttype',
  expiryTime: 'ce-expirytime',
  correlationId: 'ce-correlationid',
  causationId: 'ce-causationid',
  contentType: 'Content-Type',
  messageId: 'Nats-Msg-Id',
  expectedStream: 'Nats-Expected-Stream',
  expectedSubjectSequence: 'Nats-Expected-Last-Subject-Sequence',
  schedule: 'Nats-Schedule',
  scheduleTarget: 'Nats-Schedule-Target',
  timeToLive: 'Nats-TTL',
  traceparent: 'traceparent',
  tracestate: 'tracestate',
  inferenceHeaderLength: 'Inference-Header-Content-Length',
  contract: 'Pelton-Contract',
  token: 'Pelton-Token',
  origin: 'Pelton-Origin',
  attempt: 'Pelton-Attempt',
  parkedSince: 'Pelton-Parked-Since',
  returns: 'Pelton-Returns',
  replyTo: 'Pelton-Reply-To',
  publishedAt: 'Pelton-Published-At',
  replay: 'Pelton-Replay',
  supersedes: 'Pelton-Supersedes',
  replayedLetter: 'Pelton-Replayed-Letter',
  modelVersion: 'Pelton-Model-Version',
  outcome: 'Pelton-Outcome',
  inputDigest: 'Pelton-Input-Digest',
  originalDigest: 'Pelton-Original-Digest',
  queueMs: 'Pelton-Queue-Ms',
  inferenceMs: 'Pelton-Inference-Ms',
  batchRows: 'Pelton-Batch-Rows',
  // Reserved: no worker writes these two yet.
  degraded: 'Pelton-Degraded',
  cached: 'Pelton-Cached',
  stage: 'Pelton-Stage',
  worker: 'Pelton-Worker',
  history: 'Pelton-History',
  failedVersion: 'Pelton-Failed-Version',
  deadLetterReason: 'x-dead-letter-reason',
  deadLetterDescription: 'x-dead-letter-description',
  originalSubject: 'x-original-subject',
  originalStream: 'x-original-stream',
  originalSequence: 'x-original-seq',
  failedAt: 'x-failed-at',
  firstSeen: 'x-first-seen',
  deliveryCount: 'x-delivery-count',
} as const

/** Headers of one message: names in lower case, the first value of each. Never mutated after reading. */
export type Headers = ReadonlyMap<string, string>

/** A list of headers to write, in order. A name may stand more than once. */
export type HeaderEntry = readonly [name: string, value: string]

/** The names of the contract as they stand in {@link Headers}. */
const KEYS: ReadonlyMap<string, string> = new Map(
  Object.values(HEADERS).map((name) => [name, name.toLowerCase()]),
)

export function readHeader(headers: Headers, name: string): string | undefined {
  return headers.get(KEYS.get(name) ?? name.toLowerCase())
}

/** What is written as an attribute as it is. */
const PLAIN_ATTRIBUTE = /^[!#$&-~]*$/

/**
 * A CloudEvents attribute as a NATS header value: space, `"`, `%` and everything outside U+0021..U+007E
 * percent-encoded (CloudEvents NATS binding §3.1.3).
 */
export function encodeAttribute(value: string): string {
  if (PLAIN_ATTRIBUTE.test(value)) return value
  return value.toWellFormed().replace(/[^!#$&-~]+/g, encodeURIComponent)
}

/**
 * The reverse: quotes are removed, then one round of percent-decoding.
 *
 * @returns `undefined` where the value is not valid percent-encoded UTF-8.
 */
export function decodeAttribute(value: string): string | undefined {
  const bare =
    value.length >= 2 && value.startsWith('"') && value.endsWith('"')
      ? value.slice(1, -1).replace(/\\(.)/g, '$1')
      : value
  if (!bare.includes('%')) return bare
  try {
    return decodeURIComponent(bare)
  } catch {
    return undefined
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this finds
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g

/** Whether `name` can be written as a header name: printable ASCII without spaces and colons. */
export function isHeaderName(name: string): boolean {
  return /^[!-9;-~]+$/.test(name)
}

/**
 * Text from anywhere (an error, a client) made safe as a header value: one line, no control characters, printable,
 * at most `maxLength` characters. A CR or LF in a header would let its author write further headers.
 */
export function sanitizeHeaderValue(text: string, maxLength = 512): string {
  const oneLine = text.toWellFormed().replace(UNPRINTABLE, ' ').trim()
  if (oneLine.length <= maxLength) return oneLine
  return `${oneLine.slice(0, maxLength - 1).toWellFormed()}…`
}

/** What every header block begins with. */
export const FIRST_LINE = 'NATS/1.0\r\n'

/** A NATS header block: `NATS/1.0`, one line per entry, an empty line. Names and values must be sanitised already. */
export function encodeHeaderBlock(entries: Iterable<HeaderEntry>): Uint8Array {
  let text = FIRST_LINE
  for (const [name, value] of entries) text += `${name}: ${value}\r\n`
  return Buffer.from(`${text}\r\n`)
}

/** Of a message that removes a key of a bucket, and its history (ADR-8 of NATS). */
export const KEY_REMOVED: readonly HeaderEntry[] = [
  ['KV-Operation', 'PURGE'],
  ['Nats-Rollup', 'sub'],
]
