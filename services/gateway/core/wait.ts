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

/** One request that waits. */
export class Wait implements Timed {
  tick: number | undefined
  /** When it ends, by `performance.now()`. */
  until: number
  hasLastLook: boolean
  isOver = false
  expected: Expected | undefined
  /** Never rejects. */
  readonly ended: Promise<Ending>
  readonly #signal: CallerSignal
  #resolve!: (ending: Ending) => void

  constructor(until: number, hasLastLook: boolean, signal: CallerSignal) {
    this.until = until
    this.hasLastLook = hasLastLook
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve
    })
    this.#signal = signal
    if (signal.aborted) this.handleEvent()
    else signal.addEventListener('abort', this)
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

  #end(ending: Ending): void {
    if (this.isOver) return
    this.close()
    this.#resolve(ending)
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
    return this.waits.length === 0
  }

  answer(result: StoredResult): void {
    if (this.#result !== undefined) return
    this.#result = result
    for (const wait of [...this.waits]) wait.answer(result)
  }
}
