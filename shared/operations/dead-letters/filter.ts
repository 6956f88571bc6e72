import { decodeAttribute, HEADERS, type Headers, readHeader } from '../../sdk/contract/headers.ts'
import type { DeadLetterEntry } from '../records/dead-letter.ts'

/** Which dead letters are meant: all conditions hold. Plain data, kept with the task or act it was used for. */
export interface DeadLetterFilter {
  readonly model?: string
  readonly reason?: string
  /** Failed at or after, RFC 3339. */
  readonly since?: string
  /** Failed before, RFC 3339. */
  readonly until?: string
  /** `ce-partitionkey` of the event. */
  readonly key?: string
  /** `ce-id` of the event. */
  readonly id?: string
  /** `ce-subject` of the event: what, or whom, it is about. */
  readonly subject?: string
  /** Part of the description, in any case. */
  readonly text?: string
  /** Only those that failed this often at most. */
  readonly maxFailures?: number
}

/** Attribute of an event that says what it belongs to (CloudEvents extension `partitioning`). */
const PARTITION_KEY = 'ce-partitionkey'

/**
 * When its event failed, milliseconds since 1970; when it was stored, where it does not say. The two differ after an
 * import.
 */
export function failedAtOf({ headers, storedAt }: Pick<DeadLetterEntry, 'storedAt' | 'headers'>): number {
  const failedAt = Date.parse(readHeader(headers, HEADERS.failedAt) ?? '')
  return Number.isNaN(failedAt) ? Date.parse(storedAt) : failedAt
}

/** Whether a dead letter is one of those meant. Attributes are compared as they were before percent-encoding. */
export function matchesFilter(
  filter: DeadLetterFilter,
  entry: Pick<DeadLetterEntry, 'model' | 'storedAt' | 'headers'>,
): boolean {
  const { headers } = entry
  const failedAt = failedAtOf(entry)
  const history = readHeader(headers, HEADERS.history) ?? ''
  const description = readHeader(headers, HEADERS.deadLetterDescription) ?? ''
  return (
    isOrAny(filter.model, entry.model) &&
    isOrAny(filter.reason, readHeader(headers, HEADERS.deadLetterReason)) &&
    isOrAny(filter.key, attribute(headers, PARTITION_KEY)) &&
    isOrAny(filter.id, attribute(headers, HEADERS.id)) &&
    isOrAny(filter.subject, attribute(headers, HEADERS.subject)) &&
    (filter.text === undefined || description.toLowerCase().includes(filter.text.toLowerCase())) &&
    (filter.since === undefined || failedAt >= Date.parse(filter.since)) &&
    (filter.until === undefined || failedAt < Date.parse(filter.until)) &&
    (filter.maxFailures === undefined || history.split('; ').length <= filter.maxFailures)
  )
}

function isOrAny(wanted: string | undefined, found: string | undefined): boolean {
  return wanted === undefined || wanted === found
}

function attribute(headers: Headers, name: string): string | undefined {
  const raw = readHeader(headers, name)
  return raw === undefined ? undefined : (decodeAttribute(raw) ?? raw)
}
