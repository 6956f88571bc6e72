import type { DeadLetterEntry } from '../records/dead-letter.ts'
import { describeEntry } from './browse.ts'
import { failedAtOf } from './filter.ts'

/** Dead letters of the same model that failed for the same reason with the same words; numbers may differ. */
interface GroupName {
  readonly model: string
  readonly reason: string
  /** As it stands in each of them; where their numbers differ, with `#` in the place of each. */
  readonly description: string
}

/** A group with its size, and when the first and last of its dead letters failed. */
export interface DeadLetterGroup extends GroupName {
  readonly count: number
  /** When the first and last of them failed, RFC 3339. */
  readonly first: string
  readonly last: string
}

/** Which group a dead letter belongs to, and when it failed (milliseconds since 1970). */
export interface Grouped {
  readonly group: number
  readonly failedAt: number
}

/** Beyond this many, further descriptions of a model and reason are counted together: memory stays bounded. */
const MAX_GROUPS = 10_000
const OTHERS = '(other descriptions)'

/** Numbers, with what joins those of a time or a version: they say which event it was, not what went wrong. */
const NUMBERS = /\d+(?:[.:,TZ+-]*\d+)*Z?/g

/** Puts dead letters into groups by model, reason and description. */
export class Grouping {
  readonly #indexes = new Map<string, number>()
  readonly #groups: GroupName[] = []

  /** The group of a dead letter, a new one where it is the first of its kind. */
  sort(entry: DeadLetterEntry): Grouped {
    const { model, reason, description } = describeEntry(entry)
    return { group: this.#groupOf(model, reason, description), failedAt: failedAtOf(entry) }
  }

  #groupOf(model: string, reason: string, description: string): number {
    const words = description.replace(NUMBERS, '#')
    let key = JSON.stringify([model, reason, words])
    const isCrowded = this.#indexes.size >= MAX_GROUPS && !this.#indexes.has(key)
    if (isCrowded) key = JSON.stringify([model, reason, OTHERS])
    const index = this.#indexes.get(key) ?? this.#groups.length
    this.#indexes.set(key, index)
    const before = this.#groups[index]
    if (before === undefined)
      this.#groups.push({ model, reason, description: isCrowded ? OTHERS : description })
    else if (!isCrowded && before.description !== description)
      this.#groups[index] = { ...before, description: words }
    return index
  }

  /** What a group is of; its description may still change when another dead letter joins it. */
  describe(group: number): GroupName | undefined {
    return this.#groups[group]
  }
}

/** Counts dead letters by group, in the memory of the groups. */
export class Tally {
  readonly #counts = new Map<number, { count: number; first: number; last: number }>()

  add({ group, failedAt }: Grouped): void {
    const tally = this.#counts.get(group)
    if (tally === undefined) this.#counts.set(group, { count: 1, first: failedAt, last: failedAt })
    else {
      tally.count++
      tally.first = Math.min(tally.first, failedAt)
      tally.last = Math.max(tally.last, failedAt)
    }
  }

  /** Most frequent first; groups without a dead letter are left out. */
  groups(grouping: Grouping): DeadLetterGroup[] {
    return [...this.#counts]
      .flatMap(([index, { count, first, last }]) => {
        const name = grouping.describe(index)
        return name === undefined ? [] : [{ ...name, count, first: toTime(first), last: toTime(last) }]
      })
      .sort((a, b) => b.count - a.count || (a.model < b.model ? -1 : 1))
  }
}

/** Counts by model, reason and description, most frequent first. */
export async function groupDeadLetters(
  entries: AsyncIterable<DeadLetterEntry> | Iterable<DeadLetterEntry>,
): Promise<DeadLetterGroup[]> {
  const grouping = new Grouping()
  const tally = new Tally()
  for await (const entry of entries) tally.add(grouping.sort(entry))
  return tally.groups(grouping)
}

function toTime(at: number): string {
  return new Date(at).toISOString()
}
