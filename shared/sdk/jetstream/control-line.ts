/** What stands in the line before a message: `MSG subject sid [reply] bytes`, `HMSG subject sid [reply] bytes bytes`. */
export interface ControlLine {
  /** Id of the subscription it comes by. */
  sid: number
  subject: string
  /** Empty where there is none. */
  reply: string
  /** Of the header block; 0 where there is none. */
  headerBytes: number
  /** Header block and body. */
  totalBytes: number
}

/** What {@link readControlLine} says instead of where the line ends. */
export const LINE = {
  /** Its end has not come yet. */
  cut: -1,
  /** Not as a server writes it. */
  strange: -2,
} as const

/** Bytes with a meaning on the wire. */
export const BYTE = { lineFeed: 10, return: 13, space: 32, H: 72, M: 77 } as const

/** What the client takes at most. */
const MAX_BYTES = 64 * 1024 * 1024

/** A line that is read into again and again. */
export function createControlLine(): ControlLine {
  return { sid: 0, subject: '', reply: '', headerBytes: 0, totalBytes: 0 }
}

/**
 * Reads the line that begins at `from` with M or H. Its text is decoded at once and cut apart, sizes are read from its end:
 * looking at each byte takes longer.
 *
 * @returns the place behind its line feed, or one of {@link LINE}
 */
export function readControlLine(bytes: Buffer, from: number, into: ControlLine): number {
  const lineFeed = bytes.indexOf(BYTE.lineFeed, from)
  if (lineFeed < 0) return LINE.cut
  const hasHeaders = bytes[from] === BYTE.H
  const textFrom = from + (hasHeaders ? 5 : 4)
  const textTo = lineFeed - 1
  if (bytes[textTo] !== BYTE.return || !isKeyword(bytes, textFrom)) return LINE.strange
  const beforeTotal = digitsFrom(bytes, textTo) - 1
  const beforeSizes = hasHeaders ? digitsFrom(bytes, beforeTotal) - 1 : beforeTotal
  into.totalBytes = readNumber(bytes, beforeTotal + 1, textTo)
  into.headerBytes = hasHeaders ? readNumber(bytes, beforeSizes + 1, beforeTotal) : 0
  const isSplit = bytes[beforeTotal] === BYTE.space && bytes[beforeSizes] === BYTE.space
  if (!isSplit || into.headerBytes > into.totalBytes || into.totalBytes > MAX_BYTES) return LINE.strange
  return beforeSizes > textFrom && readNames(bytes.toString('utf8', textFrom, beforeSizes), into)
    ? lineFeed + 1
    : LINE.strange
}

/** `subject sid [reply]`. */
function readNames(text: string, into: ControlLine): boolean {
  const subjectTo = text.indexOf(' ')
  const second = text.indexOf(' ', subjectTo + 1)
  const sidTo = second < 0 ? text.length : second
  into.sid = 0
  for (let at = subjectTo + 1; at < sidTo; at++) {
    const digit = text.charCodeAt(at) - 48
    if (digit < 0 || digit > 9) return false
    into.sid = into.sid * 10 + digit
  }
  into.subject = text.slice(0, subjectTo)
  into.reply = second < 0 ? '' : text.slice(second + 1)
  const isWhole = subjectTo > 0 && sidTo > subjectTo + 1 && sidTo - subjectTo < 16
  return isWhole && (second < 0 || (second + 1 < text.length && !into.reply.includes(' ')))
}

/** Whether `MSG ` stands before the text. */
function isKeyword(bytes: Uint8Array, textFrom: number): boolean {
  return (
    bytes[textFrom - 4] === BYTE.M &&
    bytes[textFrom - 3] === 83 && // S
    bytes[textFrom - 2] === 71 && // G
    bytes[textFrom - 1] === BYTE.space
  )
}

/** Where the digits begin that end at `to`. */
function digitsFrom(bytes: Uint8Array, to: number): number {
  let at = to
  for (let byte = bytes[at - 1] ?? 0; byte >= 48 && byte <= 57; byte = bytes[at - 1] ?? 0) at--
  return at
}

/** A number in digits; more than a message may have where they are none, or too many. */
function readNumber(bytes: Uint8Array, from: number, to: number): number {
  if (to <= from || to - from > 15) return Number.POSITIVE_INFINITY
  let value = 0
  for (let at = from; at < to; at++) value = value * 10 + (bytes[at] ?? 0) - 48
  return value
}
