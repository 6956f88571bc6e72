/** The first of a list whose names whoever publishes makes up, and how many were left out. */
export interface MostFrequent<Item> {
  readonly kept: readonly Item[]
  /** What was left out; absent where nothing was. */
  readonly more?: {
    /** How many of the list. */
    readonly left: number
    /** How many dead letters those are. */
    readonly count: number
  }
}

/** The first of a list, most frequent first, and how much the rest is. */
export function mostFrequent<Item>(
  items: readonly Item[],
  most: number,
  countOf: (item: Item) => number,
): MostFrequent<Item> {
  const rest = items.slice(most)
  if (rest.length === 0) return { kept: items }
  const count = rest.reduce((sum, item) => sum + countOf(item), 0)
  return { kept: items.slice(0, most), more: { left: rest.length, count } }
}
