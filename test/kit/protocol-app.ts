import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import type { GatewayCore } from '../../services/gateway/core/core.ts'
import type { EndedRequest } from '../../services/gateway/core/figures.ts'
import type { Caller } from '../../services/gateway/core/request.ts'
import { openListener } from '../../services/gateway/http/listener.ts'
import type { Protocol } from '../../services/gateway/protocols/protocol.ts'

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

/** Protocols over a core, in the gateway's own listener: for `inject`, or to listen with. */
export function protocolApp(
  protocols: readonly Protocol[],
  { core, caller = OPEN_CALLER, isReady = () => true }: ProtocolAppOptions,
): ProtocolApp {
  const { app } = openListener({ host: '127.0.0.1', port: 0, log: pino({ level: 'silent' }) })
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
