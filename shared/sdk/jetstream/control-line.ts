/** What stands in the line before a message: `MSG subject sid [reply] bytes`, `HMSG subject sid [reply] bytes bytes`. */
export interface ControlLine {
  /** Id of the subscription it comes by. */
  sid: number
  /** Of the header block; 0 where there is none. */
  headerBytes: number
  /** Header block and body. */
  totalBytes: number
  /** Where subject and reply stand in what was read, ends excluded. Without a reply both its places are the same. */
  subjectFrom: number
  subjectTo: number
  replyFrom: number
  replyTo: number
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
const MAX_SPACES = 4

/** Where the spaces of the line are. Written anew for each. */
const spaces = [0, 0, 0, 0]

/** A line that is read into again and again. */
export function createControlLine(): ControlLine {
  return { sid: 0, headerBytes: 0, totalBytes: 0, subjectFrom: 0, subjectTo: 0, replyFrom: 0, replyTo: 0 }
}

/**
 * Reads the line that begins at `from` with M or H.
 *
 * @returns the place behind its line feed, or one of {@link LINE}
 */
export function readControlLine(bytes: Uint8Array, from: number, into: ControlLine): number {
  const hasHeaders = bytes[from] === BYTE.H
  const subjectFrom = from + (hasHeaders ? 5 : 4)
  let count = 0
  let at = subjectFrom
  for (; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === BYTE.lineFeed) break
    if (byte !== BYTE.space) continue
    if (count === MAX_SPACES) return LINE.strange
    spaces[count++] = at
  }
  if (at >= bytes.length) return LINE.cut
  const sizes = hasHeaders ? 2 : 1
  const hasReply = count === 2 + sizes
  if (!(hasReply || count === 1 + sizes) || !isKeyword(bytes, subjectFrom)) return LINE.strange
  const end = at - 1
  const [first = 0, second = 0] = spaces
  const beforeTotal = spaces[count - 1] ?? 0
  into.subjectFrom = subjectFrom
  into.subjectTo = first
  into.sid = readNumber(bytes, first + 1, second)
  into.replyFrom = second + 1
  into.replyTo = hasReply ? (spaces[2] ?? 0) : second + 1
  into.totalBytes = readNumber(bytes, beforeTotal + 1, end)
  into.headerBytes = hasHeaders ? readNumber(bytes, (spaces[count - 2] ?? 0) + 1, beforeTotal) : 0
  return bytes[end] === BYTE.return && isSound(into) ? at + 1 : LINE.strange
}

/** Whether `MSG ` stands before the subject. */
function isKeyword(bytes: Uint8Array, subjectFrom: number): boolean {
  return (
    bytes[subjectFrom - 4] === BYTE.M &&
    bytes[subjectFrom - 3] === 83 && // S
    bytes[subjectFrom - 2] === 71 && // G
    bytes[subjectFrom - 1] === BYTE.space
  )
}

function isSound({ sid, headerBytes, totalBytes, subjectFrom, subjectTo }: ControlLine): boolean {
  const areNumbers = sid >= 0 && headerBytes >= 0
  return areNumbers && totalBytes >= headerBytes && totalBytes <= MAX_BYTES && subjectTo > subjectFrom
}

/** A whole number in digits, -1 where it is none. */
function readNumber(bytes: Uint8Array, from: number, to: number): number {
  if (to <= from || to - from > 15) return -1
  let value = 0
  for (let at = from; at < to; at++) {
    const digit = (bytes[at] ?? 0) - 48
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}
