import type { NatsConnection } from '@nats-io/transport-node'
import { readValue } from '../../../shared/operations/records/key-value.ts'
import { type Alert, MORE } from '../../../shared/operations/watch-record/alert.ts'
import { EMPTY_RECORD, WATCH_KEY, type WatchRecord } from '../../../shared/operations/watch-record/record.ts'
import { showCount } from '../../../shared/runtime/quantities.ts'
import { firstTen } from '../first-ten.ts'

/** What the control service that watches has found. */
export interface ControlWatch {
  /** Whether a control service looks: else the rest is what the last one saw. */
  readonly isWatched: boolean
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

/** A look takes time: only several that did not come say that no control service looks. */
const MISSED_LOOKS = 3
const LEAST_SILENCE_MS = 10_000

/** Whether what the record says is of now. Pure. */
export function judgeControlWatch({ holder, at, everyMs, alerts }: WatchRecord, now: number): ControlWatch {
  const silenceMs = now - Date.parse(at)
  const isWatched = holder !== '' && silenceMs < Math.max(LEAST_SILENCE_MS, MISSED_LOOKS * everyMs)
  return { isWatched, lookedAt: at, alerts }
}

/** For people: whether a control service watches, and each alert with what to do. */
export function controlWatchLines(watch: ControlWatch | undefined): readonly string[] {
  if (watch === undefined) return []
  const { isWatched, lookedAt, alerts } = watch
  const since = lookedAt === '' ? '' : ` since ${lookedAt}`
  const lines = isWatched ? [] : [`no control service watches${since}: start \`pelton control\``]
  if (isWatched && alerts.length === 0) lines.push('the watch finds nothing wrong')
  for (const kind of new Set(alerts.map((alert) => alert.kind)))
    lines.push(...linesOf(alerts.filter((alert) => alert.kind === kind)))
  return lines
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
