import type { RequestListener, Server } from 'node:http'
import { Server as NetServer } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import type { Server as TlsServer } from 'node:tls'
import { type FastifyInstance, type FastifyRequest, fastify } from 'fastify'
import type { Logger } from 'pino'
import { hostCheck } from '../../../shared/runtime/host-names.ts'
import { answerUnknown, cannotListen } from '../../../shared/runtime/http.ts'
import { LONGEST_HANDLE } from '../core/handles.ts'
import { takeBodies } from './bodies.ts'
import { Connections } from './connections.ts'
import { allowOrigin, readOrigins } from './cors.ts'
import type { EarlyGate } from './early-refusals.ts'
import { DEFAULT_LIMITS, type ListenerLimits } from './limits.ts'
import { createErrorRenderer, nextRequestId, type RenderError, sendUnknown } from './problems.ts'
import type { RequestRules } from './request-check.ts'
import { Compressor } from './responses.ts'
import { makeServer } from './server.ts'
import { type Certificates, type ListenerTls, useCertificates } from './tls.ts'

/** Where a listener of the gateway listens, for whom, and what bounds it. */
export interface ListenerOptions {
  /** Address to listen on: `127.0.0.1`, `0.0.0.0`, `::`. */
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  readonly log: Logger
  /** @default none: plain HTTP */
  readonly tls?: ListenerTls | undefined
  /** Origins whose pages may call, each as `https://pages.example`. @default none */
  readonly corsOrigins?: readonly string[]
  /** Names it may be called by, separated by commas. @default loopback names on loopback, any name elsewhere */
  readonly allowedHosts?: string | undefined
  /** Those that are not given are as in {@link DEFAULT_LIMITS}. */
  readonly limits?: Partial<ListenerLimits>
  /** Makes a PeltonError of what the service knows to be no defect. @default nothing */
  readonly explain?: (thrown: unknown) => unknown
}

/**
 * A door to HTTP: a Fastify instance that gets bodies as bytes, bounded and decompressed, and whose errors are answered as
 * clients of the Open Inference Protocol read them.
 *
 *     const listener = openListener({ host, port, log })
 *     listener.app.post('/v2/models/:model/infer', …)   // before listen()
 *     await listener.listen()
 *     await listener.drain(30_000)                      // on SIGTERM
 *     await listener.close()
 */
export interface GatewayListener {
  /** For routes, hooks and plugins, until {@link GatewayListener.listen}. */
  readonly app: FastifyInstance
  /** Connections that are open. */
  readonly connections: number
  /** Bytes of bodies whose requests are not answered yet. */
  readonly heldBytes: number
  /** Has requests looked at before they have a route: those that are refused then cost least. */
  refuseEarly(gate: EarlyGate): void
  /** Opens the port. Resolves with the address. @throws PeltonError `invalid-configuration` for a port or certificates that cannot be used */
  listen(): Promise<string>
  /**
   * Takes no new connections, and ends those that are there: each after the answer to its last request, or once it has
   * been silent for a second. Whatever is accepted is answered. Resolves when all are gone, or cut after `graceMs`.
   */
  drain(graceMs: number): Promise<void>
  /** Cuts what is left. Safe to call twice, and without {@link GatewayListener.drain}. */
  close(): Promise<void>
}

/** Makes a listener; it listens once it is told to. @throws PeltonError `invalid-configuration` for an origin that is none */
export function openListener(options: ListenerOptions): GatewayListener {
  const { host, port, log, tls } = options
  const limits: ListenerLimits = { ...DEFAULT_LIMITS, ...options.limits }
  const connections = new Connections(limits)
  const origins = readOrigins(options.corsOrigins ?? [])
  const rules: RequestRules = { limits, isOurs: hostCheck(host, options.allowedHosts), origins }
  const servers: Server[] = []
  let [gate, certificates]: [EarlyGate?, Certificates?] = []
  const render = createErrorRenderer(log, options.explain)
  const app = openApp(connections, render, (handle) => {
    const asked = tls && { isMutual: tls.caFile !== undefined }
    const server = makeServer(handle, { rules, connections, gate: () => gate, tls: asked })
    servers.push(server)
    // `localhost` may be two addresses: the server of the second is made while the first listens.
    certificates?.give(server as unknown as TlsServer)
    return server
  })
  takeBodies(app, limits, connections)
  finishAnswers(app, connections, origins)
  let closing: Promise<void> | undefined
  return {
    app,
    get connections() {
      return connections.size
    },
    get heldBytes() {
      return connections.heldBytes
    },
    refuseEarly: (given) => {
      gate = given
    },
    async listen() {
      if (tls !== undefined)
        certificates = await useCertificates(() => servers as unknown as TlsServer[], tls, log)
      const address = await app.listen({ host, port }).catch((cause: unknown) => {
        throw cannotListen('PELTON_GATEWAY_HOST, PELTON_GATEWAY_PORT', host, port, cause)
      })
      log.info({ address }, 'listening')
      return address
    },
    async drain(graceMs) {
      await refuseConnections(servers)
      await connections.drain(graceMs)
    },
    close() {
      certificates?.stop()
      connections.close()
      closing ??= app.close()
      return closing
    },
  }
}

function openApp(
  connections: Connections,
  render: RenderError,
  serverFactory: (handle: RequestListener) => Server,
): FastifyInstance {
  const app = fastify({
    logger: false,
    genReqId: nextRequestId,
    return503OnClosing: false,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: LONGEST_HANDLE },
    serverFactory,
    // Fastify has one for the first of its servers alone: each has its own.
    clientErrorHandler: () => undefined,
    // A path that is no URL reaches no route and no hook.
    frameworkErrors: (error, request, reply) => {
      connections.settle(request.raw, reply)
      render(error, request, reply)
    },
  })
  answerUnknown(app, sendUnknown)
  app.setErrorHandler(render)
  return app
}

/** Every answer says whether its connection ends, and is compressed where its reader likes that. */
function finishAnswers(app: FastifyInstance, connections: Connections, origins: ReadonlySet<string>): void {
  const compressor = new Compressor()
  app.addHook('onSend', (request, reply, payload, done) => {
    connections.settle(request.raw, reply)
    if (origins.size > 0) allowOrigin(reply, origins)
    const encoding = compressor.encodingFor(reply, payload)
    if (encoding !== undefined)
      compressor.pack(reply, payload as string | Buffer, encoding).then((packed) => done(null, packed), done)
    else done(null, payload)
  })
}

/** Closes the ports alone: the server of HTTP would cut connections whose next request is on its way. */
async function refuseConnections(servers: readonly Server[]): Promise<void> {
  // What has connected already is taken first.
  await turn()
  for (const server of servers) NetServer.prototype.close.call(server)
}

/**
 * Asks before each request of the routes that are added to `app` afterwards whether it is taken: before its body is read,
 * and before anything else is asked.
 *
 * @param gate throws what the request is refused with
 */
export function addRequestGate(app: FastifyInstance, gate: (request: FastifyRequest) => void): void {
  app.addHook('onRequest', (request, _reply, done) => {
    let refused: Error | undefined
    try {
      gate(request)
    } catch (error) {
      refused = error as Error
    }
    done(refused)
  })
}
