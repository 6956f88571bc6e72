/** Where the bytes of a connection go: into what its client is about to send, or on to its socket. */
export interface OutputTarget {
  /** Behind what the client has to send by then. */
  add(bytes: Uint8Array): void
  /** All that was added, in one write. While the connection is away it stays where it is. */
  send(): void
  /** Whether nobody will read again what was added: it is with the operating system, or forgotten. */
  isSent(): boolean
}

/** Bytes of commands that do not wait for the end of the turn. */
const AT_ONCE_BYTES = 64 * 1024
const SLAB_BYTES = 256 * 1024

/**
 * Commands of one turn of the loop, written side by side into memory of its own and sent in one piece: at the turn's end, or
 * at once from 64 KB on. What was handed to the target is not written again before it is sent.
 */
export class Output {
  readonly #target: OutputTarget
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
  /** What lies between the two was put and not handed over yet. */
  #from = 0
  #to = 0
  #isArmed = false

  constructor(target: OutputTarget) {
    this.#target = target
  }

  /** A command: its line in ASCII, then header block, body and the end of the line, all copied. */
  put(line: string, headerBlock: Uint8Array | undefined, body: Uint8Array): void {
    const needed = line.length + (headerBlock?.length ?? 0) + body.length + 2
    if (needed > SLAB_BYTES) {
      this.#putAlone(needed, line, headerBlock, body)
      return
    }
    if (needed > SLAB_BYTES - this.#to) this.#renew()
    this.#to = write(this.#slab, this.#to, line, headerBlock, body)
    if (!this.#isArmed) this.#arm()
    if (this.#to - this.#from >= AT_ONCE_BYTES) this.send()
  }

  /** Hands over what was put, for whoever adds something behind it. It is sent at the end of the turn at the latest. */
  handOver(): void {
    if (this.#to === this.#from) return
    this.#target.add(this.#slab.subarray(this.#from, this.#to))
    this.#from = this.#to
  }

  /** Sends what was put. */
  send(): void {
    this.handOver()
    this.#target.send()
  }

  /** Forgets what was put and not handed over. */
  drop(): void {
    this.#from = this.#to
  }

  /** In memory that goes with it. */
  #putAlone(needed: number, line: string, headerBlock: Uint8Array | undefined, body: Uint8Array): void {
    this.handOver()
    const own = Buffer.allocUnsafeSlow(needed)
    write(own, 0, line, headerBlock, body)
    this.#target.add(own)
    this.#target.send()
  }

  /** Begins at the slab's beginning, or in a new one where the socket still reads from it. */
  #renew(): void {
    this.send()
    if (!this.#target.isSent()) this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
    this.#from = 0
    this.#to = 0
  }

  #arm(): void {
    this.#isArmed = true
    setImmediate(() => {
      this.#isArmed = false
      this.send()
    })
  }
}

/** Returns where it ends. */
function write(
  into: Buffer,
  from: number,
  line: string,
  headerBlock: Uint8Array | undefined,
  body: Uint8Array,
): number {
  let at = from + into.write(line, from, 'latin1')
  if (headerBlock !== undefined) {
    into.set(headerBlock, at)
    at += headerBlock.length
  }
  into.set(body, at)
  at += body.length
  into[at] = 13
  into[at + 1] = 10
  return at + 2
}
