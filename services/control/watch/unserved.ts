import type { NewAlert } from '../../../shared/operations/watch-record/alert.ts'
import { showCount, showDuration } from '../../../shared/runtime/quantities.ts'
import type { LaneLook, StreamLook } from './lane-look.ts'

/** A pool whose events no worker takes. */
export interface UnservedPool {
  readonly kind: 'unserved-pool' | 'idle-pool'
  readonly pool: string
  readonly count: number
  /** Where they wait: stream and filter, for the oldest of them. */
  readonly where: readonly { readonly stream: string; readonly filter: string }[]
  /** For an idle pool: since when nothing was handed out or settled, milliseconds. */
  readonly idleMs: number
}

export interface ServiceJudgement {
  /** Since when each lane or pool has looked so, broker milliseconds. */
  readonly since: ReadonlyMap<string, number>
  /** Those that have been so the longest first. */
  readonly unserved: readonly UnservedPool[]
}

/**
 * Finds pools without a consumer, and pools with consumers where no pull is open, nothing was handed out and nothing
 * settled for a while: their workers are gone, or stand still.
 *
 * @param afterMs how long it must be so
 */
export function judgeService(
  before: ReadonlyMap<string, number>,
  looks: readonly StreamLook[],
  afterMs: number,
): ServiceJudgement {
  const since = new Map<string, number>()
  const pools = new Map<string, UnservedPool>()
  const isOverdue = (key: string, at: number): number => {
    const first = before.get(key) ?? at
    since.set(key, first)
    return at - first
  }
  for (const { stream, at, lanes, unserved } of looks) {
    for (const { pool, count, filter } of unserved) {
      const waitedMs = isOverdue(`${stream} ${pool}`, at)
      if (waitedMs < afterMs) continue
      add(pools, { kind: 'unserved-pool', pool, count, where: [{ stream, filter }], idleMs: waitedMs })
    }
    for (const lane of lanes) {
      if (!isIdle(lane)) continue
      const seenMs = isOverdue(lane.consumer, at)
      const idleMs = Math.min(seenMs, at - (lane.lastActiveAt ?? 0))
      if (idleMs >= afterMs) add(pools, idlePool(lane, at, seenMs))
    }
  }
  return { since, unserved: [...pools.values()].sort(byAge) }
}

function byAge(one: UnservedPool, other: UnservedPool): number {
  return other.idleMs - one.idleMs || (one.pool < other.pool ? -1 : 1)
}

function isIdle({ pool, pending, inFlight, waitingPulls }: LaneLook): boolean {
  return pool !== undefined && pending + inFlight > 0 && waitingPulls === 0
}

function idlePool(lane: LaneLook, at: number, seenMs: number): UnservedPool {
  const { stream, filter, pending, inFlight, lastActiveAt } = lane
  return {
    kind: 'idle-pool',
    pool: lane.pool ?? '',
    count: pending + inFlight,
    where: [{ stream, filter }],
    idleMs: lastActiveAt === undefined ? seenMs : at - lastActiveAt,
  }
}

function add(pools: Map<string, UnservedPool>, found: UnservedPool): void {
  const key = `${found.kind} ${found.pool}`
  const before = pools.get(key)
  pools.set(key, {
    ...found,
    count: found.count + (before?.count ?? 0),
    where: [...(before?.where ?? []), ...found.where],
    idleMs: Math.max(found.idleMs, before?.idleMs ?? 0),
  })
}

/** Longer than any name Pelton makes: only a publisher of its own makes such a subject. */
const MAX_SHOWN = 255

function shown(pool: string): string {
  return pool.length > MAX_SHOWN ? `${pool.slice(0, MAX_SHOWN)}…` : pool
}

/** @param oldestMs age of the oldest event; undefined when it left meanwhile */
export function unservedAlert(found: UnservedPool, oldestMs: number | undefined): NewAlert {
  const { kind, count, idleMs } = found
  const pool = shown(found.pool)
  const oldest = oldestMs === undefined ? '' : `, the oldest for ${showDuration(oldestMs)}`
  const events = `${showCount(count)} events wait for pool ${pool}${oldest}`
  if (kind === 'unserved-pool') {
    return {
      kind,
      about: pool,
      text: `${events}, and it has no consumer for them`,
      remedy: `Run \`pelton provision --pool ${pool}\` and start workers with PELTON_POOL=${pool}; or the producer meant another pool.`,
      count,
    }
  }
  const text = `${events}; for ${showDuration(idleMs)} no worker has asked for, taken or settled any`
  const remedy = `Start workers with PELTON_POOL=${pool}; where they run, see why they are not ready (/readyz, their log).`
  return { kind, about: pool, text, remedy, count }
}
