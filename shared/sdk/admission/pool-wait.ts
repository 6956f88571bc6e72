import { LANE_ROWS, ofLanes } from '../contract/flow.ts'
import { LANES, type Lane } from '../contract/subjects.ts'
import type { PoolFlow } from './heard-flow.ts'

/** Words that get lost in between are not made up for longer than this, milliseconds. */
const MOST_AHEAD_MS = 1_000
const ROUND_ROWS = LANE_ROWS.high + LANE_ROWS.normal + LANE_ROWS.low
/** What a lane gets of the workers however much comes in above it: its part of their rounds. */
const LEAST_PART = ofLanes((lane) => LANE_ROWS[lane] / ROUND_ROWS)

/** Rows a second that are left to a lane by what workers are handed of those above it. */
function rowsLeft({ drainRows, handedRows }: PoolFlow, lane: Lane): number {
  let left = drainRows
  for (const each of LANES) {
    if (each === lane) break
    left -= handedRows[each]
  }
  return Math.max(LEAST_PART[lane] * drainRows, left)
}

/** How long one more event of a lane would wait, milliseconds. @param sinceRows that came in since the pool said what waits */
export function waitBehind(pool: PoolFlow, lane: Lane, sinceRows: number, nowMs: number): number {
  return (1_000 * rowsAhead(pool, lane, sinceRows, nowMs)) / rowsLeft(pool, lane)
}

/** Rows that run before one more event of a lane: as the pool said, with what came in and what was run since. */
export function rowsAhead(pool: PoolFlow, lane: Lane, sinceRows: number, nowMs: number): number {
  const passedS = Math.min(MOST_AHEAD_MS, nowMs - pool.atMs) / 1_000
  return Math.max(0, pool.aheadRows[lane] + sinceRows - passedS * pool.drainRows)
}

/**
 * How long an event may be expected to wait, milliseconds: a share of its deadline, or of the shortest that its lane's events
 * bring; undefined where there is none.
 *
 * @param deadlineMs of the event; undefined for those that the lane's events bring
 */
export function mostWaitMs(
  { deadlineMs: ofLane }: PoolFlow,
  lane: Lane,
  deadlineMs: number | undefined,
  share: number,
): number | undefined {
  const shortest = ofLane[lane]
  const most = deadlineMs ?? Number.POSITIVE_INFINITY
  const leastMs = shortest > 0 ? Math.min(shortest, most) : most
  return leastMs === Number.POSITIVE_INFINITY ? undefined : Math.max(1, leastMs * share)
}
