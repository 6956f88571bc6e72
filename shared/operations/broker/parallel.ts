const AT_ONCE = 32

/**
 * Does something with each item, a few at once; rejects with the first error once those under way have ended.
 *
 * @param atOnce @default 32
 */
export async function inParallel<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<unknown>,
  atOnce = AT_ONCE,
): Promise<void> {
  const rest = items.values()
  const errors: unknown[] = []
  const next = async (): Promise<void> => {
    for (const item of rest) {
      if (errors.length > 0) return
      await work(item).catch((error: unknown) => errors.push(error))
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, next))
  if (errors.length > 0) throw errors[0]
}
