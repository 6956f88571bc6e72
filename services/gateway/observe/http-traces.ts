import { ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { readTraceparent, writeTraceparent } from '../../../shared/runtime/trace-context.ts'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { whenOver } from '../http/leaving.ts'
import { errorTypeOfAnswer, methodOf, routeOf, schemeOf } from './http-names.ts'

/**
 * A span for each request of an HTTP server (SERVER, `POST /v2/models/{model}/infer`), below the `traceparent` that came
 * with it. From then on the headers of the request name the span itself: what is published for it stands below the span.
 * Call it before there are routes, and only where traces are exported.
 */
export function traceRequests(app: FastifyInstance): void {
  const tracer = trace.getTracer('pelton')
  app.addHook('onRequest', (request, reply, done) => {
    const span = startSpan(tracer, request)
    nameParent(request, span)
    // Also where it was never answered.
    whenOver(request, reply, () => {
      endSpan(span, reply.raw.writableFinished ? reply.raw.statusCode : undefined)
    })
    done()
  })
}

/** Its path is not told: it may hold what opens somebody's result. */
function startSpan(tracer: Tracer, request: FastifyRequest): Span {
  const method = methodOf(request)
  const route = routeOf(request)
  const place = readTraceparent(headerOf(request, HEADERS.traceparent), headerOf(request, HEADERS.tracestate))
  return tracer.startSpan(
    route === undefined ? method : `${method} ${route}`,
    {
      kind: SpanKind.SERVER,
      attributes: {
        'http.request.method': method,
        'url.scheme': schemeOf(request),
        ...(route !== undefined && { 'http.route': route }),
      },
    },
    place === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, place),
  )
}

/** A span that is not sampled is named, too: nobody below it is to throw the dice again. */
function nameParent(request: FastifyRequest, span: Span): void {
  const place = span.spanContext()
  const { headers } = request.raw
  headers[HEADERS.traceparent] = writeTraceparent(place)
  const state = place.traceState?.serialize()
  // Without a trace of its own it belongs to none.
  if (state) headers[HEADERS.tracestate] = state
  else delete headers[HEADERS.tracestate]
}

function endSpan(span: Span, status: number | undefined): void {
  const error = errorTypeOfAnswer(status)
  if (status !== undefined) span.setAttribute('http.response.status_code', status)
  if (error !== undefined) span.setAttribute('error.type', error).setStatus({ code: SpanStatusCode.ERROR })
  span.end()
}

function headerOf({ raw }: FastifyRequest, name: string): string | undefined {
  const value = raw.headers[name]
  return typeof value === 'string' ? value : undefined
}
