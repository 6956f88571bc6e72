import { createSubscriber } from '../../../shared/sdk/subscriber.ts'

/** How long a result is put off, again and again, milliseconds. */
const LATER_MS = 1_000

/**
 * A subscriber that fails on every result of a model: each comes again and again.
 *
 * @returns ends it
 */
export async function subscribeInVain(url: string, model: string): Promise<() => Promise<void>> {
  const subscriber = await createSubscriber({ url, model, durable: 'in-vain', include: 'all' })
  const fail = async (): Promise<void> => {
    for await (const result of subscriber) result.retryLater(LATER_MS)
  }
  const failing = fail()
  return async () => {
    await subscriber.close()
    await failing
  }
}
