import { resumeRemedy } from '../../../shared/operations/broker/consumer-list.ts'
import type { NewAlert } from '../../../shared/operations/watch-record/alert.ts'
import type { ConsumerReset } from '../../../shared/operations/watch-record/record.ts'
import { showCount } from '../../../shared/runtime/quantities.ts'
import type { LaneLook } from './lane-look.ts'

/** What earlier looks saw of one consumer. */
export interface OrphanMemory {
  readonly looks: number
  /** The fewest orphans of these looks. */
  readonly least: number
}

export interface OrphanJudgement {
  readonly memory: ReadonlyMap<string, OrphanMemory>
  readonly alerts: readonly NewAlert[]
  /** Consumers to reset now. */
  readonly resets: readonly Pick<ConsumerReset, 'stream' | 'consumer' | 'orphans' | 'inFlight'>[]
}

/** Looks in a row that must see orphans. */
const STABLE_LOOKS = 3
/** Looks for which a reset waits until nothing is in flight. */
const CALM_LOOKS = 6
const FIRST_PAUSE_MS = 60_000
const LONGEST_PAUSE_MS = 3_600_000
const REMEMBERED_MS = 24 * 3_600_000

/**
 * Decides what is to be done about events that no consumer will hand out: an alert once they are stable, then a reset of
 * the consumer. Not where its configuration would lose them again, not again before a pause that doubles each time.
 *
 * @param nowMs broker time
 */
export function judgeOrphans(
  before: ReadonlyMap<string, OrphanMemory>,
  lanes: readonly LaneLook[],
  resets: readonly ConsumerReset[],
  nowMs: number,
): OrphanJudgement {
  const memory = new Map<string, OrphanMemory>()
  const alerts: NewAlert[] = []
  const wanted: LaneLook[] = []
  for (const lane of lanes) {
    if (lane.drift !== undefined) alerts.push(changed(lane, lane.drift))
    if (lane.pausedUntil !== undefined) alerts.push(paused(lane, lane.pausedUntil))
    if (lane.orphans === 0) continue
    const seen = before.get(lane.consumer) ?? { looks: 0, least: lane.orphans }
    const now = { looks: seen.looks + 1, least: Math.min(seen.least, lane.orphans) }
    memory.set(lane.consumer, now)
    if (now.looks < STABLE_LOOKS) continue
    const pauseMs = pauseBefore(resets, lane, nowMs)
    alerts.push(orphaned(lane, now.least, pauseMs))
    const isCalm = lane.inFlight === 0 || now.looks >= STABLE_LOOKS + CALM_LOOKS
    if (
      lane.pool === undefined ||
      lane.drift !== undefined ||
      lane.pausedUntil !== undefined ||
      pauseMs > 0 ||
      !isCalm
    )
      continue
    wanted.push({ ...lane, orphans: now.least })
    memory.delete(lane.consumer)
  }
  return { memory, alerts, resets: wanted }
}

/** Milliseconds until this consumer may be reset: it doubles with each reset of the last day. */
function pauseBefore(
  resets: readonly ConsumerReset[],
  { stream, consumer }: Pick<LaneLook, 'stream' | 'consumer'>,
  nowMs: number,
): number {
  const times = resets
    .filter((reset) => reset.stream === stream && reset.consumer === consumer)
    .map(({ at }) => Date.parse(at))
    .filter((time) => nowMs - time < REMEMBERED_MS)
  if (times.length === 0) return 0
  const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (times.length - 1))
  return Math.max(0, Math.max(...times) + pauseMs - nowMs)
}

/** Whoever's it is: what waits for it is in the stream, and no other consumer has it. */
function paused({ stream, consumer, pending, inFlight }: LaneLook, until: string): NewAlert {
  return {
    kind: 'paused-consumer',
    about: consumer,
    text: `somebody paused it until ${until}: it hands out nothing, and its events wait`,
    remedy: resumeRemedy(stream, consumer),
    count: pending + inFlight,
  }
}

function changed({ consumer, pending, inFlight }: LaneLook, drift: string): NewAlert {
  return {
    kind: 'changed-consumer',
    about: consumer,
    text: `somebody changed it: ${drift}; events can be left without an answer`,
    remedy: drift.startsWith('max_deliver')
      ? 'Run `pelton provision`. What was left is found and handed out again.'
      : 'Delete the consumer while nothing is in flight, then run `pelton provision`.',
    count: pending + inFlight,
  }
}

function orphaned(lane: LaneLook, least: number, pauseMs: number): NewAlert {
  const { consumer, stream, pool, drift, pausedUntil } = lane
  const plan =
    pool === undefined
      ? 'It is none of Pelton: delete it, then run `pelton provision`.'
      : drift !== undefined
        ? 'Mend the consumer first: a reset would lose them again.'
        : pausedUntil !== undefined
          ? 'It is reset by itself once it is resumed.'
          : `It is reset by itself${pauseMs > 0 ? `, not before ${Math.ceil(pauseMs / 1_000)} s` : ''}.`
  const text = `${showCount(least)} events of ${stream} are known to no consumer and would wait for ever`
  return { kind: 'orphans', about: consumer, text, remedy: plan, count: least }
}
