import type { NatsConnection, Subscription } from '@nats-io/transport-node'
import { uniqueInbox } from '../../sdk/jetstream/publish-window.ts'
import { patiently } from '../broker/patience.ts'
import { findDeadLetter } from '../records/dead-letter.ts'
import type { Place, TakenHold } from '../records/holds.ts'
import { readRegister } from '../records/register.ts'
import { isOnItsWay } from './whereabouts.ts'

export type ReplayEnd = 'predicted' | 'failed'

export interface InFlightDeps {
  readonly connection: NatsConnection
  readonly onEnd: (taken: TakenHold, end: ReplayEnd) => void
  /** Told of a replay that is nowhere any more and has no outcome: FEATURES was purged, or lost its end. */
  readonly onLost: (taken: TakenHold) => void
}

interface Waiting {
  readonly taken: TakenHold
  /** Where it lies; undefined while it is being sent, and the search leaves it out. */
  place: Place | undefined
  /** When to make sure that it is still somewhere. */
  searchAt: number
  /** When to look at the register without having been woken. */
  lookAt: number
  isLooking: boolean
  /** Since when its notice has been there while its dead letter was still the old one. */
  failedAt: number | undefined
}

const TICK_MS = 100
/** The wake-up comes without guarantee: every so often the register is read all the same. */
const LOOK_MS = 2_000
/** Outcomes come sooner; what takes longer is searched for this often. */
const SEARCH_MS = 10_000
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

  /** @param place where it lies; undefined for one that is about to be sent */
  add(taken: TakenHold, place?: Place): void {
    const now = performance.now()
    const times = { lookAt: now + LOOK_MS, searchAt: now + SEARCH_MS, failedAt: undefined }
    this.#waiting.set(taken.token, { taken, place, ...times, isLooking: false })
  }

  /** Says where a replay lies: only then it can be found out that it is lost. */
  placed(token: string, place: Place): void {
    const waiting = this.#waiting.get(token)
    if (waiting !== undefined) waiting.place = place
  }

  /** Whether a replay was given to the broker, and the broker did not tell whether it is stored. */
  isUnplaced(token: string): boolean {
    return this.#waiting.has(token) && this.placeOf(token) === undefined
  }

  placeOf(token: string): Place | undefined {
    return this.#waiting.get(token)?.place
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
    if (end === undefined && (await this.#isLost(waiting)) && this.#waiting.get(taken.token) === waiting) {
      waiting.place = undefined // nothing is searched for until it is sent again
      this.#deps.onLost(taken)
    }
    if (end === undefined || this.#waiting.get(taken.token) !== waiting) return
    this.#deps.onEnd(taken, end)
    this.remove(taken.token)
  }

  /** First where it would be, then whether it ended meanwhile: what is in neither place is lost. */
  async #isLost(waiting: Waiting): Promise<boolean> {
    const { token, hold } = waiting.taken
    const { connection } = this.#deps
    const { sent, by } = hold
    if (sent === undefined || waiting.place === undefined) return false
    if (performance.now() < waiting.searchAt) return false
    waiting.searchAt = performance.now() + SEARCH_MS
    if (await isOnItsWay(connection, by.id, { token, sent }, waiting.place)) return false
    const register = await readRegister(connection, sent.model, token)
    return register.kind === 'empty' || register.sequence === sent.supersedes
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
