import type { NatsConnection } from '@nats-io/transport-node'
import { PeltonError } from '../../sdk/errors.ts'
import type { PublishWindow } from '../../sdk/jetstream/publish-window.ts'
import { inParallel } from '../broker/parallel.ts'
import { recordEnded, removeDeadLetter } from '../records/endings.ts'
import type { Holds, TakenHold } from '../records/holds.ts'
import type { KeyValue } from '../records/key-value.ts'
import { endedOf } from './left-holds.ts'
import {
  type KeptTask,
  keepTask,
  type ReplayCounts,
  type ReplayTask,
  readTask,
  type TaskPace,
} from './task.ts'

/** What the books are kept with. */
export interface BooksDeps {
  readonly connection: NatsConnection
  readonly window: PublishWindow
  readonly keyValue: KeyValue
  readonly holds: Holds
  readonly now: () => Date
  /** How long the broker may not answer before the account is given up. @default 60_000 */
  readonly patienceMs?: number | undefined
}

type End = 'predicted' | 'failed' | 'superseded'

const FLUSH_MS = 250
/** The broker would have no time for live events in the milliseconds that many more at once take. */
const CHANGES_AT_ONCE = 8
/** Written this often also when nothing ended: the sign of life of the process that runs the task. */
const SIGN_MS = 1_000
const MOST_AT_ONCE = 500

/**
 * Keeps the account of a task. What has ended is written down in this order, so that whatever ends the process in
 * between, the next one goes on without losing or counting anything twice: the ledger names it; the dead letter goes;
 * the task counts it, and lists the hold as counted; the hold is released.
 */
export class Books {
  readonly #deps: BooksDeps
  readonly #ended: { readonly taken: TakenHold; readonly end: End }[] = []
  readonly #onTrouble: (trouble: unknown) => void
  readonly #runner: string
  #kept: KeptTask
  #skipped: Record<string, number> = {}
  #flushing: Promise<void> = Promise.resolve()
  #isFlushing = false
  #isAbandoned = false
  #writtenAt = performance.now()
  #ticker: NodeJS.Timeout | undefined
  #pace: (() => TaskPace) | undefined

  /** @param onTrouble told that the account cannot be kept: another process runs the task now, or the broker is gone */
  constructor(deps: BooksDeps, kept: KeptTask, onTrouble: (trouble: unknown) => void) {
    this.#deps = deps
    this.#kept = kept
    this.#runner = kept.value.runner
    this.#onTrouble = onTrouble
  }

  get task(): ReplayTask {
    return this.#kept.value
  }

  /** What has ended, written down or not. */
  get counts(): ReplayCounts {
    return withEnds(this.task.counts, this.#ended, this.#skipped)
  }

  /**
   * Begins to write by itself, one write after the other, until it is closed or abandoned, or a write fails.
   *
   * @param pace how the run goes, written down with everything else
   */
  open(pace: () => TaskPace): void {
    this.#pace = pace
    this.#ticker = setInterval(() => {
      const isDue = this.#ended.length > 0 || performance.now() - this.#writtenAt >= SIGN_MS
      if (!isDue || this.#isFlushing) return
      void this.#flush().catch((trouble: unknown) => {
        clearInterval(this.#ticker)
        this.#onTrouble(trouble)
      })
    }, FLUSH_MS)
  }

  /**
   * Nothing is written any more: the task is left as it is, silent, for the process that takes it. What ended and is
   * not written down is found again by the next run. May be called after {@link close}.
   */
  abandon(): void {
    clearInterval(this.#ticker)
    this.#isAbandoned = true
  }

  end(taken: TakenHold, end: End): void {
    this.#ended.push({ taken, end })
  }

  skip(why: string): void {
    this.#skipped[why] = (this.#skipped[why] ?? 0) + 1
  }

  /** The last word: writes everything, and changes the task once more. */
  async close(change: (task: ReplayTask) => ReplayTask): Promise<ReplayTask> {
    clearInterval(this.#ticker)
    do await this.#flush()
    while (this.#ended.length > 0)
    await this.#change(change)
    return this.task
  }

  /** Writes down what has ended until now, after what is being written. */
  #flush(): Promise<void> {
    this.#isFlushing = true
    const flushed = this.#flushing.then(() => this.#write())
    this.#flushing = flushed
      .catch(() => undefined)
      .then(() => {
        this.#isFlushing = false
      })
    return flushed
  }

  async #write(): Promise<void> {
    if (this.#isAbandoned) return
    const { connection, window, holds, patienceMs } = this.#deps
    const batch = this.#ended.slice(0, MOST_AT_ONCE)
    const answered = batch.filter(({ end }) => end !== 'failed').map(({ taken }) => taken)
    await recordEnded(window, 'replayed', this.task.by, answered.flatMap(endedOf), patienceMs)
    const remove = ({ hold }: TakenHold): Promise<boolean> =>
      removeDeadLetter(connection, hold.sequence, false, patienceMs)
    await inParallel(answered, remove, CHANGES_AT_ONCE)
    await this.#change((task) => ({
      ...task,
      updatedAt: this.#deps.now().toISOString(),
      ...(this.#pace !== undefined && { pace: this.#pace() }),
      counts: withEnds(task.counts, batch, this.#skipped),
      counted: batch.length === 0 ? task.counted : batch.map(({ taken }) => taken.token),
    }))
    this.#ended.splice(0, batch.length)
    this.#writtenAt = performance.now()
    await inParallel(
      batch.map(({ taken }) => taken),
      (taken) => holds.release(taken),
      CHANGES_AT_ONCE,
    )
  }

  /** Others may add a wish to the task meanwhile; only a process that took it over may do more. */
  async #change(change: (task: ReplayTask) => ReplayTask): Promise<void> {
    for (;;) {
      const kept = await keepTask(this.#deps.keyValue, change(this.#kept.value), this.#kept.revision)
      if (kept !== undefined) {
        this.#kept = kept
        return
      }
      const present = await readTask(this.#deps.keyValue, this.task.id)
      if (present.value.runner !== this.#runner) throw takenOver(this.task.id)
      this.#kept = present
    }
  }
}

function withEnds(
  counts: ReplayCounts,
  ended: readonly { readonly end: End }[],
  skipped: Readonly<Record<string, number>>,
): ReplayCounts {
  const count = (which: End): number => counts[which] + ended.filter(({ end }) => end === which).length
  return {
    predicted: count('predicted'),
    failed: count('failed'),
    superseded: count('superseded'),
    skipped: { ...skipped },
  }
}

function takenOver(id: string): PeltonError {
  return new PeltonError('conflict', 'another process runs this replay now', {
    field: 'task',
    value: id,
    remedy: 'This one has stopped; watch the other with `pelton replay status`.',
  })
}
