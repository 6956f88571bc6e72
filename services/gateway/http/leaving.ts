import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** Requests of a connection that are not answered yet: several where a client sends the next before its answer. */
const pending = new WeakMap<Socket, Set<AbortController>>()

/**
 * A signal that is aborted when the client closes its connection before the answer is sent. A connection has one listener
 * for all of its requests, however many it lives to send: also those whose answers still wait for one before them, of
 * which the response itself would hear nothing.
 */
export function leavingSignal(request: FastifyRequest, reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  const { socket } = request.raw
  if (socket.destroyed) {
    controller.abort()
    return controller.signal
  }
  const ofSocket = pending.get(socket) ?? watch(socket)
  ofSocket.add(controller)
  reply.raw.once('close', () => {
    ofSocket.delete(controller)
    if (!reply.raw.writableFinished) controller.abort()
  })
  return controller.signal
}

function watch(socket: Socket): Set<AbortController> {
  const ofSocket = new Set<AbortController>()
  pending.set(socket, ofSocket)
  socket.once('close', () => {
    for (const controller of ofSocket) controller.abort()
    ofSocket.clear()
  })
  return ofSocket
}
