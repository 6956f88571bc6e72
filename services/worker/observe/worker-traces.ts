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
import type { ModelRepository, ServedModel } from '../../../shared/models/repository.ts'
import {
  type Destination,
  errorTypeOf,
  eventAttributes,
  operationAttributes,
} from '../../../shared/runtime/messaging.ts'
import { UNKNOWN_MODEL } from '../../../shared/runtime/metrics.ts'
import { sampledContext, writeTraceparent } from '../../../shared/runtime/trace-context.ts'
import type { Delivery } from '../intake/delivery.ts'
import { type Prepared, rowsOf } from '../prepare/prepared.ts'
import type { Concluded, Outcome } from '../settle/outcome.ts'
import type { Stored } from '../settle/outcome-store.ts'
import { sharedBy, sourceOf } from './source.ts'

/** The spans on the way of an event. Made only where traces are exported. */
export type WorkerTraces = ReturnType<typeof createWorkerTraces>

/**
 * A batch has one span without a parent, linked to each event that is sampled. The trace of one event goes on by a span
 * of its own, which stores its outcome: publish → publish results (linked to the batch) → subscriber. An event that is
 * not sampled has neither: nothing is allocated for it.
 *
 * @param models what is served: other names come from outside, and do not become names of spans
 */
export function createWorkerTraces(models: Pick<ModelRepository, 'find'>) {
  const tracer = trace.getTracer('pelton')
  const bounded = (model: string): string => (models.find(model) === undefined ? UNKNOWN_MODEL : model)
  return {
    /** Runs the work of a batch in its span, which is passed on if it is sampled. */
    batch<Result>(batch: readonly Prepared[], work: (span?: Span) => Promise<Result>): Promise<Result> {
      const links = batch.flatMap(({ delivery }) => linkTo(delivery))
      const options = { kind: SpanKind.CONSUMER, links, attributes: batchAttributes(batch) }
      const from = sourceOf(batch)
      const model = batch[0]?.model.name
      const name = from === undefined ? `process ${model}` : `process ${from}.${model}`
      const span = tracer.startSpan(name, options, ROOT_CONTEXT)
      return span.isRecording() ? endWith(span, () => work(span)) : work()
    },
    /** One model call of a batch. */
    run<Result>(batch: Span, { name, version }: ServedModel, rows: number, work: () => Promise<Result>) {
      const attributes = { 'pelton.model': name, 'pelton.model.version': version, 'pelton.batch.rows': rows }
      return endWith(tracer.startSpan(`infer ${name}`, { attributes }, below(batch)), work)
    },
    /** The settling of a batch. Events that never ran have none: each has its span where its outcome is stored. */
    settle<Result>(batch: Span, group: readonly Concluded[], work: () => Promise<Result>): Promise<Result> {
      const from = sourceOf(group)
      const attributes = {
        ...operation('ack', 'settle', from),
        'messaging.batch.message_count': group.length,
      }
      const name = from === undefined ? 'ack' : `ack ${from}`
      return endWith(tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes }, below(batch)), work)
    },
    /** The storing of one outcome, in the event's own trace; without a span where the event is not sampled. */
    async store(
      batch: Span | undefined,
      delivery: Delivery,
      outcome: Outcome,
      work: () => Promise<Stored>,
    ): Promise<Stored> {
      const place = sampledContext(delivery.event.headers)
      if (place === undefined) return work()
      const model = bounded(delivery.event.route.model)
      const links = batch === undefined ? [] : [{ context: batch.spanContext() }]
      const span = startStoring(tracer, model, { delivery, outcome, place, links })
      delivery.traceparent = writeTraceparent(span.spanContext())
      return endWith(span, async () => {
        const stored = await work()
        // The retry lane did not take it, and it is given up instead.
        if (outcome.kind === 'retried' && stored === 'dead-lettered')
          span.updateName(`publish results.${model}`).setAttributes(operation('publish', 'send', 'results'))
        span.setAttribute('pelton.outcome', stored)
        return stored
      })
    },
  }
}

interface Storing {
  readonly delivery: Delivery
  readonly outcome: Outcome
  /** Where the event is in its own trace. */
  readonly place: SpanContext
  readonly links: Link[]
}

function startStoring(tracer: Tracer, model: string, { delivery, outcome, place, links }: Storing): Span {
  const to = outcome.kind === 'retried' ? 'retries' : 'results'
  const options = { kind: SpanKind.PRODUCER, links, attributes: outcomeAttributes(delivery, outcome, to) }
  return tracer.startSpan(`publish ${to}.${model}`, options, trace.setSpanContext(ROOT_CONTEXT, place))
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
  return [{ context: place, attributes: eventAttributes(event) }]
}

function batchAttributes(batch: readonly Prepared[]) {
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
