import type { NatsConnection } from '@nats-io/transport-node'
import { decodeFlow, encodeFlow, type Flow, type OfLanes, ofLanes } from '../../shared/sdk/contract/flow.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { namesOf } from '../../shared/sdk/jetstream/names-of.ts'

/** How often the same is said, milliseconds. */
const SPOKEN_MS = 50
/** Said to be the time until the next word: this one is heard three times as long, however long a busy machine takes. */
const EVERY_MS = 20_000
/** Rows a second: what a test lets in is nothing beside them, even where a door takes one event for a hundred of all doors. */
const DRAIN_ROWS = 1_000_000
/** Nothing in any lane. */
export const NONE = ofLanes(() => 0)

/** What is said of a model, of what is not usual: nothing waits, nothing is refused. */
export interface SaidFlow extends Partial<Pick<Flow, 'heavy' | 'mode' | 'gates' | 'maxBacklogSeconds'>> {
  /**
   * Seconds of work that workers hold of each lane. A door takes up to one of them to be done since it was said: what has to
   * be refused needs a second more than it may find.
   */
  readonly heldS?: Partial<OfLanes<number>>
}

export interface FlowSpeaker {
  /** Says it from now on, in place of all that was said before. */
  say(flow: SaidFlow): void
  /** Says nothing any more: a minute later it is as if nothing had been said. */
  stop(): void
}

/** Says of a model of the pool `default` what a worker of it would, again and again. */
export function speakFlow(connection: NatsConnection, model: string): FlowSpeaker {
  const subject = namesOf(connection).subject(subjects.flow('default', model))
  let said: SaidFlow = {}
  const speak = (): void => connection.publish(subject, encodeFlow(spoken(said)))
  const timer = setInterval(speak, SPOKEN_MS)
  speak()
  return {
    say(flow) {
      said = flow
      speak()
    },
    stop: () => clearInterval(timer),
  }
}

/** What others hold is taken to be as much for what they drain: who speaks seldom counts for many, and its seconds stay. */
function spoken({ heldS, ...others }: SaidFlow): Flow {
  return flowOf({
    ...{ name: 'spoken', at: Date.now(), everyMs: EVERY_MS, drainRows: DRAIN_ROWS },
    held: ofLanes((lane) => DRAIN_ROWS * (heldS?.[lane] ?? 0)),
    ...others,
  })
}

/**
 * Hears what is said of every model from now on.
 *
 * @param pattern of its subjects, as they are at the broker. @default where the Pelton of the connection says it
 * @returns what was heard of a model of the pool `default`, in the order it came: one array for each model, which grows
 */
export async function hearFlow(
  connection: NatsConnection,
  pattern = namesOf(connection).subject('pelton.flow.*.*'),
): Promise<(model: string) => readonly Flow[]> {
  const words = new Map<string, Flow[]>()
  const wordsOn = (subject: string): Flow[] => {
    const heard = words.get(subject) ?? []
    words.set(subject, heard)
    return heard
  }
  connection.subscribe(pattern, {
    callback: (_error, { subject, data }) => {
      const flow = decodeFlow(data)
      if (flow === undefined) throw new Error(`what is said on ${subject} is no flow`)
      wordsOn(namesOf(connection).plainSubject(subject)).push(flow)
    },
  })
  await connection.flush()
  return (model) => wordsOn(subjects.flow('default', model))
}

/** What a worker says of a model of which nothing waits, and of which it runs a hundred rows a second. */
export function flowOf(given: Partial<Flow> = {}): Flow {
  return {
    ...{ by: 'worker', name: 'w', at: 0, everyMs: 100, drainRows: 100, rowsPerEvent: 1 },
    ...{ waiting: NONE, held: NONE, handedRows: NONE, deadlineMs: NONE, maxBacklogSeconds: NONE },
    ...{ heavy: [], mode: 'enforce', gates: [] },
    ...given,
  }
}
