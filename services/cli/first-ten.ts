/** How many are named before the rest is counted: names of models and pools are made up by whoever publishes. */
const MOST_NAMED = 10

/** The first ten of a list, and the rest. */
export function firstTen<Item>(items: readonly Item[]): {
  readonly named: readonly Item[]
  readonly rest: readonly Item[]
} {
  return { named: items.slice(0, MOST_NAMED), rest: items.slice(MOST_NAMED) }
}
