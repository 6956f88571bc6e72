import type { Destination } from '../../../shared/runtime/messaging.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import type { Delivery } from '../intake/delivery.ts'

/** What the deliveries of all events have in common; undefined where they differ. */
export function sharedBy<Value>(
  events: readonly { readonly delivery: Delivery }[],
  of: (delivery: Delivery) => Value,
): Value | undefined {
  const values = new Set(events.map(({ delivery }) => of(delivery)))
  const [value] = values
  return values.size === 1 ? value : undefined
}

/** Where the events of a stream come from. */
export function deliveredFrom(stream: string): Destination {
  return stream === STREAMS.retries ? 'due' : 'features'
}

/** Where deliveries came from, if all from the same stream. */
export function sourceOf(events: readonly { readonly delivery: Delivery }[]): Destination | undefined {
  return sharedBy(events, ({ info }) => deliveredFrom(info.stream))
}
