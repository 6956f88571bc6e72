import type { NatsConnection } from '@nats-io/transport-node'
import { readValue } from '../../../shared/operations/records/key-value.ts'
import { type Alert, MORE } from '../../../shared/operations/watch-record/alert.ts'
import { EMPTY_RECORD, WATCH_KEY, type WatchRecord } from '../../../shared/operations/watch-record/record.ts'
import { isWatched } from '../../../shared/operations/watch-record/unwatched.ts'
import { showCount } from '../../../shared/runtime/quantities.ts'
import { firstTen } from '../first-ten.ts'

/** What the control service that watches has found. */
export interface ControlWatch {
  /** Whether a control service looks: else the rest is what the last one saw. */
  readonly isWatched: boolean
  /** The one that writes the record, or has; empty where it has stopped, or none ever did. */
  readonly watcher: string
  /** When it last looked, RFC 3339, by the broker's clock; empty before the first look. */
  readonly lookedAt: string
  readonly alerts: readonly Alert[]
}

/**
 * Reads what the watch wrote down.
 *
 * @param now by the broker's clock, milliseconds since 1970
 * @returns undefined where it may not be read
 */
export async function readControlWatch(
  connection: NatsConnection,
  now: number,
): Promise<ControlWatch | undefined> {
  try {
    const kept = await readValue<WatchRecord>(connection, WATCH_KEY)
    return judgeControlWatch(kept?.value ?? EMPTY_RECORD, now)
  } catch {
    return undefined // streams and consumers are told without it
  }
}

/** Whether what the record says is of now. Pure. */
export function judgeControlWatch({ holder, at, everyMs, alerts }: WatchRecord, now: number): ControlWatch {
  const isOfNow = holder !== '' && isWatched({ everyMs }, now - Date.parse(at))
  return { isWatched: isOfNow, watcher: holder, lookedAt: at, alerts }
}

/**
 * For people: whether a control service watches, and each alert with what to do.
 *
 * @param told what status has seen itself and said already
 */
export function controlWatchLines(
  watch: ControlWatch | undefined,
  told: readonly Pick<Alert, 'kind' | 'about'>[] = [],
): readonly string[] {
  if (watch === undefined) return []
  const lines = watch.isWatched ? [] : [unwatchedLine(watch)]
  if (watch.isWatched && watch.alerts.length + told.length === 0) lines.push('the watch finds nothing wrong')
  const alerts = watch.alerts.filter(
    ({ kind, about }) => !told.some((one) => one.kind === kind && one.about === about),
  )
  for (const kind of new Set(alerts.map((alert) => alert.kind)))
    lines.push(...linesOf(alerts.filter((alert) => alert.kind === kind)))
  return lines
}

/** Why what the record says is not of now. */
export function unwatchedLine({ watcher, lookedAt }: ControlWatch): string {
  if (watcher !== '')
    return `the watch is silent: control service ${watcher} has written nothing down since ${lookedAt}: see its log, or start another \`pelton control\``
  const since = lookedAt === '' ? '' : ` since ${lookedAt}`
  return `no control service watches${since}: start \`pelton control\``
}

/** Alerts of one kind: ten, and how many more. */
function linesOf(alerts: readonly Alert[]): readonly string[] {
  const { named, rest } = firstTen(alerts)
  const lines = named.flatMap(({ kind, about, since, text, remedy }) => [
    `${kind} ${about}, since ${since}: ${text}`,
    `  ${remedy}`,
  ])
  if (rest.length === 0) return lines
  const events = rest.reduce((sum, { count }) => sum + count, 0)
  const more = rest.map(({ about }) => about).includes(MORE) ? 'at least ' : ''
  return [
    ...lines,
    `${rest[0]?.kind}: and ${more}${showCount(rest.length)} more, with ${showCount(events)} events; all with --json`,
  ]
}
