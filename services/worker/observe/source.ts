import type { ModelRepository } from '../../../shared/models/repository.ts'
import type { Destination } from '../../../shared/runtime/messaging.ts'
import { UNKNOWN_MODEL } from '../../../shared/runtime/metrics.ts'
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

/** Which names are those of models, and not made up by whoever sends events. */
export interface KnownModels extends Pick<ModelRepository, 'find'> {
  /** Whether a model that is not served here is known all the same. @default none is */
  isKnown?(model: string): boolean
}

/** What a label or the name of a span may say of a model: names from outside must not become labels. */
export function boundedName(models: KnownModels, model: string): string {
  return models.find(model) !== undefined || models.isKnown?.(model) === true ? model : UNKNOWN_MODEL
}
