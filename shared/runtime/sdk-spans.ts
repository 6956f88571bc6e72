import { type Channel, channel, tracingChannel } from 'node:diagnostics_channel'
import { context, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { showFeatureSubject } from '../sdk/contract/subjects.ts'
import { CHANNELS, type PublishTrace, type ResultDiagnostics } from '../sdk/diagnostics.ts'
import type { StoredResult } from '../sdk/result.ts'
import { errorTypeOf, eventAttributes, operationAttributes } from './messaging.ts'
import { UNKNOWN_MODEL } from './metrics.ts'
import { readTraceparent, writeTraceparent } from './trace-context.ts'

/**
 * Makes spans of what the SDK tells on its diagnostics channels:
 *
 * - `publish features.{model}.{lane}` (PRODUCER) for each `publish()`, below the active span, or below the
 * `traceparent`
 *   the event came with. It travels with the event. Of an outbox it is `create features.{model}.{lane}`, which ends when
 *   the event is on disk: it may be sent much later, by another process.
 * - `process results.{model}` (CONSUMER) for each result of a subscriber, from being handed over to being settled,
 * below
 *   the `traceparent` of the result, so that it ends the trace its event began. A result has one event: it may have a
 *   parent, a batch has not.
 *
 * Call it after `startTelemetry`, where that has traces.
 *
 * @returns stops
 */
export function traceSdk(): () => void {
  const stops = [tracePublishing(), traceResults()]
  return () => {
    for (const stop of stops) stop()
  }
}

function tracePublishing(): () => void {
  const tracer = trace.getTracer('pelton')
  const spans = new WeakMap<PublishTrace, Span>()
  const finish = (told: PublishTrace): void => {
    const span = spans.get(told)
    if (span === undefined) return
    const { result, error, source } = told
    if (error !== undefined) {
      span.setStatus({ code: SpanStatusCode.ERROR })
      span.setAttribute('error.type', errorTypeOf(error))
    } else if (result !== undefined) {
      span.setAttributes(eventAttributes({ ...result, source }))
      if ('sequence' in result) span.setAttribute('messaging.nats.stream.sequence', result.sequence)
    }
    span.end()
  }
  const subscribers = {
    start: (told: PublishTrace): void => {
      const { event, pool, by } = told
      const lane = event.lane ?? 'normal'
      const [operation, type] = by === 'outbox' ? ['create', 'create'] : ['publish', 'send']
      const span = tracer.startSpan(
        `${operation} features.${event.model}.${lane}`,
        {
          kind: SpanKind.PRODUCER,
          attributes: {
            ...operationAttributes(operation, 'features'),
            'messaging.operation.type': type,
            'messaging.destination.name': showFeatureSubject({ pool, model: event.model, lane }),
          },
        },
        parentOf(event.traceparent, event.tracestate),
      )
      spans.set(told, span)
      carry(span, told)
    },
    end: (): void => undefined,
    asyncStart: (): void => undefined,
    asyncEnd: finish,
    error: (): void => undefined,
  }
  const publishing = tracingChannel<unknown, PublishTrace>(CHANNELS.publish)
  publishing.subscribe(subscribers)
  return () => publishing.unsubscribe(subscribers)
}

/** Writes where the span is into what travels. */
function carry(span: Span, told: PublishTrace): void {
  const place = span.spanContext()
  told.traceparent = writeTraceparent(place)
  const state = place.traceState?.serialize()
  if (state) told.tracestate = state
}

/** What came with the event is nearer to it than what happens to be active. */
function parentOf(traceparent: string | undefined, tracestate?: string) {
  const place = readTraceparent(traceparent, tracestate)
  return place === undefined ? context.active() : trace.setSpanContext(context.active(), place)
}

function traceResults(): () => void {
  const tracer = trace.getTracer('pelton')
  const spans = new WeakMap<StoredResult, Span>()
  const begin = ({ result }: ResultDiagnostics): void => {
    const { traceparent, kind } = result
    // A name that no worker serves came from outside, and does not become the name of a span.
    const model = kind === 'failure' && result.reason === 'unknown-model' ? UNKNOWN_MODEL : result.model
    const span = tracer.startSpan(
      `process results.${model}`,
      {
        kind: SpanKind.CONSUMER,
        attributes: {
          ...operationAttributes('process', 'results'),
          'messaging.operation.type': 'process',
          ...eventAttributes({ token: result.token, id: result.id }),
          'pelton.outcome': kind,
        },
      },
      parentOf(traceparent),
    )
    spans.set(result, span)
  }
  const finish = ({ result, how }: ResultDiagnostics): void => {
    const span = spans.get(result)
    if (how !== undefined) span?.setAttribute('pelton.settled', how)
    span?.end()
  }
  const stops = [listen(channel(CHANNELS.result), begin), listen(channel(CHANNELS.settled), finish)]
  return () => {
    for (const stop of stops) stop()
  }
}

function listen(to: Channel, onTold: (told: ResultDiagnostics) => void): () => void {
  const listener = (told: unknown): void => onTold(told as ResultDiagnostics)
  to.subscribe(listener)
  return () => void to.unsubscribe(listener)
}
