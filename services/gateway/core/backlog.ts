import type { NatsConnection } from '@nats-io/transport-node'
import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import { featureConsumer } from '../../../shared/sdk/contract/topology.ts'
import { consumerInfo } from '../../../shared/sdk/jetstream/api.ts'

/** Between two looks at a lane, milliseconds. */
const LOOK_MS = 2_000
/** How long a lane is looked at after somebody asked. */
const ASKED_MS = 10_000
/** What the rate is made of. */
const WINDOW_MS = 10_000
/** Longer backlogs are called this, seconds: a day. */
const LONGEST_S = 86_400

/** A lane's consumer at one moment. */
export interface LaneLook {
  /** Milliseconds of a clock that never goes back. */
  readonly at: number
  /** Events that wait. */
  readonly waiting: number
  /** Deliveries so far. */
  readonly delivered: number
}

/**
 * How long what waits in a lane takes, at the pace of the last looks. Pure.
 *
 * @param looks in order
 * @returns seconds; 0 where nothing waits, undefined where no pace is known
 */
export function secondsAhead(looks: readonly LaneLook[]): number | undefined {
  const last = looks.at(-1)
  if (last === undefined) return undefined
  if (last.waiting === 0) return 0
  const first = looks.find(({ at }) => last.at - at <= WINDOW_MS) ?? last
  const drained = last.delivered - first.delivered
  if (drained <= 0 || last.at <= first.at) return undefined
  return Math.min(LONGEST_S, (last.waiting * (last.at - first.at)) / (1_000 * drained))
}

interface SeenLane {
  readonly consumer: ReturnType<typeof featureConsumer>
  readonly looks: LaneLook[]
  askedAt: number
  timer: NodeJS.Timeout | undefined
}

/** The backlogs of lanes that somebody asks for. Nobody asks: nothing is looked at. */
export class Backlogs {
  readonly #connection: NatsConnection
  readonly #lanes = new Map<string, SeenLane>()

  constructor(connection: NatsConnection) {
    this.#connection = connection
  }

  /** Seconds ahead of what is published now, as of the last look; undefined while that is not known. */
  seconds(pool: string, lane: Lane): number | undefined {
    const seen = this.#of(pool, lane)
    seen.askedAt = performance.now()
    if (seen.timer === undefined) this.#lookOn(seen)
    return secondsAhead(seen.looks)
  }

  close(): void {
    for (const { timer } of this.#lanes.values()) clearTimeout(timer)
    this.#lanes.clear()
  }

  #of(pool: string, lane: Lane): SeenLane {
    const consumer = featureConsumer(pool, lane)
    const { durable_name: key } = consumer
    const seen = this.#lanes.get(key) ?? { consumer, looks: [], askedAt: 0, timer: undefined }
    this.#lanes.set(key, seen)
    return seen
  }

  #lookOn(seen: SeenLane): void {
    void this.#look(seen)
    seen.timer = setTimeout(() => {
      if (this.#lanes.get(seen.consumer.durable_name) !== seen) return
      if (performance.now() - seen.askedAt < ASKED_MS) this.#lookOn(seen)
      else this.#lanes.delete(seen.consumer.durable_name)
    }, LOOK_MS).unref()
  }

  async #look({ consumer, looks }: SeenLane): Promise<void> {
    const info = await consumerInfo(this.#connection, consumer.stream, consumer.durable_name).catch(
      () => undefined,
    )
    const at = performance.now()
    const last = looks.at(-1)
    const delivered = info?.delivered?.consumer_seq
    // A consumer that is missing, or was made anew, has no pace yet; nor has one that nobody answers for.
    if (delivered === undefined || delivered < (last?.delivered ?? 0)) looks.length = 0
    if (info !== undefined && delivered !== undefined)
      looks.push({ at, waiting: info.num_pending, delivered })
    while ((looks[0]?.at ?? at) < at - WINDOW_MS) looks.shift()
  }
}
