/**
 * The largest share that each of some demands may have of a capacity, so that what one does not need is the others': max-min
 * fairness by water-filling (Bertsekas and Gallager, Data Networks, 1992, §6.5.2). Pure.
 *
 * @param demands of each, in any unit
 * @param capacity in the same unit
 * @returns the share, in that unit; infinite where all demands are met
 */
export function maxMinShare(demands: readonly number[], capacity: number): number {
  const rising = [...demands].sort((one, other) => one - other)
  let left = capacity
  for (const [at, demand] of rising.entries()) {
    const share = left / (rising.length - at)
    if (demand > share) return share
    left -= demand
  }
  return Number.POSITIVE_INFINITY
}
