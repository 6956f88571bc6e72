/** When an event was accepted, and when its first outcome was stored; both milliseconds since 1970. */
export interface Answered {
  readonly acceptedAt: number
  readonly storedAt: number
}

/**
 * The longest time in which no outcome was stored although events waited. Time without anything to do does not count.
 */
export function longestGapMs(answers: readonly Answered[]): number {
  const accepted = answers.map(({ acceptedAt }) => acceptedAt).sort((a, b) => a - b)
  const stored = answers.map(({ storedAt }) => storedAt).sort((a, b) => a - b)
  let longest = 0
  stored.forEach((at, index) => {
    const before = stored[index - 1] ?? Number.NEGATIVE_INFINITY
    // The event whose answer makes the count of answers exceed `index` was there since then at the latest.
    const waitingSince = Math.max(before, accepted[index] ?? at)
    longest = Math.max(longest, at - waitingSince)
  })
  return longest
}

/** From `endedAt` until everything accepted before it was answered; 0 when all was answered already. */
export function recoveredMs(answers: readonly Answered[], endedAt: number): number {
  let last = endedAt
  for (const { acceptedAt, storedAt } of answers)
    if (acceptedAt <= endedAt && storedAt > last) last = storedAt
  return last - endedAt
}

/** The longest time between two outcomes that were stored one after the other, from the last before `from` until `to`. */
export function standstillMs(answers: readonly Answered[], from: number, to: number): number {
  const stored = answers.map(({ storedAt }) => storedAt).sort((a, b) => a - b)
  const first = Math.max(
    0,
    stored.findLastIndex((at) => at <= from),
  )
  const within = stored.slice(first).filter((at) => at <= to)
  return Math.max(0, ...within.map((at, index) => at - (within[index - 1] ?? at)))
}
