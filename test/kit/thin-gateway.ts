import { randomBytes } from 'node:crypto'
import { deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib'
import type { NatsConnection } from '@nats-io/transport-node'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import type { GatewayCore, ModelDirectory } from '../../services/gateway/core/core.ts'
import type { EndedRequest } from '../../services/gateway/core/figures.ts'
import { Refusal } from '../../services/gateway/core/refusal.ts'
import type { Accepted, Answer, Caller, InferenceRequest } from '../../services/gateway/core/request.ts'
import { errorTypeOf } from '../../services/gateway/http/answers.ts'
import type { Protocol, ProtocolParts } from '../../services/gateway/protocols/protocol.ts'
import { type AllPools, followAllPools } from '../../shared/operations/models/all-pools.ts'
import { problemOf } from '../../shared/runtime/http.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { createProducer, type Producer } from '../../shared/sdk/producer.ts'

/** A gateway of the least there is around a protocol: `producer.request()` of the SDK as its core, and no limits. */
export interface ThinGateway {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  /** Requests that ended, in order. */
  readonly ended: readonly EndedRequest[]
  /** Whether it says that it is ready. */
  isReady: boolean
  close(): Promise<void>
}

const SOURCE = 'http'

/** The caller of a gateway without keys. */
export const ANYBODY: Caller = {
  keyId: undefined,
  source: SOURCE,
  pool: 'default',
  highestLane: 'high',
  quotaClass: undefined,
  mayUse: () => true,
}

/** Listens on a free port of loopback. @param caller who everybody is that asks */
export async function startThinGateway(
  connection: NatsConnection,
  protocol: Protocol,
  caller: Caller = ANYBODY,
): Promise<ThinGateway> {
  const pools = followAllPools(connection)
  await pools.ready
  const producer = await createProducer({ connection, source: SOURCE })
  const core = thinCore(producer, pools)
  const app = openApp()
  const ended: EndedRequest[] = []
  const parts: ProtocolParts = {
    core: () => core,
    callerOf: () => caller,
    figures: { ended: (request) => void ended.push(request) },
    defaultTimeoutMs: DEFAULT_TIMEOUT_MS,
    isReady: () => gateway.isReady,
    reasons: () => (gateway.isReady ? [] : ['the test says so']),
  }
  protocol(app, parts)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const gateway: ThinGateway = {
    url,
    ended,
    isReady: true,
    close: async () => {
      app.server.closeAllConnections()
      await app.close()
      await producer.close()
      await pools.close()
    },
  }
  return gateway
}

const DEFAULT_TIMEOUT_MS = 60_000

function thinCore(producer: Producer, pools: AllPools): GatewayCore {
  const models = directoryOf(pools)
  return {
    models,
    infer: async (request, wanted) => {
      const { caller, model, timeoutMs = DEFAULT_TIMEOUT_MS, signal } = request
      if (models.find(caller.pool, model) === undefined)
        throw new PeltonError('unknown-model', 'there is no such model', { field: 'model', value: model })
      const event = eventOf(request)
      const accepted = acceptedOf(request, event.id)
      if (wanted.mode === 'async') {
        const { sequence } = await producer.publish(event)
        return { kind: 'accepted', accepted: { ...accepted, sequence } }
      }
      try {
        const result = await producer.request(event, { timeoutMs, signal })
        const stored = { ...accepted, sequence: result.eventSequence }
        return result.kind === 'prediction'
          ? { kind: 'prediction', accepted: stored, result }
          : { kind: 'failure', accepted: stored, result }
      } catch (thrown) {
        if (thrown instanceof PeltonError && thrown.code === 'timeout')
          return { kind: 'timeout', accepted, timeoutMs } satisfies Answer
        throw thrown
      }
    },
    lookUp: async () => ({ kind: 'unknown' }),
  }
}

function eventOf({ model, lane, data, contentType, ...request }: InferenceRequest) {
  const { inferenceHeaderLength, modelVersion, timeoutMs = DEFAULT_TIMEOUT_MS, traceparent } = request
  return {
    ...{ id: randomBytes(12).toString('hex'), model, lane, data, contentType, deadlineMs: timeoutMs },
    ...(inferenceHeaderLength !== undefined && { inferenceHeaderLength }),
    ...(modelVersion !== undefined && { modelVersion }),
    ...(traceparent !== undefined && { traceparent }),
  }
}

function acceptedOf({ caller, model, lane }: InferenceRequest, id: string): Accepted {
  const token = eventToken(model, SOURCE, id)
  const isLowered = lane === 'high' && caller.highestLane !== 'high'
  return {
    ...{
      token,
      model,
      pool: caller.pool,
      sequence: 0,
      handle: `${token}~1.signed`,
      backlogSeconds: undefined,
    },
    lane: isLowered ? caller.highestLane : lane,
    loweredFrom: isLowered ? lane : undefined,
  }
}

function directoryOf(pools: AllPools): ModelDirectory {
  const poolOf = (name: string) => pools.read().find(({ pool }) => pool === name)
  return {
    isRead: true,
    find: (pool, name) => poolOf(pool)?.records.find(({ model }) => model === name),
    all: (pool) => poolOf(pool)?.records ?? [],
    servedVersions: ({ pool, serving }) => {
      const workers = poolOf(pool)?.workers ?? []
      return [...new Set(workers.flatMap((worker) => serving[worker]?.versions ?? []))]
    },
  }
}

const ENCODINGS = {
  gzip: { read: gunzipSync, write: gzipSync },
  deflate: { read: inflateSync, write: deflateSync },
} as const

/** Bodies as bytes, whatever their type; gzip and deflate both ways; errors as they are thrown. */
function openApp(): FastifyInstance {
  const app = fastify({ bodyLimit: 64 * 1024 ** 2, forceCloseConnections: true })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer) => {
    const encoding = request.headers['content-encoding'] as keyof typeof ENCODINGS | undefined
    return encoding === undefined ? body : ENCODINGS[encoding].read(body)
  })
  app.addHook('onSend', async (request, reply, payload) => {
    const encoding = request.headers['accept-encoding'] as keyof typeof ENCODINGS
    if (!Object.hasOwn(ENCODINGS, encoding ?? '') || !(payload instanceof Uint8Array)) return payload
    reply.header('content-encoding', encoding).removeHeader('content-length')
    return ENCODINGS[encoding].write(payload)
  })
  app.setErrorHandler((thrown, _request, reply) => sendThrown(reply, thrown))
  return app
}

function sendThrown(reply: FastifyReply, thrown: unknown): FastifyReply {
  const problem =
    thrown instanceof Refusal
      ? { status: thrown.status, title: thrown.title, detail: thrown.message, error: thrown.message }
      : problemOf(thrown instanceof PeltonError ? thrown : new PeltonError('internal', String(thrown)))
  const headers = thrown instanceof Refusal ? thrown.details.headers : undefined
  return reply
    .code(problem.status)
    .headers(headers ?? {})
    .type(errorTypeOf(reply.request))
    .send(Buffer.from(JSON.stringify(problem)))
}
