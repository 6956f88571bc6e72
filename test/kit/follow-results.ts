import { onTestFinished } from 'vitest'
import { createSubscriber, type SubscriberOptions } from '../../shared/sdk/index.ts'
import type { Result } from '../../shared/sdk/subscriber.ts'

/**
 * What a subscriber to all results there are, and come, is handed, in order; it reads until the test has ended.
 *
 * @param tell gives what is kept of a result
 */
export async function followResults(
  options: SubscriberOptions,
  tell: (result: Result) => string,
): Promise<readonly string[]> {
  const subscriber = await createSubscriber({ ...options, include: 'all', from: 'all' })
  onTestFinished(() => subscriber.close())
  const told: string[] = []
  const read = async (): Promise<void> => {
    for await (const result of subscriber) told.push(tell(result))
  }
  void read().catch(() => undefined) // its connection ends with the broker
  return told
}
