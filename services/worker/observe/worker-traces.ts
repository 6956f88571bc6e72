import {
  type Context,
  type Link,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import {
  type Destination,
  errorTypeOf,
  eventAttributes,
  operationAttributes,
} from '../../../shared/runtime/messaging.ts'
import { sampledContext, writeTraceparent } from '../../../shared/runtime/trace-context.ts'
import type { Delivery } from '../intake/delivery.ts'
import { type Batch, rowsOf } from '../prepare/prepared.ts'
import type { Concluded, Outcome } from '../settle/outcome.ts'
import type { Interceptors } from './interceptors.ts'
import { boundedName, type KnownModels, sharedBy, sourceOf } from './source.ts'

/**
 * The spans on the way of an event. Made only where traces are exported. A batch has one span without a parent, linked to each event that is sampled. The trace of one event goes on by a span
 * of its own, which stores its outcome: publish → publish results (linked to the batch) → subscriber. An event that is
 * not sampled has neither: nothing is allocated for it.
 *
 * @param models what is served: other names come from outside, and do not become names of spans
 */
export function createWorkerTraces(models: KnownModels): Interceptors {
  const tracer = trace.getTracer('pelton')
  const bounded = (model: string): string => boundedName(models, model)
  /** Spans of batches that are sampled, by delivery. */
  const spans = new WeakMap<Delivery, Span>()
  const spanOf = ([first]: readonly { readonly delivery: Delivery }[]): Span | undefined =>
    first && spans.get(first.delivery)
  return {
    process: (next) => (batch) => {
      const span = startProcessing(tracer, batch)
      if (!span.isRecording()) return next(batch)
      for (const { delivery } of batch) spans.set(delivery, span)
      return endWith(span, () => next(batch))
    },
    run: (next) => (batch) => {
      const span = spanOf(batch)
      return span === undefined ? next(batch) : endWith(startRun(tracer, span, batch), () => next(batch))
    },
    // Events that never ran have no batch: each has its span where its outcome is stored.
    settle: (next) => (group) => {
      const span = spanOf(group)
      return span === undefined ? next(group) : endWith(startSettling(tracer, span, group), () => next(group))
    },
    storeAll: (next) => next,
    isWatched: ({ event }) => sampledContext(event.headers) !== undefined,
    store: (next) => (concluded) => {
      const { delivery, outcome } = concluded
      const place = sampledContext(delivery.event.headers)
      if (place === undefined) return next(concluded)
      const model = bounded(delivery.event.route.model)
      const batch = spans.get(delivery)
      const links = batch === undefined ? [] : [{ context: batch.spanContext() }]
      const span = startStoring(tracer, model, { delivery, outcome, place, links })
      delivery.traceparent = writeTraceparent(span.spanContext())
      return endWith(span, async () => {
        const stored = await next(concluded)
        // The retry lane did not take it, and it is given up instead.
        if (outcome.kind === 'retried' && stored.how === 'dead-lettered')
          span.updateName(`publish results.${model}`).setAttributes(operation('publish', 'send', 'results'))
        span.setAttribute('pelton.outcome', stored.how)
        return stored
      })
    },
  }
}

function startProcessing(tracer: Tracer, batch: Batch): Span {
  const links = batch.flatMap(({ delivery }) => linkTo(delivery))
  const options = { kind: SpanKind.CONSUMER, links, attributes: batchAttributes(batch) }
  const from = sourceOf(batch)
  const model = batch[0]?.model.name
  const name = from === undefined ? `process ${model}` : `process ${from}.${model}`
  return tracer.startSpan(name, options, ROOT_CONTEXT)
}

/** One model call of a batch. */
function startRun(tracer: Tracer, batch: Span, events: Batch): Span {
  const attributes = {
    'pelton.model': events[0]?.model.name,
    'pelton.model.version': events[0]?.model.version,
    'pelton.batch.rows': rowsOf(events),
  }
  return tracer.startSpan(`infer ${events[0]?.model.name}`, { attributes }, below(batch))
}

function startSettling(tracer: Tracer, batch: Span, group: readonly Concluded[]): Span {
  const from = sourceOf(group)
  const attributes = { ...operation('ack', 'settle', from), 'messaging.batch.message_count': group.length }
  const name = from === undefined ? 'ack' : `ack ${from}`
  return tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes }, below(batch))
}

interface Storing {
  readonly delivery: Delivery
  readonly outcome: Outcome
  /** Where the event is in its own trace. */
  readonly place: SpanContext
  readonly links: Link[]
}

function startStoring(tracer: Tracer, model: string, { delivery, outcome, place, links }: Storing): Span {
  const isRetry = outcome.kind === 'retried' || outcome.kind === 'not-servable'
  const to = isRetry ? 'retries' : 'results'
  const options = { kind: SpanKind.PRODUCER, links, attributes: outcomeAttributes(delivery, outcome, to) }
  return tracer.startSpan(`publish ${to}.${model}`, options, trace.setSpanContext(ROOT_CONTEXT, place))
}

/** Spans are passed on by hand: following them through promises would cost every promise of the worker. */
function below(span: Span): Context {
  return trace.setSpan(ROOT_CONTEXT, span)
}

function linkTo({ event }: Delivery): Link[] {
  const place = sampledContext(event.headers)
  if (place === undefined) return []
  return [{ context: place, attributes: eventAttributes(event) }]
}

function batchAttributes(batch: Batch) {
  const [first] = batch
  const consumer = sharedBy(batch, ({ info }) => info.consumer)
  return {
    ...operation('process', 'process', sourceOf(batch)),
    'messaging.batch.message_count': batch.length,
    ...(consumer !== undefined && { 'messaging.consumer.group.name': consumer }),
    'pelton.model': first?.model.name,
    'pelton.model.version': first?.model.version,
    'pelton.batch.rows': rowsOf(batch),
  }
}

function outcomeAttributes({ event, info }: Delivery, outcome: Outcome, to: Destination) {
  const attributes = {
    ...operation('publish', 'send', to),
    ...eventAttributes(event),
    'messaging.nats.stream.sequence': info.streamSequence,
    'messaging.nats.message.delivery_count': info.deliveryCount,
    'pelton.attempt': event.attempt,
  }
  if (outcome.kind === 'not-servable') return { ...attributes, 'pelton.reason': outcome.why.cause }
  if (outcome.kind !== 'predicted') return { ...attributes, 'pelton.reason': outcome.failure.reason }
  const { queueMs, inferenceMs, batchRows, modelVersion } = outcome.facts
  return {
    ...attributes,
    'pelton.model.version': modelVersion,
    'pelton.queue.wait': queueMs / 1_000,
    'pelton.inference.duration': inferenceMs / 1_000,
    'pelton.batch.rows': batchRows,
  }
}

function operation(name: string, type: string, destination: Destination | undefined) {
  return { ...operationAttributes(name, destination), 'messaging.operation.type': type }
}

async function endWith<Result>(span: Span, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (thrown) {
    span.setStatus({ code: SpanStatusCode.ERROR })
    span.setAttribute('error.type', errorTypeOf(thrown))
    throw thrown
  } finally {
    span.end()
  }
}
