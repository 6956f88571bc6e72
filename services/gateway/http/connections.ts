import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Server, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyReply } from 'fastify'
import { Connection, isBodyPending } from './connection.ts'
import type { ListenerLimits } from './limits.ts'

/** Between two looks at all connections, milliseconds. */
const SWEEP_MS = 500
/** The same while the listener drains. */
const DRAIN_SWEEP_MS = 25
/**
 * How long a connection has to be silent before it is closed by us: on one that is busy the next request may be on its
 * way, and would be lost.
 */
const QUIET_MS = 1_000

/** Found on the request itself: looked up several times for each. */
const KEPT = Symbol('what a listener keeps of a request')

interface KeptRequest {
  readonly connection: Connection
  readonly response: ServerResponse
  heldBytes: number
  expectsContinue: boolean
  body?: KeptBody
}

/** A body that was read before its request had a route, or why it could not be. */
export interface KeptBody {
  readonly error: Error | null
  readonly body: Buffer | undefined
}

type Kept = IncomingMessage & { [KEPT]?: KeptRequest }

/** All connections of a listener, and what they hold. */
export class Connections {
  readonly #limits: ListenerLimits
  readonly #bySocket = new Map<Socket, Connection>()
  /** What TLS runs on, too, from its first packet on. */
  readonly #sockets = new Set<Socket>()
  #heldBytes = 0
  #isDraining = false
  #sweeper: NodeJS.Timeout | undefined

  constructor(limits: ListenerLimits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#sockets.size
  }

  /** Bytes of bodies whose requests are not answered yet. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  of(socket: Socket): Connection | undefined {
    return this.#bySocket.get(socket)
  }

  /** Knows all connections of a server from now on. */
  follow(server: Server, isTls: boolean): void {
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    server.on(isTls ? 'secureConnection' : 'connection', (socket: Socket) => this.#add(socket))
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS).unref()
  }

  #add(socket: Socket): void {
    this.#bySocket.set(socket, new Connection(socket, performance.now(), this.#limits.lingerMs))
    socket.once('close', () => this.#remove(socket))
  }

  #remove(socket: Socket): void {
    const connection = this.#bySocket.get(socket)
    if (connection === undefined) return
    this.#bySocket.delete(socket)
    this.#heldBytes -= connection.heldBytes
  }

  /** Counts a request until it is answered, or until its connection is gone. Undefined where nothing is taken anymore. */
  begin(request: Kept, response: ServerResponse): Connection | undefined {
    const connection = this.#bySocket.get(request.socket)
    if (connection?.isEnding === true) connection.stopReading()
    if (connection === undefined || connection.isEnding) return undefined
    connection.begin(request)
    const kept: KeptRequest = { connection, response, heldBytes: 0, expectsContinue: false }
    request[KEPT] = kept
    response.once('close', () => {
      connection.inFlight -= 1
      this.#release(kept)
    })
    return connection
  }

  /** What a connection that is gone held was let go with it. */
  #release({ connection, heldBytes }: KeptRequest): void {
    if (!this.#bySocket.has(connection.socket)) return
    connection.heldBytes -= heldBytes
    this.#heldBytes -= heldBytes
  }

  /** Whether there is room for so many bytes more of a body. They are held until the request is answered. */
  hold(request: Kept, bytes: number): boolean {
    if (this.#heldBytes + bytes > this.#limits.heldBytes) return false
    const kept = request[KEPT]
    // One that is gone holds nothing, and neither does one that came over no connection (`inject`).
    if (kept === undefined || !this.#bySocket.has(kept.connection.socket)) return true
    kept.heldBytes += bytes
    kept.connection.heldBytes += bytes
    this.#heldBytes += bytes
    return true
  }

  /** Remembers that the client waits to be told to send its body. */
  expectContinue(request: Kept): void {
    const kept = request[KEPT]
    if (kept !== undefined) kept.expectsContinue = true
  }

  /** Tells a client that waits for it to send its body. */
  goOn(request: Kept): void {
    const kept = request[KEPT]
    if (kept?.expectsContinue !== true) return
    kept.expectsContinue = false
    kept.response.writeContinue()
  }

  /** Keeps what was read of a body for the route of its request. */
  keepBody(request: Kept, body: KeptBody): void {
    const kept = request[KEPT]
    if (kept !== undefined) kept.body = body
  }

  keptBody(request: Kept): KeptBody | undefined {
    return request[KEPT]?.body
  }

  /** Whether the answer to a request that was read whole is the last one of its connection. */
  isLastAnswer(request: Kept): boolean {
    const connection = request[KEPT]?.connection
    return connection !== undefined && connection.inFlight === 1 && this.#isLast(connection)
  }

  /** Decides with an answer whether it is the last one of its connection. */
  settle(request: Kept, reply: FastifyReply): void {
    const connection = request[KEPT]?.connection
    if (connection === undefined) return
    if (isBodyPending(request)) reply.header('connection', 'close')
    if (reply.getHeader('connection') === 'close') connection.endAfterAnswer()
    else if (this.isLastAnswer(request)) reply.header('connection', 'close')
  }

  #isLast({ isEnding, requests }: Connection): boolean {
    const most = this.#limits.requestsPerConnection
    return isEnding || this.#isDraining || (most > 0 && requests >= most)
  }

  #sweep(): void {
    const now = performance.now()
    for (const connection of this.#bySocket.values()) {
      connection.sweep(now, this.#limits.takeMs)
      if (this.#isDraining && connection.isQuiet(now, QUIET_MS)) connection.linger()
    }
  }

  /**
   * Waits until every connection is gone: each ends with the answer to its last request, or once it is silent. What is
   * left after `graceMs` is cut.
   */
  async drain(graceMs: number): Promise<void> {
    this.#isDraining = true
    const end = performance.now() + graceMs
    while (this.#sockets.size > 0 && performance.now() < end) {
      this.#sweep()
      await sleep(DRAIN_SWEEP_MS)
    }
    this.close()
  }

  /** Cuts every connection. */
  close(): void {
    clearInterval(this.#sweeper)
    for (const socket of [...this.#bySocket.keys(), ...this.#sockets]) {
      socket.destroy()
      this.#remove(socket)
    }
    this.#sockets.clear()
  }
}
