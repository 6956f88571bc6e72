import { setTimeout as sleep } from 'node:timers/promises'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { type EventLine, lineError, readEventLine } from './event-line.ts'
import type { NumberedLine } from './lines.ts'

export interface PublishCounts {
  published: number
  /** Events the broker had already. */
  duplicates: number
  failed: number
}

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
/** How long a refusal for want of room is waited out, per event. */
const FULL_PATIENCE_MS = 600_000

/**
 * Publishes every line; resolves once each is acknowledged or has failed. The order of lines is not kept where an event
 * has to be sent again.
 */
export async function publishLines(
  lines: AsyncIterable<NumberedLine>,
  options: PublishLinesOptions,
): Promise<PublishCounts> {
  const { source, idField, keepGoing, onError, onProgress } = options
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
      const sent = publishPatiently(event, options)
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

/** A full stream is no fault of the line: the file waits as long as workers make room. */
async function publishPatiently(
  event: EventLine,
  { publish }: PublishLinesOptions,
): Promise<{ readonly duplicate: boolean }> {
  const giveUpAt = performance.now() + FULL_PATIENCE_MS
  for (let delayMs = 50; ; delayMs = Math.min(2_000, delayMs * 2)) {
    try {
      return await publish(event)
    } catch (thrown) {
      const isFull = thrown instanceof PeltonError && thrown.code === 'stream-full'
      if (!isFull || performance.now() > giveUpAt) throw thrown
      await sleep(delayMs)
    }
  }
}
