import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CallerSignal, LeavingListener } from '../core/request.ts'

/** Requests of a connection that are not answered yet: several where a client sends the next before its answer. */
const pending = new WeakMap<Socket, Set<Leaving>>()

/**
 * A signal that is aborted when the client closes its connection before the answer is sent. A connection has one listener
 * for all of its requests, however many it lives to send: also those whose answers still wait for one before them, of
 * which the response itself would hear nothing.
 */
export function leavingSignal(request: FastifyRequest, reply: FastifyReply): CallerSignal {
  const leaving = new Leaving()
  const { socket } = request.raw
  if (socket.destroyed) {
    leaving.abort()
    return leaving
  }
  const ofSocket = pending.get(socket) ?? watch(socket)
  ofSocket.add(leaving)
  reply.raw.once('close', () => {
    ofSocket.delete(leaving)
    if (!reply.raw.writableFinished) leaving.abort()
  })
  return leaving
}

function watch(socket: Socket): Set<Leaving> {
  const ofSocket = new Set<Leaving>()
  pending.set(socket, ofSocket)
  socket.once('close', () => {
    for (const leaving of ofSocket) leaving.abort()
    ofSocket.clear()
  })
  return ofSocket
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
