import {
  type Context,
  type Link,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import { FEATURES_TEMPLATE, RESULTS_TEMPLATE } from '../../shared/runtime/sdk-spans.ts'
import { sampledContext, writeTraceparent } from '../../shared/runtime/trace-context.ts'
import type { Delivery } from './delivery.ts'
import type { ServedModel } from './models/repository.ts'
import type { Outcome } from './outcome.ts'
import type { Stored } from './outcome-store.ts'
import type { Prepared } from './prepare.ts'
import { rowsOf } from './worker-metrics.ts'

/** The spans on the way of an event. Made only where traces are exported. */
export type WorkerTraces = ReturnType<typeof createWorkerTraces>

/**
 * A batch has one span without a parent, linked to each event that is sampled. The trace of one event goes on by a span
 * of its own, which stores its outcome: publish → publish results (linked to the batch) → subscriber. An event that is
 * not sampled has neither: nothing is allocated for it.
 */
export function createWorkerTraces() {
  const tracer = trace.getTracer('pelton')
  return {
    /** Runs the work of a batch in its span, which is passed on if it is sampled. */
    batch<Result>(batch: readonly Prepared[], work: (span?: Span) => Promise<Result>): Promise<Result> {
      const links = batch.flatMap(({ delivery }) => linkTo(delivery))
      const options = { kind: SpanKind.CONSUMER, links, attributes: batchAttributes(batch) }
      const span = tracer.startSpan(`process features.${batch[0]?.model.name}`, options, ROOT_CONTEXT)
      return span.isRecording() ? endWith(span, () => work(span)) : work()
    },
    /** One model call of a batch. */
    run<Result>(batch: Span, { name, version }: ServedModel, rows: number, work: () => Promise<Result>) {
      const attributes = { 'pelton.model': name, 'pelton.model.version': version, 'pelton.batch.rows': rows }
      return endWith(tracer.startSpan(`infer ${name}`, { attributes }, below(batch)), work)
    },
    /** The settling of a batch. Events that never ran have none: each has its span where its outcome is stored. */
    settle<Result>(batch: Span, events: number, work: () => Promise<Result>): Promise<Result> {
      const attributes = {
        ...operation('ack', 'settle', FEATURES_TEMPLATE),
        'messaging.batch.message_count': events,
      }
      return endWith(
        tracer.startSpan('ack features', { kind: SpanKind.CLIENT, attributes }, below(batch)),
        work,
      )
    },
    /** The storing of one outcome, in the event's own trace; without a span where the event is not sampled. */
    async store(
      batch: Span | undefined,
      delivery: Delivery,
      outcome: Outcome,
      work: () => Promise<Stored>,
    ): Promise<Stored> {
      const { event } = delivery
      const place = sampledContext(event.headers)
      if (place === undefined) return work()
      const links = batch === undefined ? [] : [{ context: batch.spanContext() }]
      const options = { kind: SpanKind.PRODUCER, links, attributes: outcomeAttributes(delivery, outcome) }
      const parent = trace.setSpanContext(ROOT_CONTEXT, place)
      const span = tracer.startSpan(`publish results.${event.route.model}`, options, parent)
      delivery.traceparent = writeTraceparent(span.spanContext())
      return endWith(span, async () => {
        const stored = await work()
        span.setAttribute('pelton.outcome', stored)
        return stored
      })
    },
  }
}

/** Whether whoever sent the event is sampled. */
export function isSampled({ event }: Delivery): boolean {
  return sampledContext(event.headers) !== undefined
}

/** Spans are passed on by hand: following them through promises would cost every promise of the worker. */
function below(span: Span): Context {
  return trace.setSpan(ROOT_CONTEXT, span)
}

function linkTo({ event }: Delivery): Link[] {
  const place = sampledContext(event.headers)
  if (place === undefined) return []
  return [{ context: place, attributes: { 'messaging.message.id': event.id } }]
}

function batchAttributes(batch: readonly Prepared[]) {
  const [first] = batch
  return {
    ...operation('process', 'process', FEATURES_TEMPLATE),
    'messaging.batch.message_count': batch.length,
    'messaging.consumer.group.name': first?.delivery.info.consumer,
    'pelton.model': first?.model.name,
    'pelton.model.version': first?.model.version,
    'pelton.batch.rows': rowsOf(batch),
  }
}

function outcomeAttributes({ event, info }: Delivery, outcome: Outcome) {
  const attributes = {
    ...operation('publish', 'send', RESULTS_TEMPLATE),
    'messaging.message.id': event.id,
    'messaging.nats.stream.sequence': info.streamSequence,
    'messaging.nats.message.delivery_count': info.deliveryCount,
    'pelton.attempt': event.attempt,
  }
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

function operation(name: string, type: string, template: string) {
  return {
    'messaging.system': 'nats',
    'messaging.operation.name': name,
    'messaging.operation.type': type,
    'messaging.destination.template': template,
  }
}

async function endWith<Result>(span: Span, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (thrown) {
    span.setStatus({ code: SpanStatusCode.ERROR })
    span.setAttribute('error.type', (thrown as { readonly code?: string }).code ?? 'internal')
    throw thrown
  } finally {
    span.end()
  }
}
