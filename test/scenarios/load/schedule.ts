/** A piece of a load: its rate goes from one to the other in a straight line. */
export interface Phase {
  readonly name: string
  readonly fromPerSecond: number
  readonly toPerSecond: number
  readonly seconds: number
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
 */
export function intendedTimes(phases: readonly Phase[]): Float64Array {
  const times: number[] = []
  let before = 0
  let startSeconds = 0
  for (const phase of phases) {
    const end = before + areaOf(phase)
    for (; times.length < end - 1e-9; )
      times.push(1_000 * (startSeconds + secondsUntil(phase, times.length - before)))
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
  return Math.floor((index + 1) * share + 1e-9) > Math.floor(index * share + 1e-9)
}

/** When each phase begins and ends, milliseconds after the load begins. */
export function boundsOf(
  phases: readonly Phase[],
): readonly { readonly name: string; readonly fromMs: number; readonly toMs: number }[] {
  let at = 0
  return phases.map(({ name, seconds }) => {
    const fromMs = at
    at += 1_000 * seconds
    return { name, fromMs, toMs: at }
  })
}
