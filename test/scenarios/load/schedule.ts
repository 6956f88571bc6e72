/** A piece of a load: its rate goes from one to the other in a straight line. */
export interface Phase {
  readonly name: string
  readonly fromPerSecond: number
  readonly toPerSecond: number
  readonly seconds: number
  /** Part of its events that is of source `hot`, 0 to 1; the rest is of `other`. @default none */
  readonly hotShare?: number
}

/** Whose events a load has. */
export const SOURCES = ['other', 'hot'] as const
export type Source = (typeof SOURCES)[number]

/** Something for each of them. */
export type OfSources<Of> = Readonly<Record<Source, Of>>

/** The same for each of them, or what is said of each. */
export function ofSources<Of>(each: (source: Source) => Of): OfSources<Of> {
  return { other: each('other'), hot: each('hot') }
}

/** Whose the nth event is, that is to be sent at `atMs` of a load. */
export function sourceOf(phases: readonly Phase[], index: number, atMs: number): Source {
  let endMs = 0
  for (const { seconds, hotShare = 0 } of phases) {
    endMs += 1_000 * seconds
    if (atMs < endMs) return isOneOf(index, hotShare) ? 'hot' : 'other'
  }
  return 'other'
}

/** A piece of a load at one rate. */
export function steady(name: string, perSecond: number, seconds: number): Phase {
  return { name, fromPerSecond: perSecond, toPerSecond: perSecond, seconds }
}

const areaOf = ({ fromPerSecond, toPerSecond, seconds }: Phase): number =>
  ((fromPerSecond + toPerSecond) / 2) * seconds

/**
 * When each event of a load is to be sent, milliseconds after it begins, in order. What becomes of an event changes nothing
 * for those after it: the load is an open loop. The nth event stands where the rate, summed up, reaches n.
 *
 * @param step how much further the rate is summed up from one event to the next: exponentially distributed of mean 1, events
 *   come by a Poisson process. @default 1
 */
export function intendedTimes(phases: readonly Phase[], step: () => number = () => 1): Float64Array {
  const times: number[] = []
  let due = 0
  let before = 0
  let startSeconds = 0
  for (const phase of phases) {
    const end = before + areaOf(phase)
    for (; due < end - 1e-9; due += step())
      times.push(1_000 * (startSeconds + secondsUntil(phase, due - before)))
    before = end
    startSeconds += phase.seconds
  }
  return Float64Array.from(times)
}

/** Seconds into a phase until so many events are due. */
function secondsUntil({ fromPerSecond, toPerSecond, seconds }: Phase, events: number): number {
  const growth = (toPerSecond - fromPerSecond) / seconds
  if (growth === 0) return events / fromPerSecond
  const root = Math.sqrt(Math.max(0, fromPerSecond ** 2 + 2 * growth * events))
  return (root - fromPerSecond) / growth
}

/** Whether the nth event is one of the important ones: so large a share of them, spread evenly. */
export function isHigh(index: number, share: number): boolean {
  return isOneOf(index, share)
}

/** Whether the nth is one of those that a share of all are, spread evenly. */
function isOneOf(index: number, share: number): boolean {
  return Math.floor((index + 1) * share + 1e-9) > Math.floor(index * share + 1e-9)
}

/** When each phase begins and ends, milliseconds after the load begins. Pieces of one name in a row are one phase. */
export function boundsOf(
  phases: readonly Phase[],
): readonly { readonly name: string; readonly fromMs: number; readonly toMs: number }[] {
  const bounds: { readonly name: string; readonly fromMs: number; toMs: number }[] = []
  let at = 0
  for (const { name, seconds } of phases) {
    const last = bounds.at(-1)
    const fromMs = at
    at += 1_000 * seconds
    if (last?.name === name) last.toMs = at
    else bounds.push({ name, fromMs, toMs: at })
  }
  return bounds
}
