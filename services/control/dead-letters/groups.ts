import { type DeadLetterEntry, describeEntry } from './browse.ts'

/** Dead letters of the same model that failed for the same reason with the same words. */
export interface DeadLetterGroup {
  readonly model: string
  readonly reason: string
  readonly description: string
  readonly count: number
  /** When the first and last of them failed, RFC 3339. */
  readonly first: string
  readonly last: string
}

/** Beyond this many, further descriptions of a model and reason are counted together: memory stays bounded. */
const MAX_GROUPS = 10_000
const OTHERS = '(other descriptions)'

/** Counts by model, reason and description, most frequent first. */
export async function groupDeadLetters(
  entries: AsyncIterable<DeadLetterEntry> | Iterable<DeadLetterEntry>,
): Promise<DeadLetterGroup[]> {
  const groups = new Map<string, DeadLetterGroup>()
  for await (const entry of entries) {
    const { model, reason, description, failedAt = entry.storedAt } = describeEntry(entry)
    let key = JSON.stringify([model, reason, description])
    const isCrowded = groups.size >= MAX_GROUPS && !groups.has(key)
    if (isCrowded) key = JSON.stringify([model, reason, OTHERS])
    const before = groups.get(key)
    groups.set(key, {
      model,
      reason,
      description: isCrowded ? OTHERS : (before?.description ?? description),
      count: (before?.count ?? 0) + 1,
      first: before === undefined || failedAt < before.first ? failedAt : before.first,
      last: before === undefined || failedAt > before.last ? failedAt : before.last,
    })
  }
  return [...groups.values()].sort((a, b) => b.count - a.count || (a.model < b.model ? -1 : 1))
}
