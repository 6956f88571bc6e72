import { channel, tracingChannel } from 'node:diagnostics_channel'
import type { Route } from './contract/subjects.ts'
import type { EventToPublish } from './event-message.ts'
import type { Receipt } from './producer.ts'
import type { StoredResult } from './result.ts'

/** What an outbox says of an event that is on disk. */
type Kept = Pick<Receipt, 'id' | 'token'> & { readonly position: number }

/**
 * One call of `publish()`, of a producer or an outbox, on the tracing channel `pelton:publish` of
 * `node:diagnostics_channel`. An instrumentation writes the place in its trace here at `start`, and it travels with the
 * event, also when an outbox sends it after a restart.
 *
 * @experimental
 */
export interface PublishTrace {
  readonly event: EventToPublish
  readonly pool: string
  /** CloudEvents source of the producer, or the outbox. */
  readonly source: string
  /** `outbox`: it is kept on disk and sent by itself, whenever the broker is there. */
  readonly by: 'producer' | 'outbox'
  /** Sent instead of the event's own. */
  traceparent?: string
  tracestate?: string
  /** From `asyncStart` on, where the event was stored, or kept. */
  readonly result?: Receipt | Kept
  /** From `error` on, where it was not. */
  readonly error?: unknown
}

/**
 * What is told on `pelton:result` when a result is handed to the caller, and on `pelton:result:settled` when the caller
 * acknowledges it or asks for it later, with the very same `result`. One that is never settled is told once.
 *
 * @experimental
 */
export interface ResultDiagnostics {
  readonly result: StoredResult
  /** How it was settled. */
  readonly how?: 'ack' | 'retry-later'
}

/**
 * What is told on `pelton:refused` of an event that a producer did not let in: once, when `publish()` or `tryPublish()` throws
 * for it. Where the model's admission is only observed, of each event that would not have been.
 *
 * @experimental
 */
export interface RefusedDiagnostics extends Route {
  /** CloudEvents source of the producer. */
  readonly source: string
  /** What refused it: `backlog`, `share`, `maxBacklogSeconds`, `throttle`, or the name of a bound at the broker. */
  readonly limit: string
  /** How long it waited to be let in. */
  readonly waitedMs: number
  /** Whether it was refused; `false` where that was only observed. */
  readonly isEnforced: boolean
}

/**
 * Names of the channels on `node:diagnostics_channel`. `publish` is a tracing channel ({@link PublishTrace}); the
 * others are plain ones ({@link RefusedDiagnostics}, {@link ResultDiagnostics}).
 *
 * @experimental
 */
export const CHANNELS = {
  publish: 'pelton:publish',
  refused: 'pelton:refused',
  result: 'pelton:result',
  settled: 'pelton:result:settled',
} as const

const publishing = tracingChannel<unknown, PublishTrace>(CHANNELS.publish)
const start = channel(`tracing:${CHANNELS.publish}:start`)
const notLetIn = channel(CHANNELS.refused)
const handedOver = channel(CHANNELS.result)
const settled = channel(CHANNELS.settled)

/** Publishes one event by `publish`; told on the channels while there is a listener, else nothing is done. */
export function tracePublish<Result extends Receipt | Kept>(
  { event, pool, source, by }: Pick<PublishTrace, 'event' | 'pool' | 'source' | 'by'>,
  publish: (event: EventToPublish) => Promise<Result>,
): Promise<Result> {
  if (!start.hasSubscribers) return publish(event)
  const trace: PublishTrace = { event, pool, source, by }
  // Async: what throws at once would otherwise have no `asyncEnd`.
  const publishTraced = async (): Promise<Result> => {
    const { traceparent, tracestate } = trace
    return publish({
      ...event,
      ...(traceparent !== undefined && { traceparent }),
      ...(tracestate !== undefined && { tracestate }),
    })
  }
  return publishing.tracePromise(publishTraced, trace)
}

export function tellRefused(refused: RefusedDiagnostics): void {
  if (notLetIn.hasSubscribers) notLetIn.publish(refused)
}

export function tellHandedOver(result: StoredResult): void {
  if (handedOver.hasSubscribers) handedOver.publish({ result } satisfies ResultDiagnostics)
}

export function tellSettled(result: StoredResult, how: 'ack' | 'retry-later'): void {
  if (settled.hasSubscribers) settled.publish({ result, how } satisfies ResultDiagnostics)
}
