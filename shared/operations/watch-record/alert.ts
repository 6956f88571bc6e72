import { showCount } from '../../runtime/quantities.ts'
import type { Names } from '../../sdk/contract/names.ts'
import { REPLICA_ALERTS } from '../broker/replicas.ts'

/** What the watch can find, and `unwatched`: that it finds nothing any more. */
export const ALERT_KINDS = [
  'unwatched',
  ...REPLICA_ALERTS,
  'orphans',
  'changed-consumer',
  'paused-consumer',
  'unserved-pool',
  'idle-pool',
  'model-not-servable',
  'notice-without-dead-letter',
  'dead-letter-beside-prediction',
  'register-too-short',
  'credentials-end',
] as const

/** One of {@link ALERT_KINDS}. */
export type AlertKind = (typeof ALERT_KINDS)[number]

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

/** An alert of this look: when it began is added by {@link carryOn}. */
export type NewAlert = Omit<Alert, 'since'>

/**
 * An alert, or a trouble of servers, for people: with the streams it names as the broker has them. `about` stays, which
 * identifies it.
 */
export function namedAlert<Told extends Pick<Alert, 'text' | 'remedy'>>(
  { text: name }: Pick<Names, 'text'>,
  alert: Told,
): Told {
  return { ...alert, text: name(alert.text), remedy: name(alert.remedy) }
}

/** More of a kind are told together: the record must fit one message, and pools are named by producers. */
const MOST_OF_A_KIND = 50

/** What the alert is about that stands for those that are not named. */
export const MORE = '(more)'

/** The first of each kind, and one alert for each kind that has more. */
export function firstOfEachKind<Item extends Pick<NewAlert, 'kind' | 'count'>>(
  items: readonly Item[],
): { readonly kept: readonly Item[]; readonly rest: readonly NewAlert[] } {
  const kept: Item[] = []
  const seen = new Map<AlertKind, { number: number; more: number; events: number }>()
  for (const item of items) {
    const of = seen.get(item.kind) ?? { number: 0, more: 0, events: 0 }
    seen.set(item.kind, of)
    if (++of.number <= MOST_OF_A_KIND) {
      kept.push(item)
      continue
    }
    of.more++
    of.events += item.count
  }
  const rest = [...seen].filter(([, { more }]) => more > 0)
  return { kept, rest: rest.map(([kind, { more, events }]) => moreAlert(kind, more, events)) }
}

function moreAlert(kind: AlertKind, more: number, events: number): NewAlert {
  return {
    kind,
    about: MORE,
    text: `and ${showCount(more)} more, with ${showCount(events)} events`,
    remedy: `Only ${MOST_OF_A_KIND} are named: mend those, and the next are.`,
    count: events,
  }
}

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
