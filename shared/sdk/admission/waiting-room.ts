import { modelKey } from '../contract/subjects.ts'
import type { AskingEvent } from './admission.ts'
import { comeBackMs, type Refused } from './refused.ts'

/** An event that was refused, and waits. Times by a clock that never goes back, milliseconds. */
export interface Waiting {
  readonly event: Omit<AskingEvent, 'deadlineMs' | 'isAgain'>
  /** Undefined where it has none. */
  readonly deadlineAtMs: number | undefined
  /** It waits no longer. */
  readonly untilMs: number
}

interface Waiter extends Waiting {
  /** It is over: why it is not let in, or that it is. */
  readonly end: (refused: Refused | undefined) => void
}

/** What waits for one lane of a model, with a deadline or without; the first came first. */
interface Line {
  waiters: Waiter[]
  readonly isUrgent: boolean
  /** What the door said last. */
  refused: Refused
  /** When it is looked at next. */
  lookAtMs: number
  timer: NodeJS.Timeout | undefined
}

export interface WaitingRoomOptions {
  readonly decide: (event: AskingEvent) => Refused | undefined
  /** Waiting at the same time; beyond it nobody waits. */
  readonly most: number
}

/** Between two looks at a line, milliseconds, however many waits end in it. */
const LEAST_PAUSE_MS = 5

/**
 * Where events wait until a door lets them in. One of a line asks for all, at the time that it was told. Events without a
 * deadline go in as they came. Of those with one the last goes first, because it has most time left: in a line that is too
 * long each would else be let in when it is too late for it (Facebook's adaptive LIFO: Maurer, Fail at Scale, ACM Queue 2015).
 */
export class WaitingRoom {
  readonly #options: WaitingRoomOptions
  readonly #lines = new Map<string, Line>()
  #size = 0

  constructor(options: WaitingRoomOptions) {
    this.#options = options
  }

  /** Events that wait. */
  get size(): number {
    return this.#size
  }

  /**
   * Waits to be let in.
   *
   * @param refused why it was not at first
   * @returns why it was not in the end; undefined where it was
   */
  enter(waiting: Waiting, refused: Refused): Promise<Refused | undefined> {
    const nowMs = performance.now()
    const isInVain = nowMs + refused.retryAfterMs > waiting.untilMs
    if (isInVain || this.#size >= this.#options.most) return Promise.resolve(refused)
    return new Promise((end) => {
      const { event, deadlineAtMs } = waiting
      const isUrgent = deadlineAtMs !== undefined
      const key = `${modelKey(event)}\n${event.lane}\n${isUrgent}`
      const line = this.#lines.get(key) ?? this.#open(key, isUrgent, refused)
      line.refused = refused
      line.waiters.push({ ...waiting, end })
      this.#size++
      this.#lookAt(key, line, Math.min(nowMs + comeBackMs(refused), waiting.untilMs))
    })
  }

  /** Nobody waits any longer: all are refused. */
  close(): void {
    for (const [key, line] of this.#lines) {
      for (const waiter of line.waiters) this.#end(waiter, line.refused)
      this.#leave(key, line)
    }
  }

  #open(key: string, isUrgent: boolean, refused: Refused): Line {
    const lookAtMs = Number.POSITIVE_INFINITY
    const line: Line = { waiters: [], isUrgent, refused, lookAtMs, timer: undefined }
    this.#lines.set(key, line)
    return line
  }

  /** Looks at a line then, unless that is sooner anyway. */
  #lookAt(key: string, line: Line, atMs: number): void {
    if (atMs >= line.lookAtMs) return
    clearTimeout(line.timer)
    line.lookAtMs = atMs
    line.timer = setTimeout(() => this.#look(key, line), Math.max(LEAST_PAUSE_MS, atMs - performance.now()))
  }

  #look(key: string, line: Line): void {
    const nowMs = performance.now()
    const { waiters, isUrgent } = line
    while (waiters.length > 0) {
      const next = isUrgent ? waiters.at(-1) : waiters[0]
      const refused = next && this.#ask(next, nowMs)
      if (refused !== undefined) {
        line.refused = refused
        break
      }
      this.#end(isUrgent ? waiters.pop() : waiters.shift(), undefined)
    }
    let soonestMs = nowMs + comeBackMs(line.refused)
    line.waiters = waiters.filter((waiter) => {
      const isStaying = waiter.untilMs > nowMs
      if (isStaying) soonestMs = Math.min(soonestMs, waiter.untilMs)
      else this.#end(waiter, line.refused)
      return isStaying
    })
    line.lookAtMs = Number.POSITIVE_INFINITY
    if (line.waiters.length > 0) this.#lookAt(key, line, soonestMs)
    else this.#leave(key, line)
  }

  #ask({ event, deadlineAtMs }: Waiter, nowMs: number): Refused | undefined {
    const deadlineMs = deadlineAtMs === undefined ? undefined : deadlineAtMs - nowMs
    return this.#options.decide({ ...event, deadlineMs, isAgain: true })
  }

  #end(waiter: Waiter | undefined, refused: Refused | undefined): void {
    this.#size--
    waiter?.end(refused)
  }

  #leave(key: string, { timer }: Line): void {
    clearTimeout(timer)
    this.#lines.delete(key)
  }
}
