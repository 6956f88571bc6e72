import type { StoredResult } from '../../../shared/sdk/result.ts'
import type { CallerSignal } from './request.ts'
import type { Timed } from './wheel.ts'

/** How a wait ended. */
export type Ending =
  | { readonly kind: 'outcome'; readonly result: StoredResult }
  | { readonly kind: 'time' }
  /** Its caller left, or what it waited for cannot come. */
  | { readonly kind: 'broken'; readonly thrown: unknown; readonly hasLeft: boolean }

const TIME: Ending = { kind: 'time' }
const OVER: Promise<Ending> = Promise.resolve(TIME)

/**
 * One request that waits. One whose request has its answer lets go of it: a table of those that wait is kept for as long as those
 * before it, with all that was in it when it became too small.
 */
export class Wait implements Timed {
  tick: number | undefined
  /** Where it is among those that wait. Written by {@link Waits} alone. */
  place = -1
  /** When it ends, by `performance.now()`. */
  until: number
  hasLastLook: boolean
  isOver = false
  expected: Expected | undefined
  #ended: Promise<Ending>
  readonly #signal: CallerSignal
  #resolve!: (ending: Ending) => void

  constructor(until: number, hasLastLook: boolean, signal: CallerSignal) {
    this.until = until
    this.hasLastLook = hasLastLook
    this.#ended = new Promise((resolve) => {
      this.#resolve = resolve
    })
    this.#signal = signal
    if (signal.aborted) this.handleEvent()
    else signal.addEventListener('abort', this)
  }

  /** How it ended, until it lets go. Never rejects. */
  get ended(): Promise<Ending> {
    return this.#ended
  }

  /** Its caller left. */
  handleEvent(): void {
    this.#end({ kind: 'broken', thrown: this.#signal.reason, hasLeft: true })
  }

  answer(result: StoredResult): void {
    this.#end({ kind: 'outcome', result })
  }

  timeIsOver(): void {
    this.#end(TIME)
  }

  break(thrown: unknown): void {
    this.#end({ kind: 'broken', thrown, hasLeft: false })
  }

  close(): void {
    this.isOver = true
    this.#signal.removeEventListener('abort', this)
  }

  /** Its request has its answer: nobody asks any more how it ended. */
  letGo(): void {
    this.close()
    this.#ended = OVER
    this.#resolve = ignore
  }

  #end(ending: Ending): void {
    if (this.isOver) return
    this.close()
    this.#resolve(ending)
  }
}

function ignore(): void {}

/** Those that wait, in no order: a list without holes, that makes no table anew as they come and go. */
export class Waits {
  readonly #all: Wait[] = []

  get size(): number {
    return this.#all.length
  }

  add(wait: Wait): void {
    wait.place = this.#all.push(wait) - 1
  }

  /** The last one takes its place. One that is not there is none of ours. */
  delete(wait: Wait): void {
    const { place } = wait
    if (this.#all[place] !== wait) return
    wait.place = -1
    const last = this.#all.pop() as Wait // there is one at least
    if (last === wait) return
    this.#all[place] = last
    last.place = place
  }

  /** As they are now: waits may come and go meanwhile. */
  [Symbol.iterator](): IterableIterator<Wait> {
    return this.#all.slice().values()
  }
}

/** One event that requests wait for: mostly one, more where they have the same idempotency key. */
export class Expected implements Timed {
  tick: number | undefined
  readonly register: string
  readonly token: string
  readonly replyTo: string | undefined
  readonly isShared: boolean
  readonly waits: Wait[] = []
  /** Position in FEATURES, once it is known. */
  sequence: number | undefined
  /** How often it was looked for. */
  looks = 0
  #result: StoredResult | undefined

  constructor(event: Pick<Expected, 'register' | 'token' | 'replyTo' | 'isShared'>) {
    this.register = event.register
    this.token = event.token
    this.replyTo = event.replyTo
    this.isShared = event.isShared
  }

  get isAwaited(): boolean {
    return this.#result === undefined && this.waits.length > 0
  }

  join(wait: Wait): void {
    wait.expected = this
    this.waits.push(wait)
    if (this.#result !== undefined) wait.answer(this.#result)
  }

  /** @returns whether nobody waits any more */
  leave(wait: Wait): boolean {
    const at = this.waits.indexOf(wait)
    if (at >= 0) this.waits.splice(at, 1)
    if (this.waits.length > 0) return false
    this.#result = undefined
    return true
  }

  answer(result: StoredResult): void {
    if (this.#result !== undefined || this.waits.length === 0) return
    this.#result = result
    for (const wait of [...this.waits]) wait.answer(result)
  }
}
