import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** What a client may send while it has time to read the last answer: it is thrown away, bytes. */
const LINGER_BYTES = 16 * 1024 ** 2

/** Whether a request has a body of which something is still to come. */
export function isBodyPending({ complete, headers }: IncomingMessage): boolean {
  if (complete) return false
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

/** What is known of a connection: by it one is told that is slow, idle, or over. */
export class Connection {
  readonly socket: Socket
  /** Requests that are not answered yet, the last one perhaps not even read. */
  inFlight = 0
  requests = 0
  /** Bytes of bodies of those requests. */
  heldBytes = 0
  /** Nothing more is taken from it. */
  isEnding = false
  #latest: IncomingMessage | undefined
  /** Since when it brings nothing and waits for nothing, of the clock of sweeps. */
  #quietSince: number
  #seenBytes = 0
  /** What has to be taken, and since when it waits. */
  #waiting: { readonly since: number; readonly until: number } | undefined
  #lingers: { readonly until: number; readonly mostBytes: number } | undefined
  readonly #lingerMs: number
  #isUnread = false
  #isGivenUp = false

  /** @param lingerMs how long a client may take to read the last answer */
  constructor(socket: Socket, now: number, lingerMs: number) {
    this.socket = socket
    this.#lingerMs = lingerMs
    this.#quietSince = now
  }

  begin(request: IncomingMessage): void {
    this.inFlight += 1
    this.requests += 1
    this.#latest = request
  }

  /** Answers that are owed before anything could be said of what comes in now. */
  get owed(): number {
    return this.inFlight - (this.isReading ? 1 : 0)
  }

  /** Whether the body of a request is still arriving. */
  get isReading(): boolean {
    return this.inFlight > 0 && this.#latest !== undefined && isBodyPending(this.#latest)
  }

  /** From here on what comes in is thrown away; the connection ends once the answer is sent. */
  endAfterAnswer(): void {
    if (this.isEnding) return
    this.isEnding = true
    // How Node ends a connection after its last answer. To close it with bytes unread would reset it, and the client
    // might lose the answer.
    this.socket.destroySoon = () => this.linger()
  }

  /**
   * Nothing that comes in is read anymore, not even to see where a request ends: Node keeps every request that it reads
   * until the connection is gone.
   */
  stopReading(): void {
    if (this.#isUnread) return
    this.#isUnread = true
    // Takes the socket from the parser, too.
    this.socket.on('data', () => undefined)
    for (const listener of this.socket.listeners('data').slice(0, -1))
      this.socket.removeListener('data', listener as () => void)
  }

  /** Ends it once the answers that are owed are given: what is still arriving gets none. */
  giveUpReading(): void {
    this.endAfterAnswer()
    this.#isGivenUp = true
  }

  /** Says the last word, and leaves the client a while to hear it. */
  linger(lastWords?: string): void {
    if (this.#lingers !== undefined) return
    this.isEnding = true
    this.#lingers = {
      until: performance.now() + this.#lingerMs,
      mostBytes: this.socket.bytesRead + LINGER_BYTES,
    }
    if (lastWords === undefined) this.socket.end()
    else this.socket.end(lastWords)
    this.socket.resume()
  }

  /** Whether it brought nothing and waited for nothing for so long. */
  isQuiet(now: number, forMs: number): boolean {
    return this.inFlight === 0 && this.socket.writableLength === 0 && now - this.#quietSince >= forMs
  }

  /** Looks at it now and then; ends what takes too long. */
  sweep(now: number, takeMs: number): void {
    const { socket } = this
    if (this.inFlight > 0 || socket.bytesRead !== this.#seenBytes) this.#quietSince = now
    this.#seenBytes = socket.bytesRead
    if (this.isOverdue(now) || this.isTakenTooSlowly(now, takeMs)) socket.destroy()
    else if (this.isEnding && this.#isAllSaid) this.linger()
  }

  get #isAllSaid(): boolean {
    return this.inFlight === 0 || (this.#isGivenUp && this.owed === 0)
  }

  private isOverdue(now: number): boolean {
    const lingers = this.#lingers
    return lingers !== undefined && (now > lingers.until || this.socket.bytesRead > lingers.mostBytes)
  }

  /** What waited to be sent at one look has to be gone `takeMs` later: by drops or at once. */
  private isTakenTooSlowly(now: number, takeMs: number): boolean {
    const { bytesWritten, writableLength } = this.socket
    const sent = bytesWritten - writableLength
    if (writableLength === 0) this.#waiting = undefined
    else if (this.#waiting === undefined || sent >= this.#waiting.until)
      this.#waiting = { since: now, until: bytesWritten }
    return this.#waiting !== undefined && now - this.#waiting.since > takeMs
  }
}
