import type { DeadLetterGroup } from '../../../shared/operations/dead-letters/groups.ts'
import { showCount } from '../../../shared/runtime/quantities.ts'
import { firstTen } from '../first-ten.ts'

/** Heads a count of dead letters. */
export const COUNT_HEADING = ['COUNT', 'MODEL', 'REASON', 'FIRST', 'LAST', 'DESCRIPTION']

/** Groups as rows below {@link COUNT_HEADING}: ten of each reason in their order, and one row for the rest of it. */
export function countRows(groups: readonly DeadLetterGroup[]): string[][] {
  const reasons = [...new Set(groups.map(({ reason }) => reason))]
  const parts = new Map(
    reasons.map((reason) => [reason, firstTen(groups.filter((one) => one.reason === reason))]),
  )
  const named = new Set([...parts.values()].flatMap((part) => part.named))
  return [
    ...groups.filter((group) => named.has(group)).map(toRow),
    ...reasons.flatMap((reason) => {
      const { rest } = parts.get(reason) ?? { rest: [] }
      return rest.length === 0 ? [] : [toRow(together(reason, rest))]
    }),
  ]
}

function toRow({ count, model, reason, first, last, description }: DeadLetterGroup): string[] {
  return [showCount(count), model, reason, first, last, description]
}

function together(reason: string, groups: readonly DeadLetterGroup[]): DeadLetterGroup {
  const times = groups.flatMap(({ first, last }) => [first, last]).sort()
  return {
    count: groups.reduce((sum, { count }) => sum + count, 0),
    model: `and ${showCount(groups.length)} more`,
    reason,
    first: times[0] ?? '',
    last: times.at(-1) ?? '',
    description: 'name a --model, or read all with --json',
  }
}
