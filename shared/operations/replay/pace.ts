/**
 * When the next event may be sent: a token bucket whose rate grows linearly to its full value. It lets small groups
 * go together: they share requests, a model call and a ledger record, and leave more of the machine to live events.
 */
export interface Pace {
  /** Milliseconds to wait before the next event; 0 takes it now. */
  next(nowMs: number): number
}

/** How long events are saved up for a group: the rate is kept in short stretches too. */
const GROUP_SECONDS = 0.1
/** A larger group would be felt by the live events behind it. */
const LARGEST_GROUP = 32
/** A ramp begins at this share of the full rate. */
const FIRST_SHARE = 0.05

/**
 * @param rate events a second at full rate
 * @param rampSeconds until the full rate is reached; 0 for at once
 */
export function createPace(rate: number, rampSeconds: number, startedMs: number): Pace {
  let saved = 1
  let isGroup = true
  let lastMs = startedMs
  const rateAt = (nowMs: number): number => {
    const share = rampSeconds <= 0 ? 1 : (nowMs - startedMs) / 1_000 / rampSeconds
    return rate * Math.min(1, Math.max(FIRST_SHARE, share))
  }
  return {
    next(nowMs) {
      const current = rateAt(nowMs)
      const most = Math.max(1, current * GROUP_SECONDS)
      const group = Math.min(most, LARGEST_GROUP)
      // Twice: a wake-up that comes late must not lose what was saved up meanwhile.
      saved = Math.min(2 * most, saved + (Math.max(0, nowMs - lastMs) / 1_000) * current)
      lastMs = nowMs
      if (saved < 1) isGroup = false
      // As much as adding up in steps loses of a group must not cost another wait.
      if (!isGroup && saved < group - 1e-6) return Math.max(1, ((group - saved) / current) * 1_000)
      isGroup = true
      saved--
      return 0
    },
  }
}
