import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { type Problem, plainProblem } from '../../../shared/runtime/http.ts'
import type { Connections } from './connections.ts'
import { nextRequestId, textOf } from './problems.ts'

/** What the parser of Node refuses. */
export interface ClientError extends Error {
  readonly code?: string
  readonly reason?: string
}

/**
 * Answers what is no HTTP, or is not all there in time, and ends the connection. What cannot be read has no path and no
 * `Accept`: the answer is plain JSON, which every client shows.
 */
export function answerClientError(error: ClientError, socket: Socket, connections: Connections): void {
  const connection = connections.of(socket)
  if (connection?.isEnding === true) {
    // It is told already, and has its time to read that: what it sends meanwhile is no news. Answers that are owed still come.
    if (error.code === 'ECONNRESET') socket.destroy()
    else if (error.code === TIMEOUT && connection.owed > 0) connection.giveUpReading()
    else if (error.code === TIMEOUT) socket.destroy()
  } else if (connection === undefined || error.code === 'ECONNRESET' || !socket.writable) socket.destroy()
  // Answers come in order: those that are owed are the last ones.
  else if (connection.owed > 0) connection.giveUpReading()
  else connection.linger(rawAnswer(problemOfClientError(error)))
}

const TIMEOUT = 'ERR_HTTP_REQUEST_TIMEOUT'

function problemOfClientError({ code, reason }: ClientError): Problem {
  if (code === TIMEOUT) return plainProblem(408, 'request too slow', 'the request did not arrive in time')
  if (code === 'HPE_HEADER_OVERFLOW')
    return plainProblem(431, 'headers too large', 'the path and the headers are too large together')
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW')
    return plainProblem(413, 'chunk extensions too large', 'the extensions of chunks are too large')
  return plainProblem(
    400,
    'no HTTP request',
    `this is no request of HTTP/1.1: ${reason ?? 'it cannot be read'}`,
  )
}

function rawAnswer(problem: Problem): string {
  const body = textOf(problem, nextRequestId())
  return [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}`,
    'content-type: application/json',
    'cache-control: no-store',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    '',
    body,
  ].join('\r\n')
}
