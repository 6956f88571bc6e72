import type { NatsConnection, Subscription } from '@nats-io/transport-node'
import { uniqueInbox } from '../../../shared/sdk/jetstream/publish-window.ts'
import { findDeadLetter } from '../dead-letters/browse.ts'
import { patiently } from '../dead-letters/patience.ts'
import type { TakenHold } from './holds.ts'
import { readRegister } from './traces.ts'

export type ReplayEnd = 'predicted' | 'failed'

export interface InFlightDeps {
  readonly connection: NatsConnection
  readonly onEnd: (taken: TakenHold, end: ReplayEnd) => void
}

interface Waiting {
  readonly taken: TakenHold
  /** When to look at the register without having been woken. */
  lookAt: number
  isLooking: boolean
  /** Since when its notice has been there while its dead letter was still the old one. */
  failedAt: number | undefined
}

const TICK_MS = 100
/** The wake-up comes without guarantee: every so often the register is read all the same. */
const LOOK_MS = 2_000
const LOOKS_AT_ONCE = 32
/** A worker stores the notice first, then the dead letter; one that died in between leaves the old dead letter. */
const RENEWAL_MS = 30_000

/** Replays without an outcome yet. Workers wake us; the register is the truth. */
export class InFlight {
  readonly #deps: InFlightDeps
  readonly #waiting = new Map<string, Waiting>()
  readonly #prefix: string
  readonly #subscription: Subscription
  readonly #ticker: NodeJS.Timeout
  #changed: (() => void)[] = []
  #looking = 0

  constructor(deps: InFlightDeps) {
    this.#deps = deps
    this.#prefix = `${uniqueInbox(deps.connection)}.`
    this.#subscription = deps.connection.subscribe(`${this.#prefix}*`, {
      callback: (error, { subject }) => {
        const waiting = error === null ? this.#waiting.get(subject.slice(this.#prefix.length)) : undefined
        if (waiting !== undefined) waiting.lookAt = 0
        this.#look()
      },
    })
    this.#ticker = setInterval(() => this.#look(), TICK_MS)
  }

  get size(): number {
    return this.#waiting.size
  }

  /** Where a worker shall send its copy of the outcome. */
  replyTo(token: string): string {
    return this.#prefix + token
  }

  add(taken: TakenHold): void {
    const lookAt = performance.now() + LOOK_MS
    this.#waiting.set(taken.token, { taken, lookAt, isLooking: false, failedAt: undefined })
  }

  remove(token: string): void {
    this.#waiting.delete(token)
    for (const wake of this.#changed.splice(0)) wake()
  }

  all(): readonly TakenHold[] {
    return [...this.#waiting.values()].map(({ taken }) => taken)
  }

  /** Waits until fewer than `most` wait, or until `signal` is aborted. */
  async fewerThan(most: number, signal: AbortSignal): Promise<void> {
    while (this.#waiting.size >= most && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          signal.removeEventListener('abort', done)
          resolve()
        }
        this.#changed.push(done)
        signal.addEventListener('abort', done)
      })
    }
  }

  close(): void {
    clearInterval(this.#ticker)
    this.#subscription.unsubscribe()
  }

  #look(): void {
    const now = performance.now()
    for (const waiting of this.#waiting.values()) {
      if (this.#looking >= LOOKS_AT_ONCE) return
      if (waiting.isLooking || waiting.lookAt > now) continue
      this.#looking++
      waiting.isLooking = true
      waiting.lookAt = now + LOOK_MS
      void this.#lookAt(waiting)
        .catch(() => undefined) // the broker does not answer: the next look asks again
        .finally(() => {
          this.#looking--
          waiting.isLooking = false
        })
    }
  }

  async #lookAt(waiting: Waiting): Promise<void> {
    const { taken } = waiting
    const end = await this.#endOf(waiting)
    if (end === undefined || this.#waiting.get(taken.token) !== waiting) return
    this.#deps.onEnd(taken, end)
    this.remove(taken.token)
  }

  async #endOf(waiting: Waiting): Promise<ReplayEnd | undefined> {
    const { token, hold } = waiting.taken
    if (hold.sent === undefined) return undefined
    const register = await readRegister(this.#deps.connection, hold.sent.model, token)
    if (register.kind === 'empty' || register.sequence === hold.sent.supersedes) return undefined
    if (register.kind === 'prediction') return 'predicted'
    waiting.failedAt ??= performance.now()
    const old = await patiently(() => findDeadLetter(this.#deps.connection, { sequence: hold.sequence }))
    if (old === undefined || performance.now() - waiting.failedAt > RENEWAL_MS) return 'failed'
    waiting.lookAt = performance.now() + TICK_MS
    return undefined
  }
}
