import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Labels, openMeters } from '../../../shared/runtime/meters.ts'
import { whenOver } from '../http/leaving.ts'
import { BELOW_MODELS, errorTypeOfAnswer, methodOf, routeOf, schemeOf } from './http-names.ts'

/** Requests of an HTTP server that are measured. */
export interface MeasuredRequests {
  /** Those under way. */
  readonly active: number
  /** One for a model that was answered before it had a route, as its route would have been. */
  answered(request: AnsweredRequest): void
}

/** A request without a route. */
export interface AnsweredRequest extends Pick<FastifyRequest, 'method' | 'url' | 'raw'> {
  readonly status: number
  readonly durationMs: number
}

/**
 * Measures each request of an HTTP server, by the conventions of OpenTelemetry. Call it before there are routes, and only
 * where somebody reads metrics.
 */
export function measureRequests(app: FastifyInstance): MeasuredRequests {
  const meters = openMeters('gateway')
  const duration = meters.histogram('httpDuration')
  const active = countActive()
  meters.gauge('httpActive', (report) => {
    for (const { count, labels } of active.counts()) report(count, labels)
  })
  const labelsOf = labelsOnce()
  app.addHook('onRequest', (request, reply, done) => {
    const startedAt = performance.now()
    const ended = active.began(request)
    // Also where it was never answered.
    whenOver(request, reply, () => {
      ended()
      const status = reply.raw.writableFinished ? reply.raw.statusCode : undefined
      duration((performance.now() - startedAt) / 1_000, labelsOf(request, status))
    })
    done()
  })
  return {
    get active() {
      return [...active.counts()].reduce((sum, { count }) => sum + count, 0)
    },
    answered({ status, durationMs, ...request }) {
      duration(durationMs / 1_000, labelsOf({ ...request, routeOptions: { url: BELOW_MODELS } }, status))
    },
  }
}

interface Active {
  count: number
  readonly labels: Labels
}

/** Requests under way, by what is known of them at once. */
function countActive() {
  const byLabels = new Map<string, Active>()
  return {
    counts: (): Iterable<Active> => byLabels.values(),
    began(request: FastifyRequest): () => void {
      const labels = { 'http.request.method': methodOf(request), 'url.scheme': schemeOf(request) }
      const key = Object.values(labels).join(' ')
      const active = byLabels.get(key) ?? { count: 0, labels }
      byLabels.set(key, active)
      active.count++
      return () => {
        active.count--
      }
    },
  }
}

interface LabelledRequest extends Pick<FastifyRequest, 'method' | 'url' | 'raw'> {
  readonly routeOptions: Pick<FastifyRequest['routeOptions'], 'url'>
}

/** Labels made once: a histogram finds an object it has seen before without looking at it. */
function labelsOnce(): (request: LabelledRequest, status: number | undefined) => Labels {
  const made = new Map<string, Labels>()
  return (request, status) => {
    const method = methodOf(request)
    const scheme = schemeOf(request)
    const route = routeOf(request)
    const key = `${method} ${scheme} ${status} ${route}`
    const labels = made.get(key) ?? labelsFor(method, scheme, route, status)
    made.set(key, labels)
    return labels
  }
}

function labelsFor(
  method: string,
  scheme: string,
  route: string | undefined,
  status: number | undefined,
): Labels {
  const error = errorTypeOfAnswer(status)
  return {
    'http.request.method': method,
    'url.scheme': scheme,
    ...(route !== undefined && { 'http.route': route }),
    ...(status !== undefined && { 'http.response.status_code': status }),
    ...(error !== undefined && { 'error.type': error }),
  }
}
