/** Letters of a name that are compared; what is beyond does not count. */
const MAX_LETTERS = 64

/**
 * The name most like `name`, for "did you mean": at most a third of its letters differ, case not counted.
 * Undefined when none is that close, and when finding it would take more than `maxSteps` comparisons of two letters.
 *
 * @param maxSteps bounds the work where it must not take long, whatever the names are. @default unbounded
 */
export function nearestName(
  name: string,
  known: Iterable<string>,
  maxSteps = Number.POSITIVE_INFINITY,
): string | undefined {
  const wanted = name.slice(0, MAX_LETTERS).toLowerCase()
  if (wanted === '') return undefined
  let nearest: string | undefined
  let fewest = Math.max(1, Math.floor(wanted.length / 3)) + 1
  let stepsLeft = maxSteps
  for (const each of known) {
    const candidate = each.slice(0, MAX_LETTERS).toLowerCase()
    // Each letter more or less is a difference: such names are passed over without a look at their letters.
    if (Math.abs(candidate.length - wanted.length) >= fewest) stepsLeft -= 1
    else {
      stepsLeft -= wanted.length * candidate.length
      if (stepsLeft < 0) return undefined
      const distance = editDistance(wanted, candidate)
      if (distance >= fewest) continue
      nearest = each
      fewest = distance
    }
  }
  return nearest
}

/** One row of the table of distances, made once: a distance is at most {@link MAX_LETTERS}. */
const row = new Uint8Array(MAX_LETTERS + 1)

/** Letters to insert, delete or replace to turn one text into the other. */
function editDistance(from: string, to: string): number {
  for (let column = 0; column <= to.length; column++) row[column] = column
  for (let at = 0; at < from.length; at++) {
    const letter = from.charCodeAt(at)
    let diagonal = at
    let left = at + 1
    row[0] = left
    for (let column = 1; column <= to.length; column++) {
      const above = row[column] ?? 0
      const replaced = diagonal + (letter === to.charCodeAt(column - 1) ? 0 : 1)
      left = Math.min(replaced, left + 1, above + 1)
      row[column] = left
      diagonal = above
    }
  }
  return row[to.length] ?? 0
}
