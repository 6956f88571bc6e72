import { type DeadLetterEntry, describeEntry } from './browse.ts'

/** Dead letters of the same model that failed for the same reason with the same words; numbers may differ. */
export interface DeadLetterGroup {
  readonly model: string
  readonly reason: string
  /** As it stands in each of them; where their numbers differ, with `#` in the place of each. */
  readonly description: string
  readonly count: number
  /** When the first and last of them failed, RFC 3339. */
  readonly first: string
  readonly last: string
}

/** Beyond this many, further descriptions of a model and reason are counted together: memory stays bounded. */
const MAX_GROUPS = 10_000
const OTHERS = '(other descriptions)'

/** Numbers, with what joins those of a time or a version: they say which event it was, not what went wrong. */
const NUMBERS = /\d+(?:[.:,TZ+-]*\d+)*Z?/g

/** Counts by model, reason and description, most frequent first. */
export async function groupDeadLetters(
  entries: AsyncIterable<DeadLetterEntry> | Iterable<DeadLetterEntry>,
): Promise<DeadLetterGroup[]> {
  const groups = new Map<string, DeadLetterGroup>()
  for await (const entry of entries) {
    const { model, reason, description, failedAt = entry.storedAt } = describeEntry(entry)
    const words = description.replace(NUMBERS, '#')
    let key = JSON.stringify([model, reason, words])
    const isCrowded = groups.size >= MAX_GROUPS && !groups.has(key)
    if (isCrowded) key = JSON.stringify([model, reason, OTHERS])
    const before = groups.get(key)
    const isSame = before === undefined || before.description === description
    groups.set(key, {
      model,
      reason,
      description: isCrowded ? OTHERS : isSame ? description : words,
      count: (before?.count ?? 0) + 1,
      first: before === undefined || failedAt < before.first ? failedAt : before.first,
      last: before === undefined || failedAt > before.last ? failedAt : before.last,
    })
  }
  return [...groups.values()].sort((a, b) => b.count - a.count || (a.model < b.model ? -1 : 1))
}
