import type { State } from './lifecycle.ts'

/** What the readiness of a service depends on. */
export interface Readiness {
  /** Where the service is in its life. */
  readonly state: () => State
  /** Why no work should be sent here, one line each, beginning with a stable word. Overload is no reason. */
  readonly reasons: () => readonly string[]
  /** What is wrong with a service to which work should be sent all the same, like reasons. @default nothing */
  readonly notes?: () => readonly string[]
}

/** Every reason against a service, its state among them; empty when it is ready. `/readyz` and the metric go by it. */
export function whyNotReady({ state, reasons }: Readiness): readonly string[] {
  const now = state()
  return now === 'ready' ? reasons() : [now, ...reasons()]
}
