import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { listActs } from '../../../shared/operations/dead-letters/acts.ts'
import { describeEntry } from '../../../shared/operations/dead-letters/browse.ts'
import type { ImportCounts } from '../../../shared/operations/dead-letters/import.ts'
import { pageDeadLetters } from '../../../shared/operations/dead-letters/page.ts'
import {
  countRemoval,
  type RemovalRequest,
  removeAndRecord,
} from '../../../shared/operations/dead-letters/removal.ts'
import { deadLetterJson } from '../../../shared/operations/dead-letters/show.ts'
import { exportLines, importLines } from '../../../shared/operations/dead-letters/transfer.ts'
import { readWhich } from '../../../shared/operations/dead-letters/which.ts'
import { findDeadLetter, type StoredDeadLetter } from '../../../shared/operations/records/dead-letter.ts'
import { superseded } from '../../../shared/operations/records/superseded-mark.ts'
import { plainProblem, sendProblem } from '../../../shared/runtime/http.ts'
import { readLines } from '../../../shared/runtime/lines.ts'
import { PeltonError, showValue } from '../../../shared/sdk/errors.ts'
import { operatorOf } from './guard.ts'
import { type BodyBounds, boundedBody, StalledBody } from './import-body.ts'
import {
  countsQuery,
  discardBody,
  exportBody,
  filterOf,
  nothing,
  pageOf,
  pageQuery,
  purgeBody,
  readInput,
} from './input.ts'
import { mostFrequent } from './most-frequent.ts'
import { type ApiParts, type PartsOf, sendJson } from './parts.ts'

const NDJSON = 'application/x-ndjson'
/** An import is read as it comes, however long the broker takes. */
const IMPORT_BOUNDS: BodyBounds = { mostBytes: 1024 ** 3, idleMs: 30_000 }
/** Held dead letters that an answer names; it counts them all. */
const NAMED_HELD = 100

/** Below `/v1/dead-letters`: list, count, show, export, import, discard, purge. */
export function addDeadLetterRoutes(
  app: FastifyInstance,
  parts: PartsOf,
  importBounds: BodyBounds = IMPORT_BOUNDS,
): void {
  addReading(app, parts)
  addRemovals(app, parts)
  addExport(app, parts)
  addImport(app, parts, importBounds)
}

function addReading(app: FastifyInstance, parts: PartsOf): void {
  app.get('/v1/dead-letters', async (request, reply) => {
    const { entries, next } = await pageDeadLetters(
      parts().store.connection,
      pageOf(readInput(pageQuery, request.query)),
    )
    return sendJson(reply, { deadLetters: entries.map(describeEntry), ...(next !== undefined && { next }) })
  })
  app.get('/v1/dead-letters/counts', async (request, reply) => {
    const { limit, ...filter } = readInput(countsQuery, request.query)
    const all = await parts().counts.groups(filterOf(filter))
    const { kept: groups, more } = mostFrequent(all, limit, ({ count }) => count)
    const total = all.reduce((sum, { count }) => sum + count, 0)
    return sendJson(reply, { total, groups, ...(more !== undefined && { more }) })
  })
  app.get('/v1/dead-letters/history', async (request, reply) => {
    readInput(nothing, request.query)
    return sendJson(reply, { acts: await listActs(parts().store.keyValue) })
  })
  app.get<{ Params: { which: string } }>('/v1/dead-letters/:which', async (request, reply) => {
    const letter = await find(parts(), request.params.which)
    if (letter === undefined) return missing(reply, request.params.which)
    const mark = await superseded(parts().store.connection, letter)
    return sendJson(reply, deadLetterJson(letter, mark))
  })
  app.get<{ Params: { which: string } }>('/v1/dead-letters/:which/payload', async (request, reply) => {
    const letter = await find(parts(), request.params.which)
    if (letter === undefined) return missing(reply, request.params.which)
    // Whatever it says it is: a browser must not run it.
    return reply
      .type('application/octet-stream')
      .header('content-disposition', `attachment; filename="dead-letter-${letter.sequence}"`)
      .header('x-content-type-options', 'nosniff')
      .header('cache-control', 'no-store')
      .send(Buffer.from(letter.body))
  })
}

function find({ store }: ApiParts, which: string): Promise<StoredDeadLetter | undefined> {
  return findDeadLetter(store.connection, readWhich(which))
}

function missing(reply: FastifyReply, which: string): FastifyReply {
  const detail = `there is no dead letter ${showValue(which)}: it was replayed, discarded, or never was`
  return sendProblem(reply, plainProblem(404, 'not found', detail))
}

function addRemovals(app: FastifyInstance, parts: PartsOf): void {
  app.post('/v1/dead-letters/discard', async (request, reply) => {
    const { which = [], filter = {}, because, confirm } = readInput(discardBody, request.body)
    const by = operatorOf(request)
    return remove(parts(), reply, confirm, {
      outcome: 'discarded',
      which,
      filter: filterOf(filter),
      because,
      by,
    })
  })
  app.post('/v1/dead-letters/purge', async (request, reply) => {
    const { subject, because, confirm } = readInput(purgeBody, request.body)
    const by = operatorOf(request)
    return remove(parts(), reply, confirm, { outcome: 'purged', which: [], filter: { subject }, because, by })
  })
}

async function remove(
  { store, signal }: ApiParts,
  reply: FastifyReply,
  isSure: boolean,
  request: RemovalRequest,
): Promise<FastifyReply> {
  if (!isSure)
    return sendJson(reply, { outcome: request.outcome, wouldRemove: await countRemoval(store, request) })
  const heldBy: object[] = []
  const counts = await removeAndRecord(store, request, {
    signal,
    onHeld: ({ sequence, token }, by) => {
      if (heldBy.length < NAMED_HELD) heldBy.push({ sequence, token, by })
    },
  })
  return sendJson(reply, { outcome: request.outcome, ...counts, heldBy, isComplete: !signal.aborted })
}

function addExport(app: FastifyInstance, parts: PartsOf): void {
  app.post('/v1/dead-letters/export', async (request, reply) => {
    const { filter } = readInput(exportBody, request.body)
    const { store, signal } = parts()
    const lines = unlessStopped(exportLines(store.connection, filterOf(filter), signal), signal)
    return reply
      .type(NDJSON)
      .header('cache-control', 'no-store')
      .send(Readable.from(lines, { objectMode: false }))
  })
}

function addImport(app: FastifyInstance, parts: PartsOf, bounds: BodyBounds): void {
  app.addContentTypeParser(NDJSON, (_request, body, done) => done(null, body))
  app.post('/v1/dead-letters/import', { config: { isBodyStreamed: true } }, async (request, reply) => {
    const { store, signal } = parts()
    if (!(request.body instanceof Readable)) throw notLines(request.headers['content-type'])
    const by = operatorOf(request)
    const lines = readLines(Readable.from(boundedBody(request.body, bounds)), signal)
    const { counts, error } = await importLines(store, lines, { by, signal })
    if (error instanceof StalledBody) {
      const problem = plainProblem(408, 'the request stalled', untilThen(error, counts))
      const remedy = 'Send it again: what is stored stays as it is.'
      return sendProblem(reply.header('connection', 'close'), { ...problem, remedy })
    }
    if (error !== undefined) throw withCounts(error, counts)
    return sendJson(reply, { ...counts, isComplete: !signal.aborted })
  })
}

/**
 * Throws where the service stops before the last line: the answer is cut off, and no caller takes a part for the whole.
 */
async function* unlessStopped(lines: AsyncIterable<string>, signal: AbortSignal): AsyncGenerator<string> {
  yield* lines
  if (signal.aborted)
    throw new PeltonError('closed', 'this control service is stopping', { remedy: 'Ask again once it runs.' })
}

function notLines(contentType: string | undefined): PeltonError {
  return new PeltonError('invalid-argument', 'an import is lines of JSON', {
    field: 'Content-Type',
    value: showValue(contentType ?? ''),
    remedy: `Send it with Content-Type: ${NDJSON}.`,
  })
}

/** What came before the line that is wrong is stored: the answer says how much. */
function withCounts(error: unknown, counts: ImportCounts): unknown {
  if (!(error instanceof PeltonError)) return error
  return new PeltonError(error.code, untilThen(error, counts), {}, error)
}

function untilThen({ description }: PeltonError, counts: ImportCounts): string {
  const stored = Object.entries(counts).map(([name, count]) => `${name} ${count}`)
  return `${description} (until then: ${stored.join(', ')})`
}
