import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CallerSignal, LeavingListener } from '../core/request.ts'

/**
 * What waits for the end of requests of a connection: mostly of one, of several where a client sends the next before its answer.
 * A list: a set makes a table anew every few requests, and the old ones keep what was in them.
 */
const pending = new WeakMap<Socket, (() => void)[]>()

/**
 * Tells once when a request is over: its response is closed, or its connection is. A connection has one listener for all of its
 * requests, however many it lives to send: also for those whose answers still wait for one before them, of which the response
 * itself would hear nothing.
 */
export function whenOver({ raw: { socket } }: FastifyRequest, reply: FastifyReply, onOver: () => void): void {
  if (socket.destroyed) {
    onOver()
    return
  }
  const ofSocket = pending.get(socket) ?? watch(socket)
  const end = (): void => {
    const at = ofSocket.indexOf(end)
    if (at < 0) return
    ofSocket.splice(at, 1)
    onOver()
  }
  ofSocket.push(end)
  reply.raw.once('close', end)
}

function watch(socket: Socket): (() => void)[] {
  const ofSocket: (() => void)[] = []
  pending.set(socket, ofSocket)
  socket.once('close', () => {
    for (const end of [...ofSocket]) end()
  })
  return ofSocket
}

/** A signal that is aborted when the client closes its connection before the answer is sent. */
export function leavingSignal(request: FastifyRequest, reply: FastifyReply): CallerSignal {
  const leaving = new Leaving()
  whenOver(request, reply, () => {
    if (!reply.raw.writableFinished) leaving.abort()
  })
  return leaving
}

/** There is one for each request, and hardly one is aborted: an `AbortSignal` takes the time of a dozen of these. */
class Leaving implements CallerSignal {
  reason: unknown = undefined
  #listeners: Set<LeavingListener> | undefined = new Set()

  get aborted(): boolean {
    return this.#listeners === undefined
  }

  throwIfAborted(): void {
    if (this.aborted) throw this.reason
  }

  addEventListener(_type: 'abort', listener: LeavingListener): void {
    this.#listeners?.add(listener)
  }

  removeEventListener(_type: 'abort', listener: LeavingListener): void {
    this.#listeners?.delete(listener)
  }

  abort(): void {
    const listeners = this.#listeners
    if (listeners === undefined) return
    this.#listeners = undefined
    this.reason = new DOMException('The caller left before its answer.', 'AbortError')
    for (const listener of listeners) listener.handleEvent()
  }
}
