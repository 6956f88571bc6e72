import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import type { Logger } from 'pino'
import { ERRORS, PeltonError } from '../sdk/errors.ts'
import { type Readiness, whyNotReady } from './readiness.ts'

/**
 * The HTTP side of a service: one Fastify instance with Pelton's manners, and the three routes every service has.
 *
 *     const http = openHttp({ host, port, log })
 *     addHealthRoutes(http.app, { state: () => lifecycle.state, reasons: () => [] })
 *     http.app.get('/things', …)      // before listen()
 *     await http.listen()             // logs the address, also where the port was 0
 *     await http.close()
 *
 * Whatever fails is answered with an RFC 9457 problem (`application/problem+json`): a thrown PeltonError with the
 * status of its code, anything else as `internal` without a word of its text. Unknown paths answer 404, known paths
 * with another method 405 and `Allow`. The first `/livez` must not wait for the broker: listen before connecting.
 */
export interface HttpSide {
  /** For routes, hooks and plugins, until {@link HttpSide.listen}. */
  readonly app: FastifyInstance
  /** Opens the port. Resolves with the address. @throws PeltonError `invalid-configuration` when it cannot be had */
  listen(): Promise<string>
  /** No new requests; those under way have a second to end. Safe to call twice. */
  close(): Promise<void>
}

/** Where an HTTP side listens, and what bounds it. */
export interface HttpOptions {
  /** Address to listen on: `127.0.0.1`, `0.0.0.0`, `::`. */
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  readonly log: Logger
  /** Largest request body, bytes. @default 1 MiB */
  readonly bodyLimitBytes?: number
  /** How long a request may take to arrive, milliseconds. @default 30 s */
  readonly requestMs?: number
  /** Makes a PeltonError of what a service knows to be no defect. @default nothing */
  readonly explain?: (thrown: unknown) => unknown
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route takes its body as it comes, however long that takes, and bounds it itself. */
    readonly isBodyStreamed?: boolean
  }
}

const REQUEST_MS = 30_000
/** How long what is refused is read on, milliseconds. */
const REFUSED_BODY_MS = 5_000
/** How long requests under way may take once the side is closed, milliseconds. */
const CLOSE_MS = 1_000
/** Of a path that is not here, characters. */
const LONGEST_SHOWN = 200

/** Makes the HTTP side of a service; it listens once it is told to. */
export function openHttp(options: HttpOptions): HttpSide {
  const { host, port, log, bodyLimitBytes = 1024 ** 2, requestMs = REQUEST_MS } = options
  const { explain = (thrown) => thrown } = options
  const app = fastify({
    logger: false,
    bodyLimit: bodyLimitBytes,
    genReqId: () => randomUUID(),
    routerOptions: { ignoreTrailingSlash: true },
    // A path that is no URL reaches no route and no hook.
    frameworkErrors: (error, request, reply) => answerError(error, request, reply, log),
  })
  boundArrival(app, requestMs)
  answerUnknown(app)
  app.setErrorHandler((thrown, request, reply) => answerError(explain(thrown), request, reply, log))
  let closing: Promise<void> | undefined
  return {
    app,
    async listen() {
      const address = await app.listen({ host, port }).catch((cause: unknown) => {
        throw cannotListen('PELTON_HTTP_HOST, PELTON_HTTP_PORT', host, port, cause)
      })
      log.info({ address }, 'listening')
      return address
    },
    close: () => {
      closing ??= closeApp(app)
      return closing
    },
  }
}

/**
 * Node's own bound on a request (`requestTimeout`) is one for all routes: the one on headers stays, bodies are bound
 * here. A body that is refused before it is here is read on for a while, and thrown away: were its connection closed at once, as
 * Fastify wants it, whoever still sends would lose the answer.
 */
function boundArrival(app: FastifyInstance, requestMs: number): void {
  app.server.headersTimeout = requestMs
  const isBound = ({ routeOptions }: FastifyRequest): boolean => routeOptions.config.isBodyStreamed !== true
  app.addHook('onRequest', (request, _reply, done) => {
    if (isBound(request)) destroyAfter(request.raw, requestMs)
    done()
  })
  app.addHook('onSend', (request, reply, _payload, done) => {
    const { raw } = request
    if (isBound(request) && !raw.complete) {
      reply.removeHeader('connection')
      destroyAfter(raw, Math.min(requestMs, REFUSED_BODY_MS))
    }
    done()
  })
}

/** Ends a request that has not arrived whole by then. */
function destroyAfter(raw: IncomingMessage, ms: number): void {
  const overdue = setTimeout(() => raw.complete || raw.destroy(), ms)
  raw.once('close', () => clearTimeout(overdue))
}

async function closeApp(app: FastifyInstance): Promise<void> {
  const overdue = setTimeout(() => app.server.closeAllConnections(), CLOSE_MS)
  await app.close()
  clearTimeout(overdue)
}

/** @param field the settings that name the two */
export function cannotListen(field: string, host: string, port: number, cause: unknown): PeltonError {
  const code = (cause as NodeJS.ErrnoException).code ?? 'unknown'
  return new PeltonError(
    'invalid-configuration',
    `the HTTP port cannot be opened (${code})`,
    {
      field,
      value: `${host}, ${port}`,
      remedy: 'Choose another port; 0 takes any that is free.',
    },
    cause,
  )
}

/** An RFC 9457 problem. `error` is the Open Inference Protocol's word for `detail`. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly error: string
  /** Identifies this answer; the log line of a defect carries the same. */
  readonly instance?: string
  readonly code?: string
  readonly field?: string
  readonly value?: string
  readonly remedy?: string
  readonly retryAfterMs?: number
}

/** Content type of every error that is answered (RFC 9457). */
export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8'

/** The problem of an error, with the status of its code. What only the log may know (`cause`) is not in it. */
export function problemOf(error: PeltonError): Problem {
  const { code, details, description } = error
  const { status, summary } = ERRORS[code]
  return {
    type: problemType(code),
    title: summary,
    status,
    detail: description,
    error: description,
    code,
    ...details,
  }
}

/** The URI that names a kind of problem. */
export function problemType(code: string): string {
  return `https://pelton.dev/problems/${code}`
}

/** A problem HTTP itself has a word for: 401, 404, 405, 413 and so on. */
export function plainProblem(status: number, title: string, detail: string): Problem {
  return { type: 'about:blank', title, status, detail, error: detail }
}

/** Answers with a problem. */
export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  const { status } = problem
  return reply
    .code(status)
    .type(PROBLEM_TYPE)
    .header('cache-control', 'no-store')
    .send(JSON.stringify({ instance: `urn:uuid:${reply.request.id}`, ...problem }))
}

function answerError(
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  log: Logger,
): FastifyReply {
  return sendProblem(reply, problemOfThrown(thrown, request, log))
}

/** The problem of anything thrown. A defect says nothing of itself: the log has it, with the id of the request. */
export function problemOfThrown(thrown: unknown, request: FastifyRequest, log: Logger): Problem {
  if (thrown instanceof PeltonError && thrown.code !== 'internal') return problemOf(thrown)
  const { statusCode, message } = (thrown ?? {}) as {
    readonly statusCode?: number
    readonly message?: string
  }
  // What Fastify refuses before a route sees it: a body that is too large, not JSON, of an unknown type.
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return plainProblem(statusCode, 'the request cannot be taken', message ?? '')
  log.error(
    { err: thrown, requestId: request.id, method: request.method, path: pathOf(request) },
    'request failed',
  )
  return problemOf(new PeltonError('internal', 'a defect; the log of the service says more'))
}

/** 404 where no method has the path, 405 with `Allow` where another one has it. */
export function answerUnknown(app: FastifyInstance, send: typeof sendProblem = sendProblem): void {
  const routes: { readonly methods: readonly string[]; readonly matches: RegExp }[] = []
  app.addHook('onRoute', ({ method, url }) => {
    routes.push({ methods: [method].flat(), matches: patternOf(url) })
  })
  app.setNotFoundHandler((request, reply) => {
    const path = pathOf(request)
    const shown = path.length <= LONGEST_SHOWN ? path : `${path.slice(0, LONGEST_SHOWN)}…`
    const found = routes.filter(({ matches }) => matches.test(path)).flatMap(({ methods }) => methods)
    if (found.length === 0) return send(reply, plainProblem(404, 'not found', `there is no ${shown} here`))
    const allow = [...new Set(found)].sort().join(', ')
    const detail = `${shown} takes ${allow}, not ${request.method}`
    return send(reply.header('allow', allow), plainProblem(405, 'method not allowed', detail))
  })
}

/** `/models/:name/x` → any one segment for a parameter, anything for `*`. */
function patternOf(url: string): RegExp {
  const parts = url.split(/(:[^/]+|\*)/).map((part) => {
    if (part === '*') return '.*'
    return part.startsWith(':') ? '[^/]+' : part.replace(/[.+?^${}()|[\]\\]/g, '\\$&')
  })
  return new RegExp(`^${parts.join('')}/?$`)
}

function pathOf({ url }: FastifyRequest): string {
  return url.split('?', 1)[0] ?? ''
}

/** What the health routes ask of a service. */
export interface Health extends Readiness {
  /** The metrics as Prometheus text. @default none: `/metrics` answers 404 */
  readonly metrics?: () => Promise<string>
}

/**
 * - `GET /livez`: 200 as long as the process's loop turns. Restart it where this fails.
 * - `GET /readyz`: 200 `{"status":"ready","reasons":[]}`, or 503 with the state and every reason; `notes` where there are
 *   some.
 * - `GET /metrics`: Prometheus text.
 */
export function addHealthRoutes(app: FastifyInstance, { metrics, ...readiness }: Health): void {
  app.get('/livez', (_request, reply) => reply.header('cache-control', 'no-store').send({ status: 'alive' }))
  app.get('/readyz', (_request, reply) => {
    const now = readiness.state()
    const all = whyNotReady(readiness)
    const isReady = all.length === 0
    const notes = readiness.notes?.() ?? []
    const status = now === 'ready' && !isReady ? 'not-ready' : now
    return reply
      .code(isReady ? 200 : 503)
      .header('cache-control', 'no-store')
      .send({ status, reasons: all, ...(notes.length > 0 && { notes }) })
  })
  if (metrics === undefined) return
  app.get('/metrics', async (_request, reply) =>
    reply.type('text/plain; version=0.0.4; charset=utf-8').send(await metrics()),
  )
}
