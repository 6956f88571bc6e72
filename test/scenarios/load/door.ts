import { FATE } from '../measure/account.ts'
import type { Source } from './schedule.ts'

export type Features = Readonly<Record<string, string | number>>

/** One event, at the moment it is sent. */
export interface Sending {
  readonly index: number
  /** Its own within the contestant. */
  readonly id: string
  readonly features: Features
  readonly isHigh: boolean
  readonly source: Source
  /** When it was to be sent, by the monotonic clock of this process, milliseconds. */
  readonly intended: number
}

/** A way into a contestant. */
export interface Door {
  /** Sends an event, and tells `Answers` what comes of it: never waits. */
  send(sending: Sending, answers: Answers): void
  /** Its sender's patience is over. @returns under which token its outcome may be found, where that is known */
  giveUp(index: number): string | undefined
  close(): Promise<void>
}

/** Takes down what comes of each event of a load. The first word about an event stays. */
export class Answers {
  readonly fates: Uint8Array
  readonly latencyMs: Float64Array
  readonly tokens = new Map<number, string>()
  readonly said = new Map<string, number>()
  readonly #intended: (index: number) => number
  #settled = 0

  constructor(count: number, intended: (index: number) => number) {
    this.fates = new Uint8Array(count)
    this.latencyMs = new Float64Array(count).fill(Number.NaN)
    this.#intended = intended
  }

  get settled(): number {
    return this.#settled
  }

  isSettled(index: number): boolean {
    return this.fates[index] !== FATE.lost
  }

  predicted(index: number): void {
    if (this.#settle(index, FATE.prediction))
      this.latencyMs[index] = performance.now() - this.#intended(index)
  }

  deadLetter(index: number, reason: string): void {
    if (this.#settle(index, FATE.deadLetter)) this.#count(`dead letter: ${reason}`)
  }

  refused(index: number, reason: string): void {
    if (this.#settle(index, FATE.refusal)) this.#count(`refused: ${reason}`)
  }

  /** @param token under which its outcome is found, where one is known */
  doubted(index: number, reason: string, token?: string): void {
    if (!this.#settle(index, token === undefined ? FATE.inDoubt : FATE.accepted)) return
    this.#count(`in doubt: ${reason}`)
    if (token !== undefined) this.tokens.set(index, token)
  }

  /** Stored: its outcome is read later. */
  accepted(index: number, token: string): void {
    if (this.#settle(index, FATE.accepted)) this.tokens.set(index, token)
  }

  #settle(index: number, fate: number): boolean {
    if (this.isSettled(index)) return false
    this.fates[index] = fate
    this.#settled++
    return true
  }

  #count(reason: string): void {
    this.said.set(reason, (this.said.get(reason) ?? 0) + 1)
  }
}

/** Several ways into one contestant: each event takes the next one. */
export function inTurn(doors: readonly Door[]): Door {
  const of = (index: number): Door => doors[index % doors.length] as Door
  return {
    send: (sending, answers) => of(sending.index).send(sending, answers),
    giveUp: (index) => of(index).giveUp(index),
    close: async () => void (await Promise.all(doors.map((door) => door.close()))),
  }
}
