import { showDuration } from '../../runtime/quantities.ts'
import type { Alert } from './alert.ts'
import type { WatchRecord } from './record.ts'

/** A look takes time, and another control service takes over after three that did not come. */
const MISSED_LOOKS = 4
const LEAST_SILENCE_MS = 10_000

/** Whether a control service looks, by how long ago one wrote the record. Pure. @param silentMs milliseconds */
export function isWatched({ everyMs }: Pick<WatchRecord, 'everyMs'>, silentMs: number): boolean {
  return silentMs < Math.max(LEAST_SILENCE_MS, MISSED_LOOKS * everyMs)
}

/**
 * The alert that nobody writes the record of the watch any more: what it says is old, and nothing new is found. It stands in
 * no record; whoever reads one tells it.
 *
 * @param silentMs how long ago the record was written, milliseconds
 * @param since when it was written, RFC 3339
 */
export function unwatchedAlert(
  { holder }: Pick<WatchRecord, 'holder'>,
  silentMs: number,
  since: string,
): Alert {
  const who = holder === '' ? 'no control service watches' : `control service ${holder} has watched`
  const text =
    holder === ''
      ? `${who}: what is told here is not of now`
      : `${who}, and has written nothing down for ${showDuration(silentMs)}: what is told here is not of now`
  return {
    kind: 'unwatched',
    about: 'watch',
    text,
    remedy:
      'See the log of the control services for why they cannot look, or start `pelton control`. docs/runbooks/unwatched.md',
    count: 0,
    since,
  }
}
