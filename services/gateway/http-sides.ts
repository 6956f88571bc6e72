import type { FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import type { KeyFollower } from '../../shared/operations/keys/key-follower.ts'
import { type BrokerReach, noConnection } from '../../shared/runtime/broker-reach.ts'
import { securityOptions } from '../../shared/runtime/config.ts'
import { addHealthRoutes, type HttpSide, openHttp } from '../../shared/runtime/http.ts'
import type { State } from '../../shared/runtime/lifecycle.ts'
import { addOpenApi, OPENAPI_PATHS } from '../../shared/runtime/openapi-routes.ts'
import { packageVersion } from '../../shared/runtime/package-version.ts'
import { measureProcess } from '../../shared/runtime/process-metrics.ts'
import type { Readiness } from '../../shared/runtime/readiness.ts'
import { traceSdk } from '../../shared/runtime/sdk-spans.ts'
import type { Telemetry } from '../../shared/runtime/telemetry.ts'
import { namedError } from '../../shared/sdk/contract/named-error.ts'
import { createNames } from '../../shared/sdk/contract/names.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { readExpiries } from '../../shared/sdk/jetstream/expiry.ts'
import { explained } from '../../shared/sdk/jetstream/provision-refusal.ts'
import type { GatewaySettings } from './config.ts'
import type { Caller } from './core/request.ts'
import type { RunningCore } from './core/running-core.ts'
import { addCallers, callersAtOnce, needsKeys } from './http/authorisation.ts'
import { type GatewayListener, openListener } from './http/listener.ts'
import { createFigures, type GatewayFigures } from './observe/figures.ts'
import { openGatewayGauges } from './observe/gateway-gauges.ts'
import { type MeasuredRequests, measureRequests } from './observe/http-metrics.ts'
import { traceRequests } from './observe/http-traces.ts'
import { type Refusals, watchRefusals } from './observe/refusals.ts'
import { createCloudEvents } from './protocols/cloud-events/cloud-events.ts'
import { earlyGate } from './protocols/open-inference/early-gate.ts'
import { createOpenInference } from './protocols/open-inference/open-inference.ts'
import type { ProtocolParts } from './protocols/protocol.ts'
import { results } from './protocols/results/results.ts'
import type { ScanLimits } from './protocols/scan-request.ts'

/** What works once the broker is there. */
interface Inside {
  readonly core: RunningCore
  /** Undefined where no key is needed. */
  readonly keys: KeyFollower | undefined
}

/** Both HTTP sides of a gateway, requests and operations: open before the broker is asked, and until all is answered. */
export interface GatewayDoor {
  state: State
  /** From here on requests are taken. */
  inside: Inside | undefined
  /** Undefined before there was a connection. */
  reach: BrokerReach | undefined
  readonly needsKeys: boolean
  readonly figures: GatewayFigures
  /** Told of each request that is not let in. */
  readonly refusals: Refusals
  readonly listener: GatewayListener
  address: string
  close(): Promise<void>
}

/** @throws PeltonError `invalid-configuration` for a port, certificate or address that cannot be used */
export async function openDoor(
  settings: GatewaySettings,
  log: Logger,
  telemetry: Telemetry,
): Promise<GatewayDoor> {
  const listener = openListener(listenerOptions(settings, log))
  let operations: HttpSide | undefined
  const door: GatewayDoor = {
    state: 'starting',
    inside: undefined,
    reach: undefined,
    needsKeys: needsKeys(settings.PELTON_GATEWAY_HOST, settings.PELTON_GATEWAY_KEYS),
    figures: createFigures({ hasMetrics: telemetry.hasMetrics }),
    refusals: watchRefusals({ log, hasMetrics: telemetry.hasMetrics }),
    listener,
    address: '',
    close: async () => {
      await listener.close()
      door.refusals.close()
      await operations?.close()
    },
  }
  const readiness = readinessOf(door)
  if (telemetry.hasTraces) {
    traceRequests(listener.app)
    traceSdk()
  }
  const measured = telemetry.hasMetrics ? measure(door, settings, readiness) : undefined
  addProtocols(door, settings, readiness)
  // A span belongs to a route.
  if (!telemetry.hasTraces) refuseEarly(door, settings, measured)
  operations = await openOperations(settings, log, telemetry, readiness)
  door.address = await listener.listen()
  return door
}

function listenerOptions(settings: GatewaySettings, log: Logger): Parameters<typeof openListener>[0] {
  const {
    PELTON_GATEWAY_TLS_CERT: certFile,
    PELTON_GATEWAY_TLS_KEY: keyFile,
    PELTON_GATEWAY_TLS_CA: caFile,
    PELTON_GATEWAY_CORS_ORIGINS: corsOrigins,
  } = settings
  const names = createNames(settings.PELTON_PREFIX)
  return {
    host: settings.PELTON_GATEWAY_HOST,
    port: settings.PELTON_GATEWAY_PORT,
    log,
    tls: certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile, caFile },
    ...(corsOrigins !== undefined && { corsOrigins }),
    allowedHosts: settings.PELTON_GATEWAY_ALLOWED_HOSTS,
    limits: {
      bodyBytes: settings.PELTON_GATEWAY_MAX_BODY_BYTES,
      compressedBytes: settings.PELTON_GATEWAY_MAX_BODY_BYTES,
      bodyPieces: settings.PELTON_GATEWAY_MAX_BODY_PIECES,
      heldBytes: settings.PELTON_GATEWAY_MAX_IN_FLIGHT_BYTES,
      headerBytes: settings.PELTON_GATEWAY_MAX_HEADER_BYTES,
      headerCount: settings.PELTON_GATEWAY_MAX_HEADERS,
      targetBytes: settings.PELTON_GATEWAY_MAX_TARGET_BYTES,
      requestsAtOnce: settings.PELTON_GATEWAY_MAX_PIPELINED,
      connections: settings.PELTON_GATEWAY_MAX_CONNECTIONS,
      requestMs: settings.PELTON_GATEWAY_ARRIVAL_MS,
      headersMs: Math.min(10_000, settings.PELTON_GATEWAY_ARRIVAL_MS),
      keepAliveMs: settings.PELTON_GATEWAY_KEEP_ALIVE_MS,
      takeMs: settings.PELTON_GATEWAY_TAKING_MS,
    },
    explain: (thrown) => namedError(names, explained(thrown)),
  }
}

function readinessOf(door: GatewayDoor): Readiness {
  return {
    state: () => door.state,
    reasons: () => {
      if (door.reach?.isReachable !== true) return [noConnection(door.reach)]
      if (door.inside?.core.models.isRead !== true) return ['models: their records are being read']
      return door.inside.keys?.isFresh === false ? ['keys: the broker does not confirm them'] : []
    },
  }
}

function measure(door: GatewayDoor, settings: GatewaySettings, readiness: Readiness): MeasuredRequests {
  const { listener } = door
  const measured = measureRequests(listener.app)
  measureProcess('gateway', {
    ...readiness,
    isBrokerReachable: () => door.reach?.isReachable === true,
    expiries: () => readExpiries(securityOptions(settings)),
  })
  openGatewayGauges({
    connections: () => ({ count: listener.connections, limit: settings.PELTON_GATEWAY_MAX_CONNECTIONS }),
    inFlight: () => ({
      requests: { count: door.inside?.core.inFlight ?? 0, limit: settings.PELTON_GATEWAY_MAX_IN_FLIGHT },
      bytes: { count: listener.heldBytes, limit: settings.PELTON_GATEWAY_MAX_IN_FLIGHT_BYTES },
    }),
    keys: () => door.inside?.keys?.count,
    gates: () => door.inside?.core.gates ?? [],
  })
  return measured
}

function addProtocols(door: GatewayDoor, settings: GatewaySettings, { reasons }: Readiness): void {
  const { app } = door.listener
  const { PELTON_GATEWAY_POOL: pool } = settings
  const patienceMs = Math.min(settings.PELTON_GATEWAY_TIMEOUT_MS, settings.PELTON_GATEWAY_ARRIVAL_MS)
  const callerOf = addCallers(app, {
    keys: keysOf(door),
    ...{ pool, patienceMs, openBelow: OPENAPI_PATHS },
  })
  const parts: ProtocolParts = {
    core: () => inside(door).core,
    callerOf: (request: FastifyRequest): Caller => callerOf(request),
    figures: door.figures,
    defaultTimeoutMs: settings.PELTON_GATEWAY_TIMEOUT_MS,
    isReady: () => door.state === 'ready' && reasons().length === 0,
    reasons,
  }
  const limits = scanLimits(settings)
  const version = packageVersion(import.meta.url)
  addOpenApi(app, async () => {
    const { describeGateway } = await import('./openapi/document.ts')
    return describeGateway(version, door.needsKeys)
  })
  for (const protocol of [createOpenInference({ version, limits }), createCloudEvents(limits), results])
    protocol(app, parts)
}

function scanLimits(settings: GatewaySettings): ScanLimits {
  const { PELTON_GATEWAY_MAX_DEPTH: maxDepth, PELTON_GATEWAY_MAX_ELEMENTS: maxElements } = settings
  return { maxDepth, maxElements }
}

/** Under overload most requests are refused: those of the protocol that most callers speak without what a route costs. */
function refuseEarly(
  door: GatewayDoor,
  settings: GatewaySettings,
  measured: MeasuredRequests | undefined,
): void {
  const gate = earlyGate({
    core: () => (door.state === 'ready' ? door.inside?.core : undefined),
    callerOf: callersAtOnce({ keys: keysOf(door), pool: settings.PELTON_GATEWAY_POOL }),
    limits: scanLimits(settings),
    onRefused: (raw, ended) => {
      door.figures.ended(ended)
      const { method = '', url = '' } = raw
      const { status, durationMs } = ended
      measured?.answered({ raw, method, url, status, durationMs })
    },
  })
  door.listener.refuseEarly(gate)
}

/** Undefined where no key is needed. */
function keysOf(door: GatewayDoor): (() => KeyFollower) | undefined {
  return door.needsKeys ? () => inside(door).keys ?? unreachable() : undefined
}

function inside({ inside }: GatewayDoor): Inside {
  return inside ?? unreachable()
}

/** Said at once: what asks the broker would wait for it a minute. */
function unreachable(): never {
  throw new PeltonError('broker-unavailable', 'the gateway has no connection to the broker', {
    remedy: 'Ask again in a moment; /v2/health/ready says when it is ready.',
  })
}

/** Health and metrics have a port of their own, which callers need not reach. */
async function openOperations(
  { PELTON_HTTP_HOST: host, PELTON_HTTP_PORT: port }: GatewaySettings,
  log: Logger,
  { scrape }: Telemetry,
  readiness: Readiness,
): Promise<HttpSide | undefined> {
  if (port === undefined) return undefined
  const http = openHttp({ host, port, log })
  addHealthRoutes(http.app, { ...readiness, ...(scrape !== undefined && { metrics: scrape }) })
  await http.listen()
  return http
}
