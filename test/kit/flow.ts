import type { NatsConnection } from '@nats-io/transport-node'
import { encodeFlow, type Flow, type OfLanes } from '../../shared/sdk/contract/flow.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { namesOf } from '../../shared/sdk/jetstream/names-of.ts'

const EVERY_MS = 100
const NONE: OfLanes<number> = { high: 0, normal: 0, low: 0 }

/** What is said of a model, of what is not usual: nothing waits, nothing is refused, a thousand rows a second. */
export type SaidFlow = Partial<Omit<Flow, 'name' | 'at' | 'everyMs'>>

export interface FlowSpeaker {
  /** Says it from now on, in place of all that was said before. */
  say(flow: SaidFlow): void
  /** Says nothing any more: after a second it is as if nothing had been said. */
  stop(): void
}

/** Says of a model of the pool `default` what a worker of it would, ten times a second. */
export function speakFlow(connection: NatsConnection, model: string): FlowSpeaker {
  const subject = namesOf(connection).subject(subjects.flow('default', model))
  let said: SaidFlow = {}
  const speak = (): void => connection.publish(subject, encodeFlow(flowOf(said)))
  const timer = setInterval(speak, EVERY_MS)
  speak()
  return {
    say(flow) {
      said = flow
      speak()
    },
    stop: () => clearInterval(timer),
  }
}

function flowOf(said: SaidFlow): Flow {
  return {
    ...{ by: 'worker', name: 'spoken', at: Date.now(), everyMs: EVERY_MS, drainRows: 1_000, rowsPerEvent: 1 },
    ...{ waiting: NONE, held: NONE, deadlineMs: NONE, heavy: [], mode: 'enforce', gates: [] },
    maxBacklogSeconds: NONE,
    ...said,
  }
}
