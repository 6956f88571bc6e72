/** Where the bytes of a connection go: into what its client is about to send, or on to its socket. */
export interface OutputTarget {
  /** Behind what the client has to send by then; not read after the next {@link OutputTarget.send} took it. */
  add(bytes: Uint8Array): void
  /** All that was added, in one write. While the connection is away it stays where it is. */
  send(): void
}

/** Bytes of commands that do not wait for the end of the turn. */
const AT_ONCE_BYTES = 64 * 1024
const SLAB_BYTES = 256 * 1024

/**
 * Commands of one turn of the loop, written side by side into memory of its own and sent in one piece: at the turn's end, or
 * at once from 64 KB on. What was handed to the target is never written again: it may still be on its way to the socket.
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
    const headerBytes = headerBlock?.length ?? 0
    const needed = line.length + headerBytes + body.length + 2
    if (needed > this.#slab.length - this.#to) this.#renew(needed)
    const slab = this.#slab
    let at = this.#to + slab.write(line, this.#to, 'latin1')
    if (headerBlock !== undefined) slab.set(headerBlock, at)
    at += headerBytes
    slab.set(body, at)
    at += body.length
    slab[at] = 13
    slab[at + 1] = 10
    this.#to = at + 2
    this.#arm()
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

  #renew(needed: number): void {
    this.send()
    this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, needed))
    this.#from = 0
    this.#to = 0
  }

  #arm(): void {
    if (this.#isArmed) return
    this.#isArmed = true
    setImmediate(() => {
      this.#isArmed = false
      this.send()
    })
  }
}
