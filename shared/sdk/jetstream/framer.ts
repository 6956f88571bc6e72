import { BYTE, type ControlLine, createControlLine, LINE, readControlLine } from './control-line.ts'
import type { Frame } from './frame.ts'

/** What reads the bytes that are not ours: the client's own parser. */
export interface ClientParser {
  parse(bytes: Uint8Array): void
  /** 0 between two messages. */
  readonly state: number
}

/** Takes the frames of one subscription; `bytes` is what the frame counts with the client: headers and body. */
export type TakeFrame = (frame: Frame, bytes: number) => void

/** A frame of ours that has come in part. */
interface Gathering {
  readonly take: TakeFrame
  readonly subject: string
  readonly reply: string
  readonly headerBytes: number
  /** A buffer of its own, filled from its first byte on. */
  readonly bytes: Buffer
  filled: number
}

const AT_REST = 0
/** A server writes no line longer than this before a message. */
const MAX_LINE_BYTES = 64 * 1024
const NOTHING = Buffer.alloc(0)
/** First bytes of what a server says beside messages: +OK, -ERR, INFO, PING and PONG. */
const SAYINGS: ReadonlySet<number> = new Set([43, 45, 73, 80])

/**
 * Stands before the client's parser: takes the frames of our subscriptions out of what comes, and hands on all the rest, as it
 * came and in its order. What it cannot read goes to the client, until the client's parser is between two messages again.
 *
 * Knows where messages end by their sizes, those of others too, so that it sees whose each of them is.
 */
export class Framer {
  readonly #takers: ReadonlyMap<number, TakeFrame>
  readonly #line: ControlLine = createControlLine()
  #client: ClientParser
  /** Bytes of a message that the client reads, and that have not come yet. */
  #foreignLeft = 0
  /** Bytes of the end of a line of ours that have not come yet. */
  #skipLeft = 0
  /** The client is in a saying whose line feed has not come yet. */
  #isInSaying = false
  /** The beginning of a control line, whose end has not come yet. */
  #lineBegun = NOTHING
  #gathering: Gathering | undefined
  #isPassing: boolean

  /** @param takers whose frames are taken, by the id of their subscription; may change at any time */
  constructor(client: ClientParser, takers: ReadonlyMap<number, TakeFrame>) {
    this.#client = client
    this.#takers = takers
    this.#isPassing = client.state !== AT_REST
  }

  /** Begins anew with a new parser of the client: what had come in part is forgotten, as the client forgets it. */
  begin(client: ClientParser): void {
    this.#client = client
    this.#isPassing = client.state !== AT_REST
    this.#foreignLeft = 0
    this.#skipLeft = 0
    this.#isInSaying = false
    this.#lineBegun = NOTHING
    this.#gathering = undefined
  }

  /** Reads the next bytes of the connection. */
  parse(chunk: Uint8Array): void {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    if (this.#isPassing) this.#pass(bytes)
    else this.#walk(bytes, this.#resume(bytes))
  }

  /** Goes from frame to frame. Bytes of the client are handed on in runs as long as they are. */
  #walk(bytes: Buffer, from: number): void {
    let handedOn = from
    let at = from
    let isCut = false
    while (at < bytes.length) {
      const first = bytes[at] ?? 0
      if (first !== BYTE.M && first !== BYTE.H) {
        if (!SAYINGS.has(first)) break
        at = this.#endOfSaying(bytes, at)
        continue
      }
      const end = readControlLine(bytes, at, this.#line)
      if (end < 0) {
        isCut = end === LINE.cut
        break
      }
      const take = this.#takers.get(this.#line.sid)
      if (take === undefined) {
        at = this.#endOfForeign(bytes, end)
        continue
      }
      this.#handOn(bytes, handedOn, at)
      at = this.#take(take, bytes, end)
      handedOn = at
    }
    this.#handOn(bytes, handedOn, at)
    if (at < bytes.length) this.#stop(isCut, bytes.subarray(at))
  }

  /** With a line that is not at its end, or that nobody but the client may be able to read. */
  #stop(isCut: boolean, rest: Buffer): void {
    if (isCut && rest.length <= MAX_LINE_BYTES) this.#lineBegun = Buffer.from(rest)
    else this.#pass(rest)
  }

  /** From here on the client reads, until it is between two messages at the end of what has come. */
  #pass(bytes: Uint8Array): void {
    this.#isPassing = true
    this.#client.parse(bytes)
    this.#isPassing = this.#client.state !== AT_REST
  }

  #handOn(bytes: Buffer, from: number, to: number): void {
    if (to <= from) return
    this.#client.parse(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to))
  }

  /** Goes on with what had come in part. Returns from where on the bytes are new. */
  #resume(bytes: Buffer): number {
    if (this.#lineBegun.length > 0) return this.#resumeLine(bytes)
    if (this.#gathering !== undefined) return this.#gather(this.#gathering, bytes, 0)
    if (this.#skipLeft > 0) return this.#skip(bytes, 0, this.#skipLeft)
    if (this.#isInSaying) {
      const end = this.#endOfSaying(bytes, 0)
      this.#handOn(bytes, 0, end)
      return end
    }
    const end = Math.min(this.#foreignLeft, bytes.length)
    this.#foreignLeft -= end
    this.#handOn(bytes, 0, end)
    return end
  }

  #resumeLine(bytes: Buffer): number {
    const lineFeed = bytes.indexOf(BYTE.lineFeed)
    const until = lineFeed < 0 ? bytes.length : lineFeed + 1
    const line = Buffer.concat([this.#lineBegun, bytes.subarray(0, until)])
    this.#lineBegun = NOTHING
    const end = readControlLine(line, 0, this.#line)
    if (end < 0) {
      this.#stop(end === LINE.cut, line)
      if (!this.#isPassing) return until
      this.#pass(bytes.subarray(until))
      return bytes.length
    }
    const take = this.#takers.get(this.#line.sid)
    if (take !== undefined) return this.#take(take, bytes, until)
    this.#client.parse(line)
    const foreignEnd = this.#endOfForeign(bytes, until)
    this.#handOn(bytes, until, foreignEnd)
    return foreignEnd
  }

  /** Hands over the frame that the line just read begins, or gathers it. Returns from where on the bytes are not of it. */
  #take(take: TakeFrame, bytes: Buffer, from: number): number {
    const { subject, reply, headerBytes, totalBytes } = this.#line
    const end = from + totalBytes
    if (end > bytes.length) {
      const whole = Buffer.allocUnsafeSlow(totalBytes)
      return this.#gather({ take, subject, reply, headerBytes, bytes: whole, filled: 0 }, bytes, from)
    }
    const bodyFrom = from + headerBytes
    const headerBlock = headerBytes > 0 ? bytes.subarray(from, bodyFrom) : NOTHING
    take({ subject, reply, headerBlock, data: bytes.subarray(bodyFrom, end) }, totalBytes)
    return this.#skip(bytes, end, 2)
  }

  #gather(gathering: Gathering, bytes: Buffer, from: number): number {
    const { take, subject, reply, headerBytes, bytes: whole } = gathering
    const copied = bytes.copy(whole, gathering.filled, from)
    gathering.filled += copied
    this.#gathering = gathering.filled < whole.length ? gathering : undefined
    if (this.#gathering !== undefined) return bytes.length
    const headerBlock = headerBytes > 0 ? whole.subarray(0, headerBytes) : NOTHING
    take({ subject, reply, headerBlock, data: whole.subarray(headerBytes) }, whole.length)
    return this.#skip(bytes, from + copied, 2)
  }

  /** Leaves out so many bytes. */
  #skip(bytes: Buffer, from: number, count: number): number {
    const end = Math.min(from + count, bytes.length)
    this.#skipLeft = from + count - end
    return end
  }

  #endOfSaying(bytes: Buffer, from: number): number {
    const lineFeed = bytes.indexOf(BYTE.lineFeed, from)
    this.#isInSaying = lineFeed < 0
    return lineFeed < 0 ? bytes.length : lineFeed + 1
  }

  /** Where a message of the client ends whose body begins at `from`. */
  #endOfForeign(bytes: Buffer, from: number): number {
    const end = from + this.#line.totalBytes + 2
    this.#foreignLeft = Math.max(0, end - bytes.length)
    return Math.min(end, bytes.length)
  }
}
