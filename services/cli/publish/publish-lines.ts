import type { NumberedLine } from '../../../shared/runtime/lines.ts'
import type { PeltonError } from '../../../shared/sdk/errors.ts'
import { type EventLine, lineError, readEventLine } from './event-line.ts'

/** What became of the lines so far. */
export interface PublishCounts {
  published: number
  /** Events the broker had already. */
  duplicates: number
  failed: number
}

/** How lines are published, and who is told. */
export interface PublishLinesOptions {
  /** Name of the file for people. */
  readonly source: string
  readonly idField?: string
  /** Whether a bad line stops the rest. */
  readonly keepGoing: boolean
  /** Publishes one event; resolves with whether the broker had it already. */
  readonly publish: (line: EventLine) => Promise<{ readonly duplicate: boolean }>
  readonly onError: (error: PeltonError) => void
  readonly onProgress: (counts: Readonly<PublishCounts>) => void
}

/** Events sent and not yet acknowledged. */
const MAX_OPEN = 512

/**
 * Publishes every line; resolves once each is acknowledged or has failed. The order of lines is not kept where an event
 * has to be sent again.
 */
export async function publishLines(
  lines: AsyncIterable<NumberedLine>,
  options: PublishLinesOptions,
): Promise<PublishCounts> {
  const { source, idField, keepGoing, publish, onError, onProgress } = options
  const counts: PublishCounts = { published: 0, duplicates: 0, failed: 0 }
  const open = new Set<Promise<void>>()
  const fail = (thrown: unknown, lineNumber: number): void => {
    counts.failed++
    if (keepGoing || counts.failed === 1) onError(lineError(thrown, source, lineNumber))
  }
  for await (const { number, bytes } of lines) {
    if (counts.failed > 0 && !keepGoing) break
    try {
      const event = readEventLine(bytes, idField === undefined ? {} : { idField })
      const sent = publish(event)
        .then(({ duplicate }) => void (duplicate ? counts.duplicates++ : counts.published++))
        .catch((thrown: unknown) => fail(thrown, number))
        .finally(() => {
          open.delete(sent)
          onProgress(counts)
        })
      open.add(sent)
    } catch (thrown) {
      fail(thrown, number)
    }
    while (open.size >= MAX_OPEN) await Promise.race(open)
  }
  await Promise.all(open)
  return counts
}
