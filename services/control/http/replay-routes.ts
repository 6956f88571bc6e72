import type { FastifyInstance } from 'fastify'
import { plan } from '../../../shared/operations/replay/replays.ts'
import { isNoSuchTask, listTasks, type ReplayTask, readTask } from '../../../shared/operations/replay/task.ts'
import { problemOf, sendProblem } from '../../../shared/runtime/http.ts'
import { operatorOf } from './guard.ts'
import {
  nothing,
  planBody,
  readInput,
  replayRequestOf,
  resumeBody,
  startBody,
  withoutUndefined,
} from './input.ts'
import { type ApiParts, type PartsOf, sendJson } from './parts.ts'

interface OfTask {
  readonly Params: { readonly task: string }
}

export function addReplayRoutes(app: FastifyInstance, parts: PartsOf): void {
  app.post('/v1/replays/plan', async (request, reply) => {
    const asked = replayRequestOf(readInput(planBody, request.body))
    return sendJson(reply, await plan(parts().store, asked))
  })
  app.post('/v1/replays', async (request, reply) => {
    const { all: _all, ...body } = readInput(startBody, request.body)
    const asked = replayRequestOf(body)
    const { plan: found, task } = await parts().replays.start(asked, operatorOf(request))
    if (task === undefined) return sendJson(reply, { plan: found })
    const at = `/v1/replays/${task.id}`
    return sendJson(reply.header('location', at), { plan: found, task: shown(parts(), task) }, 202)
  })
  app.get('/v1/replays', async (request, reply) => {
    readInput(nothing, request.query)
    const tasks = await listTasks(parts().store.keyValue)
    return sendJson(reply, { replays: tasks.map((task) => shown(parts(), task)) })
  })
  app.get<OfTask>('/v1/replays/:task', async (request, reply) => {
    const { value } = await readTask(parts().store.keyValue, request.params.task)
    return sendJson(reply, shown(parts(), value))
  })
  addActs(app, parts)
}

function addActs(app: FastifyInstance, parts: PartsOf): void {
  for (const [name, state] of [
    ['pause', 'paused'],
    ['cancel', 'cancelled'],
  ] as const) {
    app.post<OfTask>(`/v1/replays/:task/${name}`, async (request, reply) => {
      readInput(nothing, request.body)
      const task = await parts().replays.halt(request.params.task, state, operatorOf(request))
      return sendJson(reply, shown(parts(), task))
    })
  }
  app.post<OfTask>('/v1/replays/:task/resume', async (request, reply) => {
    const change = withoutUndefined(readInput(resumeBody, request.body))
    const task = await parts().replays.resume(request.params.task, operatorOf(request), change)
    return sendJson(reply, shown(parts(), task), 202)
  })
}

/** A task as it is kept, wherever it runs; one that runs here with what it has done since it was last written. */
function shown({ replays }: ApiParts, task: ReplayTask) {
  const { runner: _runner, counted: _counted, pace, ...rest } = task
  const live = replays.running.find((progress) => progress.task.id === task.id)
  // A run that has ended is shown as it is kept: what it last told of itself is older.
  if (live === undefined || task.state !== 'running') return { ...rest, ...pace }
  const { inFlight, rate, etaMs } = live
  return {
    ...rest,
    counts: live.task.counts,
    underWay: inFlight,
    eventsPerSecond: rate,
    ...(etaMs !== undefined && { etaMs }),
  }
}

/** A task that is not there is no mistake in the request: 404 says so. */
export function answerMissingTask(app: FastifyInstance): void {
  app.setErrorHandler((error, _request, reply) => {
    if (isNoSuchTask(error))
      return sendProblem(reply, { ...problemOf(error), title: 'not found', status: 404 })
    throw error // the service answers everything else
  })
}
