import type { DoorOptions } from './door.ts'
import type { KeyedRequests } from './keyed-request.ts'
import type { PlacesOptions } from './places.ts'

/** What a core is made with; without `quotas` there are none. */
export interface GatewayCoreOptions
  extends PlacesOptions,
    Partial<Pick<DoorOptions, 'quotas' | 'onRefused'>> {
  /** How long a request waits that says nothing of it, milliseconds; an hour at most. */
  readonly defaultTimeoutMs: number
  /** What handles are signed with, the same for all gateways. @default one that the gateways share at the broker */
  readonly secret?: string
  /** The memory of requests with an idempotency key. */
  readonly keyedRequests: KeyedRequests
  /** Told of what is in the way of answers, and of nothing that a caller is told. */
  readonly onProblem: (text: string) => void
  /** Told of an event whose caller left before the answer: it runs for nobody. */
  readonly onAbandoned: (model: string) => void
}
