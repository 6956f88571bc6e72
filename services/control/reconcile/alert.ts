/** What the watch can find. */
export type AlertKind =
  | 'orphans'
  | 'changed-consumer'
  | 'unserved-pool'
  | 'idle-pool'
  | 'notice-without-dead-letter'

/** Something an operator should know, for as long as it is so. */
export interface Alert {
  readonly kind: AlertKind
  /** What it is about: a consumer, a pool, a stream. With `kind` it identifies the alert. */
  readonly about: string
  readonly text: string
  /** What to do about it. */
  readonly remedy: string
  /** Events concerned; 0 where none are yet. */
  readonly count: number
  /** When it was first seen, RFC 3339. */
  readonly since: string
}

export type NewAlert = Omit<Alert, 'since'>

/** The alerts of this look: one that was there before keeps its beginning. */
export function carryOn(before: readonly Alert[], found: readonly NewAlert[], at: string): Alert[] {
  const began = new Map(before.map((alert) => [keyOf(alert), alert.since]))
  return found.map((alert) => ({ ...alert, since: began.get(keyOf(alert)) ?? at }))
}

/** What is new, and what is over, since the look before. */
export function compareAlerts(
  before: readonly Alert[],
  now: readonly Alert[],
): { readonly raised: readonly Alert[]; readonly cleared: readonly Alert[] } {
  const keys = (alerts: readonly Alert[]): ReadonlySet<string> => new Set(alerts.map(keyOf))
  const [were, are] = [keys(before), keys(now)]
  return {
    raised: now.filter((alert) => !were.has(keyOf(alert))),
    cleared: before.filter((alert) => !are.has(keyOf(alert))),
  }
}

function keyOf({ kind, about }: Pick<Alert, 'kind' | 'about'>): string {
  return JSON.stringify([kind, about])
}
