import type { FastifyInstance } from 'fastify'
import { paceBetween } from '../../../shared/operations/broker/drain-pace.ts'
import { judgeReplicas } from '../../../shared/operations/broker/replicas.ts'
import type { DeadLetterCounts } from '../../../shared/operations/broker/snapshot.ts'
import { type Alert, namedAlert } from '../../../shared/operations/watch-record/alert.ts'
import { plainProblem, sendProblem } from '../../../shared/runtime/http.ts'
import { namesOf } from '../../../shared/sdk/jetstream/names-of.ts'
import type { Watch } from '../watch/watch.ts'
import { auditBody, nothing, readInput } from './input.ts'
import { mostFrequent } from './most-frequent.ts'
import { type PartsOf, sendJson } from './parts.ts'

const NO_AUDIT =
  'no audit has ended here since the start: the control service that watches audits by itself, and POST asks for one'

export function addOverviewRoutes(app: FastifyInstance, parts: PartsOf): void {
  app.get('/v1/status', async (request, reply) => {
    readInput(nothing, request.query)
    const { snapshots, watch, replays, store } = parts()
    const names = namesOf(store.connection)
    const { before, now } = await snapshots.latest()
    const { at, groups, ...snapshot } = now
    return sendJson(reply, {
      at: new Date(at).toISOString(),
      ...snapshot,
      deadLetters: namedModels(snapshot.deadLetters),
      ...(before !== undefined && paceBetween(before, now)),
      troubles: judgeReplicas(before?.groups ?? [], groups).map((trouble) => namedAlert(names, trouble)),
      alerts: alertsOf(watch).length,
      replaysHere: replays.running.length,
    })
  })
  app.get('/v1/watch', async (request, reply) => {
    readInput(nothing, request.query)
    const { watch, store } = parts()
    const names = namesOf(store.connection)
    const { holder, at, everyMs, acts, results, deadLetters, openNotices } = watch.record
    return sendJson(reply, {
      watcher: holder,
      isThisOne: watch.isLeader,
      lookedAt: at,
      everyMs,
      alerts: alertsOf(watch).map((alert) => namedAlert(names, alert)),
      acts,
      position: { results: results.next, deadLetters: deadLetters.next },
      openNotices: openNotices.length,
    })
  })
  app.get('/v1/audit', async (request, reply) => {
    readInput(nothing, request.query)
    const { last } = parts().audits
    if (last === undefined) return sendProblem(reply, plainProblem(404, 'not found', NO_AUDIT))
    return sendJson(reply, { endedAt: new Date(last.endedAt).toISOString(), report: last.report })
  })
  app.post('/v1/audit', async (request, reply) => {
    const { deep, full } = readInput(auditBody, request.body)
    return sendJson(reply, await parts().audits.run({ deep, full: full || deep }))
  })
}

/** Models of dead letters that an answer names. */
const MOST_MODELS = 100

/** Names of models are made up by whoever publishes: the counts route has the rest, for who asks. */
function namedModels({ byModel, ...counts }: DeadLetterCounts) {
  const { kept, more } = mostFrequent(Object.entries(byModel), MOST_MODELS, ([, count]) => count)
  return { ...counts, byModel: Object.fromEntries(kept), ...(more !== undefined && { more }) }
}

/** What the record tells, and that it is old. */
function alertsOf({ record, unwatched }: Watch): readonly Alert[] {
  return unwatched === undefined ? record.alerts : [unwatched, ...record.alerts]
}
