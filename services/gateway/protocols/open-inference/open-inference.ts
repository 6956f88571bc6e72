import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Refusal } from '../../core/refusal.ts'
import { sendJson } from '../../http/answers.ts'
import { METHOD_REMEDY, PATH_REMEDY } from '../../http/problems.ts'
import type { Protocol, ProtocolParts } from '../protocol.ts'
import type { ScanLimits } from '../scan-request.ts'
import { infer } from './infer.ts'
import { isNotOffered, MODELS_PATH, type ModelPath, readModelPath } from './model-path.ts'
import {
  answerIndex,
  answerMetadata,
  answerModelNames,
  answerReadiness,
  answerStatistics,
  type Tools,
} from './model-routes.ts'
import { isStatisticsSource, type StatisticsSource } from './statistics.ts'

/** What the protocol may be given. */
export interface OpenInferenceOptions {
  /** Version of this server, as its metadata says it. @default '0' */
  readonly version?: string
  /** Where statistics come from. @default the figures of the parts, where they can be asked */
  readonly statistics?: StatisticsSource
  /** Bounds on the JSON of requests. */
  readonly limits?: ScanLimits
}

/** The Open Inference Protocol V2 over HTTP, with Triton's extensions for binary tensors, schedules and statistics. */
export const openInference: Protocol = createOpenInference()

/**
 * The routes below `/v2`. What Triton has beside them is answered 501: loading, configurations, shared memory, generation.
 * Bodies are taken whatever their Content-Type.
 */
export function createOpenInference(options: OpenInferenceOptions = {}): Protocol {
  const { version = '0', limits = {} } = options
  return (app, parts) => {
    const { figures } = parts
    const statistics = options.statistics ?? (isStatisticsSource(figures) ? figures : undefined)
    const tools: Tools = { parts, statistics, limits }
    addServerRoutes(app, parts, { name: 'pelton', version, extensions: extensionsOf(statistics) })
    addModelRoutes(app, tools)
    addNotOffered(app)
  }
}

/** Those that are whole: of `model_repository` there is the index alone, and it is not named. */
function extensionsOf(statistics: StatisticsSource | undefined): readonly string[] {
  return ['binary_tensor_data', 'schedule_policy', ...(statistics === undefined ? [] : ['statistics'])]
}

/** Who looks whether a gateway is well has no key. */
const PROBE = { config: { needsNoKey: true } } as const

function addServerRoutes(app: FastifyInstance, parts: ProtocolParts, metadata: object): void {
  app.get('/v2', (_request, reply) => sendJson(reply, metadata))
  app.get('/v2/health/live', PROBE, (_request, reply) => sendJson(reply, { live: true }))
  app.get('/v2/health/ready', PROBE, (_request, reply) => {
    if (parts.isReady()) return sendJson(reply, { ready: true })
    const error = parts.reasons().join('; ') || 'the service is not ready'
    return sendJson(reply, { ready: false, error }, 503)
  })
}

function addModelRoutes(app: FastifyInstance, tools: Tools): void {
  app.get('/v2/models', (request, reply) => answerModelNames(tools, request, reply))
  app.get('/v2/models/*', (request, reply) => answerGet(tools, request, reply))
  app.post('/v2/models/*', (request, reply) => answerPost(tools, request, reply))
  for (const method of ['GET', 'POST'] as const) {
    app.route({
      method,
      url: '/v2/repository/index',
      handler: (request, reply) => answerIndex(tools, request, reply),
    })
  }
}

function answerGet(tools: Tools, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const path = pathOf(request)
  if (isNotOffered(path.act)) throw notOffered(request)
  if (path.act === 'stats') return answerStatistics(tools, request, reply, path)
  if (path.act === 'infer') throw wrongMethod(request, 'POST')
  const answer = path.act === 'ready' ? answerReadiness : answerMetadata
  return answer(tools, request, reply, path)
}

async function answerPost(tools: Tools, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const path = pathOf(request)
  if (isNotOffered(path.act)) throw notOffered(request)
  if (path.act !== 'infer') throw wrongMethod(request, 'GET, HEAD')
  return infer(tools, request, reply, path)
}

/** From the path as it came: once it is decoded, slashes of names are like others. */
function pathOf({ url }: FastifyRequest): ModelPath {
  const [whole = ''] = url.split(/[?#]/, 1)
  const path = whole.startsWith(MODELS_PATH) ? readModelPath(whole.slice(MODELS_PATH.length)) : undefined
  if (path !== undefined) return path
  throw new Refusal(404, 'not found', 'the path names no model', {
    field: 'path',
    code: 'not-found',
    remedy: PATH_REMEDY,
  })
}

/** What Triton has, and is not here: its clients get an answer that says so. */
export const NOT_OFFERED: readonly string[] = [
  '/v2/repository/models/*',
  '/v2/logging',
  '/v2/trace/setting',
  '/v2/systemsharedmemory/*',
  '/v2/cudasharedmemory/*',
]

function addNotOffered(app: FastifyInstance): void {
  for (const url of NOT_OFFERED) {
    for (const method of ['GET', 'POST'] as const) {
      app.route({
        method,
        url,
        handler: (request) => {
          throw notOffered(request)
        },
      })
    }
  }
}

function notOffered({ url }: FastifyRequest): Refusal {
  const [path = ''] = url.split(/[?#]/, 1)
  return new Refusal(501, 'not offered', 'this server does not have this part of the protocol', {
    code: 'not-offered',
    field: 'path',
    value: path.slice(0, 200),
    remedy: 'GET /v2 names the extensions that it has.',
  })
}

function wrongMethod({ method }: FastifyRequest, allow: string): Refusal {
  return new Refusal(405, 'method not allowed', `this path takes ${allow}, not ${method}`, {
    code: 'method-not-allowed',
    field: 'method',
    remedy: METHOD_REMEDY,
    headers: { allow },
  })
}
