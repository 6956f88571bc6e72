import type { NatsConnection } from '@nats-io/transport-node'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { messageOf } from '../../../shared/sdk/errors.ts'
import { type DataSubscription, dataPathOf } from '../../../shared/sdk/jetstream/data-path.ts'
import { type Frame, readFrameHeaders } from '../../../shared/sdk/jetstream/frame.ts'
import { uniqueInbox } from '../../../shared/sdk/jetstream/publish-window.ts'
import { lookIntoRegister } from '../../../shared/sdk/jetstream/register.ts'
import { readResult, type StoredResult } from '../../../shared/sdk/result.ts'
import { closed } from './core-errors.ts'
import type { CallerSignal } from './request.ts'
import { Expected, Wait, Waits } from './wait.ts'
import { TICK_MS, Wheel } from './wheel.ts'

/** How long after its event is stored an answer is first looked for in the register, milliseconds; longer each time. */
const FIRST_LOOK_MS = 250
const LONGEST_PAUSE_MS = 2_000
/** Looks a second, about: they cost the broker what it needs to answer. Where more wait, each is looked for less often. */
const LOOKS_A_SECOND = 500
const LOOKS_AT_ONCE = 32
/** What keeps answers from being looked for is told so often at most, milliseconds. */
const TOLD_MS = 10_000
/** How much longer than its deadline a wait takes for its last look, milliseconds at most. */
const LAST_LOOK_MS = 100

export interface AnswersOptions {
  /** Told of what keeps answers from being looked for, now and then while it does. */
  readonly onProblem: (text: string) => void
}

/** An event whose answer is waited for. */
export interface AwaitedEvent {
  readonly model: string
  readonly token: string
  /** Where its worker sends a copy of the outcome. */
  readonly replyTo: string
  /** Others may wait for it, too: those with the same idempotency key. */
  readonly isShared: boolean
}

/**
 * Where requests wait for the outcomes of their events: woken by a copy of the outcome, and by a look at the register
 * where that was lost. One inbox and one timer for all.
 */
export class Answers {
  readonly #connection: NatsConnection
  readonly #options: AnswersOptions
  readonly #prefix: string
  readonly #subscription: DataSubscription
  readonly #waits = new Waits()
  readonly #byReply = new Map<string, Expected>()
  readonly #shared = new Map<string, Expected>()
  /** When each wait is over, and when each event is looked for next. */
  readonly #wheel = new Wheel<Wait | Expected>()
  /** To be looked for, in order; those whose last look it is come first. */
  readonly #toLook = new Set<Expected>()
  readonly #lastLooks = new Set<Expected>()
  #looking = 0
  /** Looks of before a reconnect get no answer any more, and count no more. */
  #round = 0
  #isAway = false
  #toldAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #nextId = 0

  constructor(connection: NatsConnection, options: AnswersOptions) {
    this.#connection = connection
    this.#options = options
    this.#prefix = `${uniqueInbox(connection)}.`
    this.#subscription = dataPathOf(connection).subscribe(`${this.#prefix}*`, {
      onFrame: (frame) => this.#woken(frame),
      onRefused: ({ message }) => options.onProblem(`no wake-ups can come, answers are slow: ${message}`),
    })
  }

  /** A subject of its own below the inbox, for the `replyTo` of one event. */
  nextReply(): string {
    return this.#prefix + (this.#nextId++).toString(36)
  }

  /**
   * Begins a wait that ends at the latest at `until`, by `performance.now()`. End it with {@link Answers.end}.
   *
   * @param hasLastLook whether the register is looked at once more when its time is over
   */
  begin(until: number, hasLastLook: boolean, signal: CallerSignal): Wait {
    const wait = new Wait(until, hasLastLook, signal)
    this.#waits.add(wait)
    this.#wheel.set(until, wait)
    this.#timer ??= setInterval(() => this.#sweep(performance.now()), TICK_MS).unref()
    return wait
  }

  /** The event of a wait is about to be published. */
  expect(wait: Wait, { model, token, replyTo, isShared }: AwaitedEvent): Expected {
    const expected = new Expected({ register: subjects.result(model, token), token, replyTo, isShared })
    this.#byReply.set(replyTo, expected)
    if (isShared) this.#shared.set(expected.register, expected)
    expected.join(wait)
    return expected
  }

  /** Waits for an event that another request published, here or at another gateway. */
  join(wait: Wait, model: string, token: string): Expected {
    const register = subjects.result(model, token)
    const running = this.#shared.get(register)
    const expected = running ?? new Expected({ register, token, replyTo: undefined, isShared: true })
    expected.join(wait)
    if (running !== undefined) return expected
    this.#shared.set(register, expected)
    this.#queue(expected)
    return expected
  }

  /** Whether a request waits here for this event. */
  isAwaited(model: string, token: string): boolean {
    return this.#shared.has(subjects.result(model, token))
  }

  /**
   * The event is stored: from now on its answer is looked for, where no wake-up comes.
   *
   * @param isDuplicate it was stored before, and may be answered already: then nobody sends a wake-up
   */
  published(expected: Expected, sequence: number, isDuplicate: boolean): void {
    expected.sequence = sequence
    if (isDuplicate) this.#queue(expected)
    else this.#lookLater(expected)
  }

  /** The event could not be published: whoever joined gets the same error. */
  failed(expected: Expected, thrown: unknown): void {
    for (const wait of [...expected.waits]) wait.break(thrown)
  }

  /** Lets a wait end at another time. */
  endBy(wait: Wait, until: number, hasLastLook: boolean): void {
    wait.until = until
    wait.hasLastLook = hasLastLook
    this.#wheel.set(until, wait)
  }

  /** Nobody waits by it any more. @returns whether nobody at all waits for its event any more */
  end(wait: Wait): boolean {
    wait.letGo()
    this.#waits.delete(wait)
    this.#wheel.remove(wait)
    const { expected } = wait
    if (expected === undefined) return true
    if (!expected.leave(wait)) return false
    const { register, replyTo } = expected
    if (replyTo !== undefined) this.#byReply.delete(replyTo)
    if (expected.isShared && this.#shared.get(register) === expected) this.#shared.delete(register)
    this.#toLook.delete(expected)
    this.#lastLooks.delete(expected)
    this.#wheel.remove(expected)
    return true
  }

  /** The connection is away: nothing is looked for until it is back. */
  away(): void {
    this.#isAway = true
  }

  /** The connection is back: wake-ups were lost meanwhile, and so were looks. */
  back(): void {
    this.#isAway = false
    this.#round++
    this.#looking = 0
    for (const { expected } of this.#waits) if (expected !== undefined) this.#queue(expected)
    this.#look()
  }

  /** The time of every wait is over. */
  endWaits(): void {
    for (const wait of this.#waits) wait.timeIsOver()
  }

  /** Breaks the waits of which `isMeant` is true. */
  breakThose(isMeant: (wait: Wait) => boolean, thrown: unknown): void {
    for (const wait of this.#waits) if (isMeant(wait)) wait.break(thrown)
  }

  /** Breaks all waits; none may begin afterwards. */
  close(): void {
    this.#subscription.unsubscribe()
    this.breakThose(() => true, closed())
    clearInterval(this.#timer)
  }

  #woken(frame: Frame): void {
    const expected = this.#byReply.get(frame.subject)
    if (expected === undefined) return
    const result = readResult(expected.register, readFrameHeaders(frame), frame.data)
    if (result === undefined) this.#queue(expected)
    else expected.answer(result)
  }

  /** Ends what is over, and looks for what was not heard of. */
  #sweep(now: number): void {
    for (const item of this.#wheel.take(now)) {
      if (item instanceof Wait) this.#timeOf(item, now)
      else if (item.isAwaited) this.#toLook.add(item)
    }
    this.#look()
    if (this.#waits.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #timeOf(wait: Wait, now: number): void {
    const { expected } = wait
    if (wait.isOver || wait.until > now) return
    if (!wait.hasLastLook || this.#isAway || expected === undefined) wait.timeIsOver()
    else {
      wait.hasLastLook = false
      this.#lastLooks.add(expected)
      this.#wheel.set(now + LAST_LOOK_MS, wait)
    }
  }

  #queue(expected: Expected): void {
    this.#toLook.add(expected)
    this.#look()
  }

  #look(): void {
    if (this.#isAway) return
    for (const queue of [this.#lastLooks, this.#toLook]) {
      for (const expected of queue) {
        if (this.#looking >= LOOKS_AT_ONCE) return
        queue.delete(expected)
        if (expected.isAwaited) void this.#lookFor(expected, this.#round)
      }
    }
  }

  async #lookFor(expected: Expected, round: number): Promise<void> {
    this.#looking++
    const startedAt = performance.now()
    const result = await this.#read(expected)
    if (round === this.#round) this.#looking--
    if (result !== undefined) expected.answer(result)
    else {
      for (const wait of [...expected.waits]) if (wait.until <= startedAt) wait.timeIsOver()
      this.#lookLater(expected)
    }
    this.#look()
  }

  async #read({ register }: Expected): Promise<StoredResult | undefined> {
    try {
      const { outcome } = await lookIntoRegister(this.#connection, register)
      return outcome && readResult(register, outcome.headers, outcome.body)
    } catch (thrown) {
      this.#tellProblem(thrown)
      return undefined // the deadline decides
    }
  }

  #tellProblem(thrown: unknown): void {
    const now = performance.now()
    if (now - this.#toldAt < TOLD_MS) return
    this.#toldAt = now
    this.#options.onProblem(`answers cannot be looked for: ${messageOf(thrown)}`)
  }

  #lookLater(expected: Expected): void {
    if (!expected.isAwaited) return
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_LOOK_MS * 2 ** expected.looks++)
    const fairMs = (this.#waits.size / LOOKS_A_SECOND) * 1_000
    this.#wheel.set(performance.now() + Math.max(pauseMs, fairMs), expected)
  }
}
