import type { NatsConnection } from '@nats-io/transport-node'
import { encodeFlow, type Flow, ofLanes } from '../../shared/sdk/contract/flow.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { namesOf } from '../../shared/sdk/jetstream/names-of.ts'

const EVERY_MS = 100
/** Nothing in any lane. */
export const NONE = ofLanes(() => 0)

/** What is said of a model, of what is not usual: nothing waits, nothing is refused, a thousand rows a second. */
export type SaidFlow = Partial<Omit<Flow, 'name' | 'at' | 'everyMs'>>

export interface FlowSpeaker {
  /** Says it from now on, in place of all that was said before. */
  say(flow: SaidFlow): void
  /** Says nothing any more: after a second it is as if nothing had been said. */
  stop(): void
}

/**
 * Says of a model of the pool `default` what a worker of it would, again and again.
 *
 * @param everyMs how often. @default ten times a second
 */
export function speakFlow(connection: NatsConnection, model: string, everyMs = EVERY_MS): FlowSpeaker {
  const subject = namesOf(connection).subject(subjects.flow('default', model))
  let said: SaidFlow = { drainRows: 1_000 }
  const speak = (): void =>
    connection.publish(subject, encodeFlow(flowOf({ name: 'spoken', at: Date.now(), everyMs, ...said })))
  const timer = setInterval(speak, everyMs)
  speak()
  return {
    say(flow) {
      said = { drainRows: 1_000, ...flow }
      speak()
    },
    stop: () => clearInterval(timer),
  }
}

/** What a worker says of a model of which nothing waits, and of which it runs a hundred rows a second. */
export function flowOf(given: Partial<Flow> = {}): Flow {
  return {
    ...{ by: 'worker', name: 'w', at: 0, everyMs: EVERY_MS, drainRows: 100, rowsPerEvent: 1 },
    ...{ waiting: NONE, held: NONE, handedRows: NONE, deadlineMs: NONE, maxBacklogSeconds: NONE },
    ...{ heavy: [], mode: 'enforce', gates: [] },
    ...given,
  }
}
