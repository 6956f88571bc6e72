import type { SideName } from './figures.ts'

/** Which side runs first in a round, counted from 0. ABBA: what drifts steadily favours neither. */
export function orderOf(round: number): readonly [SideName, SideName] {
  return round % 2 === 0 ? ['base', 'head'] : ['head', 'base']
}

/** When an event is to be sent, milliseconds after the first. What happens to those before it changes nothing. */
export function intendedMs(index: number, perSecond: number): number {
  return (index * 1_000) / perSecond
}

export interface Clocks {
  /** The wall clock, in whole milliseconds. */
  wallMs(): number
  /** The monotonic one, finer. */
  steadyMs(): number
}

const CLOCKS: Clocks = { wallMs: Date.now, steadyMs: () => performance.now() }

/**
 * The wall clock (which the broker stamps messages with) less this process's monotonic one, milliseconds. The wall clock
 * can be read in whole milliseconds only: the moment of its tick is found by looking, and the earliest look is the truest.
 */
export function wallClockOffset(clocks = CLOCKS, ticks = 20): number {
  let offset = Number.NEGATIVE_INFINITY
  for (let tick = 0; tick < ticks; tick++) {
    const before = clocks.wallMs()
    let now = before
    while (now === before) now = clocks.wallMs()
    offset = Math.max(offset, now - clocks.steadyMs())
  }
  return offset
}

/** A generator that is later than this sends another load than was asked for, milliseconds. */
const LATEST_P99_MS = 5
/** A wall clock that moves further makes latencies wrong by as much, milliseconds. */
const CLOCK_MOVED_MS = 0.5

export interface Punctuality {
  /** How much later than intended events that count were sent, milliseconds. */
  readonly lateMs: { readonly p50: number; readonly p99: number; readonly max: number }
  /** How far the wall clock moved against the monotonic one meanwhile, milliseconds. */
  readonly clockMovedMs: number
}

/** Why a run with such a generator does not count; `undefined` where it does. */
export function voidReason({ lateMs, clockMovedMs }: Punctuality): string | undefined {
  if (lateMs.p99 > LATEST_P99_MS)
    return `the generator was late: p99 ${lateMs.p99.toFixed(1)} ms, more than ${LATEST_P99_MS}`
  if (Math.abs(clockMovedMs) > CLOCK_MOVED_MS)
    return `the wall clock moved by ${clockMovedMs.toFixed(2)} ms, more than ${CLOCK_MOVED_MS}`
  return undefined
}
