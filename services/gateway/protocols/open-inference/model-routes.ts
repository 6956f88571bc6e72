import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ModelRecord } from '../../../../shared/operations/models/model-record.ts'
import { PeltonError, showValue } from '../../../../shared/sdk/errors.ts'
import type { ModelDirectory } from '../../core/core.ts'
import type { Caller } from '../../core/request.ts'
import { sendJson } from '../../http/answers.ts'
import { type ModelStatistics, noStatistics } from '../../observe/statistics.ts'
import type { ProtocolParts } from '../protocol.ts'
import { bytesOf } from '../request-parts.ts'
import type { ScanLimits } from '../scan-request.ts'
import { indexEntries, metadataOf, recordedVersion } from './metadata.ts'
import type { ModelPath } from './model-path.ts'
import type { StatisticsSource } from './statistics.ts'

/** What the routes work with. */
export interface Tools {
  readonly parts: ProtocolParts
  readonly statistics: StatisticsSource | undefined
  readonly limits: ScanLimits
}

/** Names of models that some worker serves and the caller may use, as KServe lists them. */
export function answerModelNames(tools: Tools, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { models, records } = recordsFor(tools, request)
  const served = records.filter((record) => models.servedVersions(record).length > 0)
  return sendJson(reply, { models: served.map(({ model }) => model) })
}

/** @throws PeltonError `unknown-model` */
export function answerMetadata(
  tools: Tools,
  request: FastifyRequest,
  reply: FastifyReply,
  path: ModelPath,
): FastifyReply {
  const { models, record } = recordFor(tools, request, path)
  return sendJson(reply, metadataOf(record, models.servedVersions(record), path.version))
}

/** 200 where some worker serves the model, or the version that is named; 503 where none does. @throws PeltonError `unknown-model` */
export function answerReadiness(
  tools: Tools,
  request: FastifyRequest,
  reply: FastifyReply,
  path: ModelPath,
): FastifyReply {
  const { models, record } = recordFor(tools, request, path)
  const { model: name } = record
  const served = models.servedVersions(record)
  if (path.version !== undefined) recordedVersion(record, path.version)
  const isServed = path.version === undefined ? served.length > 0 : served.includes(path.version)
  if (isServed && tools.parts.isReady()) return sendJson(reply, { name, ready: true })
  const reasons = isServed ? tools.parts.reasons().join('; ') : 'no worker serves it now'
  return sendJson(reply, { name, ready: false, error: reasons || 'the service is not ready' }, 503)
}

/** All that the pool knows; those that are served alone where the body asks for `{"ready": true}`. */
export function answerIndex(tools: Tools, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const isReadyWanted = readIndexBody(bytesOf(request))
  const { models, records } = recordsFor(tools, request)
  const entries = records.flatMap((record) => indexEntries(record, models.servedVersions(record)))
  return sendJson(reply, isReadyWanted ? entries.filter(({ state }) => state === 'READY') : entries)
}

const MOST_INDEX_BYTES = 1_024

function readIndexBody(body: Uint8Array): boolean {
  if (body.length === 0) return false
  const value = body.length > MOST_INDEX_BYTES ? undefined : parseOrNothing(body)
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const { ready = false } = value as { readonly ready?: unknown }
    if (typeof ready === 'boolean') return ready
  }
  throw new PeltonError('malformed', 'the body cannot be read', {
    field: 'body',
    value: `${body.length} bytes`,
    remedy: 'Send nothing, or {"ready": true} for the models that are served.',
  })
}

function parseOrNothing(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString())
  } catch {
    return undefined
  }
}

/** @throws PeltonError `unknown-model` for a model, or version, that nobody has */
export function answerStatistics(
  tools: Tools,
  request: FastifyRequest,
  reply: FastifyReply,
  path: ModelPath,
): FastifyReply {
  const stats = path.model === undefined ? allStatistics(tools, request) : statisticsOf(tools, request, path)
  return sendJson(reply, { model_stats: stats })
}

function allStatistics(tools: Tools, request: FastifyRequest): readonly ModelStatistics[] {
  const names = new Set(recordsFor(tools, request).records.map(({ model }) => model))
  return (tools.statistics?.statistics() ?? []).filter(({ name }) => names.has(name))
}

/** What nobody asked for yet has been asked for zero times. */
function statisticsOf(tools: Tools, request: FastifyRequest, path: ModelPath): readonly ModelStatistics[] {
  const { models, record } = recordFor(tools, request, path)
  if (path.version !== undefined) recordedVersion(record, path.version)
  const known = tools.statistics?.statistics(record.model, path.version) ?? []
  if (known.length > 0) return known
  const versions = path.version === undefined ? models.servedVersions(record) : [path.version]
  return versions.map((version) => noStatistics(record.model, version))
}

interface ForCaller {
  readonly caller: Caller
  readonly models: ModelDirectory
}

/** @throws PeltonError `broker-unavailable` until the records were read */
function directoryFor({ parts }: Tools, request: FastifyRequest): ForCaller {
  const caller = parts.callerOf(request)
  const { models } = parts.core()
  if (models.isRead) return { caller, models }
  throw new PeltonError('broker-unavailable', 'the records of models are not read yet', {
    remedy: 'Ask again in a moment.',
  })
}

function recordsFor(
  tools: Tools,
  request: FastifyRequest,
): ForCaller & { readonly records: readonly ModelRecord[] } {
  const found = directoryFor(tools, request)
  const records = found.models.all(found.caller.pool).filter(({ model }) => found.caller.mayUse(model))
  return { ...found, records: records.toSorted(byName) }
}

function byName({ model: one }: ModelRecord, { model: other }: ModelRecord): number {
  return one < other ? -1 : 1
}

/** Whoever may not use a model does not hear whether it is there. @throws PeltonError `unknown-model` */
function recordFor(
  tools: Tools,
  request: FastifyRequest,
  { model = '' }: ModelPath,
): ForCaller & { readonly record: ModelRecord } {
  const found = directoryFor(tools, request)
  const { caller, models } = found
  const record = caller.mayUse(model) ? models.find(caller.pool, model) : undefined
  if (record !== undefined) return { ...found, record }
  throw new PeltonError('unknown-model', 'there is no such model', {
    field: 'model',
    value: showValue(model),
    remedy: 'POST /v2/repository/index lists the models there are.',
  })
}
