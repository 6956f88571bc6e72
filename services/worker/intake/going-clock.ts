/** A clock that only goes forward, milliseconds since some moment. */
export type GoingClock = () => number

/**
 * Opens a clock for how long something took, whatever became of this process meanwhile: it goes on while the process is
 * stopped, as the monotonic clock does, and while the whole machine is, which only the clock of the wall shows. That one
 * is set now and then: forward counts as time gone, backward as nothing.
 */
export function openGoingClock(
  monotonic: () => number = () => performance.now(),
  wall: () => number = () => Date.now(),
): GoingClock {
  const apart = wall() - monotonic()
  let missed = 0
  return () => {
    const now = monotonic()
    missed = Math.max(missed, wall() - now - apart)
    return now + missed
  }
}
