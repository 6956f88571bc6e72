import { HeardFlow, type PoolFlow } from '../../../shared/sdk/admission/heard-flow.ts'
import { ADMISSION, type Asking } from '../../../shared/sdk/admission/model-door.ts'
import type { Refused } from '../../../shared/sdk/admission/refused.ts'
import type { Flow } from '../../../shared/sdk/contract/flow.ts'
import { LANES, type Lane } from '../../../shared/sdk/contract/subjects.ts'
import type { Random } from '../engine/chance.ts'
import type { Door } from './door.ts'

/** What an event would wait, and what it may, milliseconds. */
interface Wait {
  readonly waitMs: number
  readonly targetMs: number
}

export type NextCredit = (credit: number, wait: Wait) => number

/**
 * What a door does beside its backlog gate: nothing; let in so many seconds of work a second (`amount`); or let in such a part
 * of what it is asked (`part`).
 */
export type CreditKind =
  | { readonly kind: 'none' }
  | { readonly kind: 'amount'; readonly next: NextCredit }
  | { readonly kind: 'part'; readonly next: NextCredit; readonly random: Random }

/** Nothing is refused for its credit while so small a part of the target is waited. */
const SHORT = 0.1
const LEAST = 0.001
const MOST: Readonly<Record<CreditKind['kind'], number>> = { none: 1, amount: 2, part: 1 }

/** The plainest door with a credit: what laws are compared by. `high` has none, the backlog gate is the same for all laws. */
export class CreditDoor implements Door {
  readonly #law: CreditKind
  readonly #heard = new HeardFlow()
  readonly #credits: Record<Lane, number>
  readonly #since: Record<Lane, number> = { high: 0, normal: 0, low: 0 }
  #leftS = 0
  #filledAtMs = 0

  constructor(law: CreditKind) {
    this.#law = law
    const most = MOST[law.kind]
    this.#credits = { high: most, normal: most, low: most }
  }

  hear(flow: Flow, nowMs: number): void {
    this.#heard.hear(flow, nowMs)
    const pool = this.#heard.at(nowMs)
    if (pool === undefined) return
    for (const lane of LANES) this.#since[lane] = 0
    const { kind } = this.#law
    if (kind === 'none' || pool.drainRows === 0) return
    for (const lane of LANES) {
      const next = this.#law.next(this.#credits[lane], this.#waitOf(lane, pool, nowMs))
      this.#credits[lane] = Math.min(MOST[kind], Math.max(LEAST, next))
    }
  }

  decide({ lane }: Asking, nowMs: number): Refused | undefined {
    const pool = this.#heard.at(nowMs)
    if (pool === undefined || pool.drainRows === 0) return undefined
    const wait = this.#waitOf(lane, pool, nowMs)
    if (wait.waitMs > wait.targetMs) return this.#refused('backlog', lane, wait)
    const isShort = wait.waitMs <= SHORT * wait.targetMs
    if (lane !== 'high' && !isShort && !this.#hasCredit(lane, wait, nowMs))
      return this.#refused('credit', lane, wait)
    this.#since[lane] += pool.rowsPerEvent
    this.#leftS -= pool.rowsPerEvent / pool.drainRows
    return undefined
  }

  told(): void {
    // What the stream takes is nothing to it.
  }

  #waitOf(lane: Lane, pool: PoolFlow, nowMs: number): Wait {
    let rows = pool.aheadRows[lane]
    for (const each of LANES) {
      rows += this.#since[each]
      if (each === lane) break
    }
    const waitMs = Math.max(0, (1_000 * rows) / pool.drainRows - (nowMs - pool.atMs))
    return { waitMs, targetMs: Math.max(1, pool.deadlineMs[lane] * ADMISSION.waitShare[lane]) }
  }

  #hasCredit(lane: Lane, { targetMs }: Wait, nowMs: number): boolean {
    if (this.#law.kind === 'none') return true
    if (this.#law.kind === 'part') return this.#law.random() < this.#credits[lane]
    const mostS = targetMs / 1_000
    const gained = ((nowMs - this.#filledAtMs) / 1_000) * this.#credits.normal
    this.#leftS = Math.min(mostS, Math.max(-mostS, this.#leftS) + gained)
    this.#filledAtMs = nowMs
    return this.#leftS > 0
  }

  #refused(limit: 'backlog' | 'credit', lane: Lane, { waitMs, targetMs }: Wait): Refused {
    return {
      ...{ limit, value: targetMs, measured: waitMs, unit: 'ms', isOfSource: false },
      // The more is refused, the later it is worth while to come back.
      retryAfterMs: Math.max(25, waitMs / this.#credits[lane]),
      because: 'as much waits as may',
    }
  }
}
