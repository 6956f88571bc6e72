import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { Refusal } from '../core/refusal.ts'
import { answerClientError, type ClientError } from './client-errors.ts'
import type { Connections } from './connections.ts'
import { answerPreflight } from './cors.ts'
import { type EarlyGate, takeEarly } from './early-refusals.ts'
import type { ListenerLimits } from './limits.ts'
import { answerRefusal } from './problems.ts'
import { type RequestRules, refusalOf } from './request-check.ts'

/** How often Node looks for requests that are overdue, milliseconds. */
const OVERDUE_CHECK_MS = 1_000

/** What a server is made with. */
export interface ServerParts {
  readonly rules: RequestRules
  readonly connections: Connections
  /** Undefined while nothing is refused before it has a route. */
  readonly gate: () => EarlyGate | undefined
  /** Undefined without TLS. */
  readonly tls: { readonly isMutual: boolean } | undefined
}

/** Makes a server of Node's that hands on only what may reach a route. Certificates are given to it later. */
export function makeServer(handle: RequestListener, { rules, connections, gate, tls }: ServerParts): Server {
  const { limits } = rules
  const options = optionsOf(limits)
  const server =
    tls === undefined
      ? createServer(options)
      : createTlsServer({
          ...options,
          handshakeTimeout: limits.headersMs,
          ...(tls.isMutual && { requestCert: true, rejectUnauthorized: true }),
        })
  // One more than allowed, to see that there are more: Node drops the rest without a word.
  server.maxHeadersCount = limits.headerCount + 1
  server.maxConnections = limits.connections
  connections.follow(server, tls !== undefined)
  const early = takeEarly({ gate, limits, connections, handle })
  const take = (request: IncomingMessage, response: ServerResponse, isExpecting: boolean): void => {
    const connection = connections.begin(request, response)
    if (connection === undefined) return
    const refusal = refusalOf(request, rules) ?? floodRefusal(connection.inFlight, limits.requestsAtOnce)
    if (refusal !== undefined) {
      connection.endAfterAnswer()
      answerRefusal(request, response, refusal, true)
    } else if (!answerPreflight(request, response, rules.origins)) {
      if (isExpecting) connections.expectContinue(request)
      dropNoType(request)
      if (!early(request, response)) handle(request, response)
    }
  }
  server.on('request', (request, response) => take(request, response, false))
  server.on('checkContinue', (request, response) => take(request, response, true))
  server.on('checkExpectation', (request, response) => {
    const connection = connections.begin(request, response)
    connection?.endAfterAnswer()
    if (connection !== undefined) answerRefusal(request, response, otherExpectation(), true)
  })
  server.on('clientError', (error: ClientError, socket) =>
    answerClientError(error, socket as Socket, connections),
  )
  server.on('connect', (_request, socket) => endTunnel(socket as Socket, connections))
  return server
}

const TYPE = /^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+\s*(?:;|$)/

/** What is no type counts as none: Fastify would refuse the request for it. */
function dropNoType({ headers }: IncomingMessage): void {
  const type = headers['content-type']
  if (type !== undefined && !TYPE.test(type)) delete headers['content-type']
}

function optionsOf({ headerBytes, headersMs, requestMs, keepAliveMs }: ListenerLimits): ServerOptions {
  return {
    insecureHTTPParser: false,
    // Of a header that is sent twice all values are seen, not the first alone.
    joinDuplicateHeaders: true,
    // Said by us, with words.
    requireHostHeader: false,
    maxHeaderSize: headerBytes,
    headersTimeout: Math.min(headersMs, requestMs),
    requestTimeout: requestMs,
    keepAliveTimeout: keepAliveMs,
    connectionsCheckingInterval: OVERDUE_CHECK_MS,
    noDelay: true,
  }
}

function floodRefusal(inFlight: number, most: number): Refusal | undefined {
  if (inFlight <= most) return undefined
  return new Refusal(
    429,
    'too many requests at once',
    `a connection has ${most} requests under way at most`,
    {
      code: 'too-many-at-once',
      remedy: 'Wait for answers, or use more connections.',
    },
  )
}

function otherExpectation(): Refusal {
  return new Refusal(417, 'expectation not met', 'of expectations only 100-continue is met', {
    field: 'Expect',
  })
}

/** Node hands the bare socket on: there is no response to answer with. */
function endTunnel(socket: Socket, connections: Connections): void {
  // Node no longer listens: a reset would be a defect of the process.
  socket.on('error', () => socket.destroy())
  const connection = connections.of(socket)
  if (connection === undefined || connection.owed > 0) socket.destroy()
  else
    connection.linger(
      'HTTP/1.1 405 Method Not Allowed\r\nallow: GET, HEAD, POST\r\ncontent-length: 0\r\nconnection: close\r\n\r\n',
    )
}
