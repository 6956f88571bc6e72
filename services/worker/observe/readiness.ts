/** What a worker's readiness depends on. Being busy is not among it: its broker would only give to others. */
export interface WorkerFacts {
  readonly isBrokerReachable: boolean
  /** Versions of models that are served. */
  readonly models: number
  /** Streams that do not take what there is to store, each with a reason. */
  readonly refusing: ReadonlyMap<string, string>
  readonly skewMs: number
}

/** A clock further off than this makes times in headers and logs wrong, milliseconds. */
const MAX_SKEW_MS = 5_000

/** Why a worker that starts takes no events yet. */
export function inspectingReason({ served, of }: { readonly served: number; readonly of: number }): string {
  return `models: ${served} of ${of} are ready, the others are inspected`
}

/** Why a worker takes no events, or should not: empty when it is ready. */
export function reasonsAgainst({ isBrokerReachable, models, refusing, skewMs }: WorkerFacts): string[] {
  const reasons = [...refusing].map(([stream, because]) => `storage: ${stream} refuses (${because})`)
  if (!isBrokerReachable) reasons.unshift('broker: no connection')
  if (models === 0) reasons.push('models: none is served')
  if (Math.abs(skewMs) > MAX_SKEW_MS)
    reasons.push(
      `clock: ${(skewMs / 1_000).toFixed(1)} s off the broker's, at most ${MAX_SKEW_MS / 1_000} s are right`,
    )
  return reasons
}
