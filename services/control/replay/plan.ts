import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { isReason, REASONS } from '../../../shared/sdk/errors.ts'
import { browseDeadLetters, type DeadLetterEntry } from '../dead-letters/browse.ts'
import type { DeadLetterFilter } from '../dead-letters/filter.ts'
import { originOf } from './message.ts'
import type { ReplayOptions } from './task.ts'

/** What a replay would do. */
export interface ReplayPlan {
  /** Dead letters that match the filter. */
  readonly matching: number
  /** Of these, those that would be sent. */
  readonly sent: number
  readonly byReason: Readonly<Record<string, number>>
  /** Passed over, by why. */
  readonly skipped: Readonly<Record<string, number>>
  /** Sent without the deadline they had. */
  readonly deadlinesDropped: number
  /** Name a model version, which is not asked for again. */
  readonly versionsDropped: number
  /** Last sequence of DEADLETTERS that was looked at. */
  readonly upTo: number
}

type Wanted = Pick<ReplayOptions, 'modelVersion' | 'keepDeadline' | 'cap'>

/**
 * Why a dead letter is passed over, or `undefined` for one that can be sent. What failed because of its own content
 * would fail again: it is sent only to another model version, or where the reason was asked for by name.
 */
export function whySkipped(
  entry: DeadLetterEntry,
  filter: DeadLetterFilter,
  { modelVersion, keepDeadline }: Pick<Wanted, 'modelVersion' | 'keepDeadline'>,
): string | undefined {
  if (originOf(entry) === undefined) return 'written by nobody of Pelton: no token, origin or subject'
  const reason = readHeader(entry.headers, HEADERS.deadLetterReason) ?? ''
  if (!isReason(reason)) return `unknown reason ${reason}`
  const isMended = reason === 'deadline-exceeded' && !keepDeadline
  if (REASONS[reason].replay === 'as-is' || isMended) return undefined
  if (filter.reason === reason || modelVersion !== undefined) return undefined
  return `${reason}: would fail again unchanged`
}

/** Counts what a replay would do; changes nothing. */
export async function planReplay(
  connection: NatsConnection,
  filter: DeadLetterFilter,
  options: Wanted,
): Promise<ReplayPlan> {
  const byReason: Record<string, number> = {}
  const skipped: Record<string, number> = {}
  const counts = { matching: 0, sent: 0, deadlinesDropped: 0, versionsDropped: 0, upTo: 0 }
  for await (const entry of browseDeadLetters(connection, { filter })) {
    counts.matching++
    counts.upTo = entry.sequence
    const why = whySkipped(entry, filter, options)
    if (why !== undefined) {
      skipped[why] = (skipped[why] ?? 0) + 1
      continue
    }
    if (counts.sent >= (options.cap ?? Number.POSITIVE_INFINITY)) continue
    const reason = readHeader(entry.headers, HEADERS.deadLetterReason) ?? ''
    counts.sent++
    byReason[reason] = (byReason[reason] ?? 0) + 1
    if (!options.keepDeadline && entry.headers.has(HEADERS.expiryTime)) counts.deadlinesDropped++
    if (options.modelVersion === undefined && readHeader(entry.headers, HEADERS.modelVersion) !== undefined)
      counts.versionsDropped++
  }
  return { ...counts, byReason, skipped }
}
