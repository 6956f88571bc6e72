/**
 * Events that are settled together differ in few ways: they are counted first and added up once.
 *
 * @param report adds so many of a kind up, at the end of the task in which they came
 * @returns counts one of a kind, which is made where the first of it comes
 */
export function addTogether<Kind>(
  report: (count: number, kind: Kind) => void,
): (key: string, make: () => Kind) => void {
  const counts = new Map<string, { readonly kind: Kind; count: number }>()
  const reportAll = (): void => {
    for (const { kind, count } of counts.values()) report(count, kind)
    counts.clear()
  }
  return (key, make) => {
    const counted = counts.get(key)
    if (counted !== undefined) {
      counted.count++
      return
    }
    if (counts.size === 0) queueMicrotask(reportAll)
    counts.set(key, { kind: make(), count: 1 })
  }
}
