import { type FastifyInstance, fastify } from 'fastify'
import type { GatewayCore } from '../../services/gateway/core/core.ts'
import type { EndedRequest } from '../../services/gateway/core/figures.ts'
import { Refusal } from '../../services/gateway/core/refusal.ts'
import type { Caller } from '../../services/gateway/core/request.ts'
import type { Protocol } from '../../services/gateway/protocols/protocol.ts'
import { plainProblem, problemOf, sendProblem } from '../../shared/runtime/http.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'

/** A caller where no key is needed. */
export const OPEN_CALLER: Caller = {
  keyId: undefined,
  source: 'http',
  pool: 'default',
  highestLane: 'high',
  quotaClass: undefined,
  mayUse: () => true,
}

export interface ProtocolApp {
  readonly app: FastifyInstance
  /** What was counted, in order. */
  readonly ended: EndedRequest[]
}

export interface ProtocolAppOptions {
  readonly core: GatewayCore
  /** @default {@link OPEN_CALLER} */
  readonly caller?: Caller
  /** @default always */
  readonly isReady?: () => boolean
}

/** Protocols over a core, in an app that treats bodies and errors as the gateway's listener does. */
export function protocolApp(
  protocols: readonly Protocol[],
  { core, caller = OPEN_CALLER, isReady = () => true }: ProtocolAppOptions,
): ProtocolApp {
  const app = fastify({ routerOptions: { maxParamLength: 4_096 }, forceCloseConnections: true })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.setErrorHandler((thrown, _request, reply) => {
    if (thrown instanceof PeltonError) return sendProblem(reply, problemOf(thrown))
    if (!(thrown instanceof Refusal)) throw thrown
    const { status, title, message, details } = thrown
    const { field, value, remedy, headers = {} } = details
    return sendProblem(reply.headers(headers), {
      ...plainProblem(status, title, message),
      ...(field !== undefined && { field }),
      ...(value !== undefined && { value }),
      ...(remedy !== undefined && { remedy }),
    })
  })
  const ended: EndedRequest[] = []
  const parts = {
    core: () => core,
    callerOf: () => caller,
    figures: { ended: (request: EndedRequest) => void ended.push(request) },
    defaultTimeoutMs: 10_000,
    isReady,
    reasons: () => [],
  }
  for (const protocol of protocols) protocol(app, parts)
  return { app, ended }
}
