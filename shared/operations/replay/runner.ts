import { setTimeout as sleep } from 'node:timers/promises'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { streamInfo } from '../../sdk/jetstream/api.ts'
import { inParallel } from '../broker/parallel.ts'
import { browseDeadLetters } from '../dead-letters/browse.ts'
import type { DeadLetterEntry } from '../records/dead-letter.ts'
import type { TakenHold } from '../records/holds.ts'
import { readRegister } from '../records/register.ts'
import { Books, type BooksDeps } from './books.ts'
import { createFailureBound, type FailureBound } from './failure-bound.ts'
import { type Halt, strongerHalt, wishedHalt } from './halt.ts'
import { InFlight } from './in-flight.ts'
import { letGo } from './left-holds.ts'
import { createPace } from './pace.ts'
import { whyLeft } from './plan.ts'
import { Sender } from './sender.ts'
import { ended, isOver, type KeptTask, type ReplayTask, type TaskPace, withEvent } from './task.ts'
import { findOnTheirWay } from './whereabouts.ts'

/** How a replay that runs in this process goes. */
export interface ReplayProgress {
  readonly task: ReplayTask
  readonly inFlight: number
  /** Outcomes a second in this run. */
  readonly rate: number
  /** Milliseconds until the end at this rate; undefined before there is a rate. */
  readonly etaMs: number | undefined
}

export interface RunDeps extends BooksDeps {
  /** Pauses the task. */
  readonly signal: AbortSignal
  readonly onProgress: (progress: ReplayProgress) => void
}

/** How long outcomes of what was sent are waited for once no more is to be sent. */
const LAST_OUTCOMES_MS = 5_000
const PROGRESS_MS = 200
/** The broker would have no time for live events in the milliseconds that many more at once take. */
const LET_GO_AT_ONCE = 8
/** Each send asks the broker four things: more at once gain nothing. */
const SENT_AT_ONCE = 32

/**
 * Runs a task that this process has taken (its `runner` is ours) until it is done, paused or cancelled. Whatever ends
 * the process in between, another run goes on where this one was: the dead letters that are left, and the holds, say
 * what is to be done.
 *
 * @throws PeltonError `conflict` when another process took the task over, `broker-unavailable` when it cannot go on
 */
export async function runReplay(deps: RunDeps, kept: KeptTask): Promise<ReplayTask> {
  const run = new ReplayRun(deps, kept)
  try {
    return await run.toTheEnd()
  } finally {
    run.close()
  }
}

class ReplayRun {
  readonly #deps: RunDeps
  readonly #books: Books
  readonly #inFlight: InFlight
  readonly #sender: Sender
  readonly #failureBound: FailureBound
  readonly #halted = new AbortController()
  readonly #sending = new Set<Promise<void>>()
  readonly #progress: NodeJS.Timeout
  readonly #startedAt = performance.now()
  readonly #endedBefore: number
  /** Dead letters of the task that have ended, or were taken. */
  #begun: number
  #halt: Halt | undefined
  #trouble: unknown
  readonly #interrupted = (): void => {
    const { by } = this.#books.task
    this.#stop({ cause: 'interruption', state: 'paused', by, note: 'paused by Ctrl-C or a signal' })
  }

  constructor(deps: RunDeps, kept: KeptTask) {
    this.#deps = deps
    this.#books = new Books(deps, kept, (trouble) => this.#fail(trouble))
    this.#inFlight = new InFlight({
      connection: deps.connection,
      onEnd: (taken, end) => {
        this.#books.end(taken, end)
        this.#failureBound.add(end === 'failed')
        this.#checkFailures()
      },
      onLost: (taken) => this.#sendLost(taken),
    })
    this.#failureBound = createFailureBound(kept.value.options.maxFailureShare)
    this.#sender = new Sender(deps, {
      task: kept.value,
      books: this.#books,
      inFlight: this.#inFlight,
      signal: this.#halted.signal,
    })
    this.#endedBefore = ended(kept.value.counts)
    this.#begun = this.#endedBefore
    this.#progress = setInterval(() => this.#tell(), PROGRESS_MS)
    if (deps.signal.aborted) this.#interrupted()
    deps.signal.addEventListener('abort', this.#interrupted, { once: true })
  }

  /** Adopt what an earlier run left, send what is left, wait for the outcomes, close the account. */
  async toTheEnd(): Promise<ReplayTask> {
    this.#obeyWish()
    const features = await streamInfo(this.#deps.connection, STREAMS.features)
    this.#sender.begin(features?.state.last_seq ?? 0)
    const left = await this.#releaseCounted()
    this.#books.open(() => this.#pace())
    await this.#adopt(left)
    await this.#sendRest()
    await Promise.all(this.#sending)
    await this.#awaitOutcomes()
    await Promise.all(this.#sending)
    if (this.#trouble !== undefined) throw this.#trouble
    this.#obeyWish()
    return this.#finish()
  }

  /** Whatever ended the run, nothing of it goes on: a task that is silent may be taken over. */
  close(): void {
    this.#deps.signal.removeEventListener('abort', this.#interrupted)
    clearInterval(this.#progress)
    this.#books.abandon()
    this.#inFlight.close()
  }

  /** The last run may have counted outcomes whose holds it could not release any more. */
  async #releaseCounted(): Promise<TakenHold[]> {
    const { holds } = this.#deps
    const { id, counted } = this.#books.task
    const left: TakenHold[] = []
    const done: TakenHold[] = []
    for await (const taken of holds.of(id)) (counted.includes(taken.token) ? done : left).push(taken)
    await inParallel(done, (taken) => holds.release(taken))
    return left
  }

  /** Holds of an earlier run: what is on its way is waited for, what never left is sent. */
  async #adopt(left: readonly TakenHold[]): Promise<void> {
    const { connection } = this.#deps
    const replays = left.flatMap(({ token, hold: { sent } }) => (sent === undefined ? [] : [{ token, sent }]))
    const onTheirWay = await findOnTheirWay(connection, this.#books.task.id, replays)
    this.#begun += left.length
    await inParallel(left, async (taken) => {
      const { token, hold } = taken
      if (hold.sent === undefined) return
      this.#inFlight.add(taken, onTheirWay.get(token))
      if (onTheirWay.has(token)) return
      const register = await readRegister(connection, hold.sent.model, token)
      const isOpen = register.kind === 'empty' || register.sequence === hold.sent.supersedes
      if (!isOpen) this.#inFlight.placed(token, 'past-features')
      if (isOpen && !(await this.#sender.sendHeld(taken))) this.#begun--
    })
  }

  async #sendRest(): Promise<void> {
    const { filter, options, upTo } = this.#books.task
    const pace = createPace(options.rate, options.rampSeconds, performance.now())
    const signal = this.#halted.signal
    const entries = browseDeadLetters(this.#deps.connection, { filter, toSequence: upTo })
    for await (const entry of entries) {
      if (signal.aborted) return
      const why = await whyLeft(this.#deps.connection, entry, filter, options)
      if (why !== undefined) this.#books.skip(why)
      if (why !== undefined) continue
      await this.#room()
      for (
        let waitMs = pace.next(performance.now());
        waitMs > 0 && !signal.aborted;
        waitMs = pace.next(performance.now())
      )
        await sleep(waitMs, undefined, { signal }).catch(() => undefined)
      if (await this.#isCapReached()) return
      if (signal.aborted) return
      this.#send(entry)
    }
  }

  /** Waits until another event may be sent: what is being sent counts as under way. */
  async #room(): Promise<void> {
    const { inFlight } = this.#books.task.options
    while (this.#sending.size + this.#inFlight.size >= inFlight || this.#sending.size >= SENT_AT_ONCE) {
      if (this.#halted.signal.aborted) return
      if (this.#sending.size > 0) await Promise.race(this.#sending)
      else await this.#inFlight.fewerThan(inFlight, this.#halted.signal)
    }
  }

  #send(entry: DeadLetterEntry): void {
    this.#begun++
    const sent: Promise<void> = this.#sender
      .send(entry)
      .then((counts) => {
        if (!counts) this.#begun--
      })
      .catch((trouble: unknown) => this.#fail(trouble))
      .finally(() => this.#sending.delete(sent))
    this.#sending.add(sent)
  }

  /** FEATURES was purged, or lost its end with the broker's disk: the dead letter is still there, and is sent again. */
  #sendLost(taken: TakenHold): void {
    if (this.#halted.signal.aborted) return
    const sent: Promise<void> = this.#sender
      .sendHeld(taken)
      .then((counts) => {
        if (!counts) this.#begun--
      })
      .catch((trouble: unknown) => this.#fail(trouble))
      .finally(() => this.#sending.delete(sent))
    this.#sending.add(sent)
  }

  /** What is being sent may come to nothing: only then there is room for another. */
  async #isCapReached(): Promise<boolean> {
    const { cap = Number.POSITIVE_INFINITY } = this.#books.task.options
    if (this.#begun >= cap) await Promise.all(this.#sending)
    return this.#begun >= cap
  }

  async #awaitOutcomes(): Promise<void> {
    await this.#inFlight.fewerThan(1, this.#halted.signal)
    if (this.#inFlight.size > 0 && this.#trouble === undefined)
      await this.#inFlight.fewerThan(1, AbortSignal.timeout(LAST_OUTCOMES_MS))
  }

  async #finish(): Promise<ReplayTask> {
    const under = this.#inFlight.all()
    const waiting = under.length === 0 ? '' : `; ${under.length} still without an outcome`
    const task = await this.#books.close((present) => {
      const { wish: _obeyed, pace: _pace, ...rest } = present
      const halt = wishedHalt(present) ?? this.#halt // a wish that came last counts as well
      const state = halt?.state ?? 'done'
      const note = `${halt?.note ?? 'every dead letter of the filter was handled'}${waiting}`
      const last: ReplayTask = { ...rest, state, note, ...(halt !== undefined && { halted: halt.cause }) }
      return withEvent(last, halt?.by ?? present.by, `${state}: ${note}`, this.#deps.now())
    })
    if (isOver(task)) await this.#letGo(task)
    return task
  }

  /** Also of what a killed run took. What is on its way stays held until it has ended, and the watch lets it go. */
  async #letGo({ id }: ReplayTask): Promise<void> {
    const { holds } = this.#deps
    const left: TakenHold[] = []
    for await (const taken of holds.of(id)) left.push(taken)
    const each = async (taken: TakenHold): Promise<void> => {
      if (this.#inFlight.isUnplaced(taken.token)) return // it may be stored late: the watch finds out
      const place = this.#inFlight.placeOf(taken.token)
      const { sent } = taken.hold
      if ((await letGo(this.#deps, taken, place)) || sent === undefined || place === undefined) return
      await holds.note(taken, { ...sent, place })
    }
    await inParallel(left, each, LET_GO_AT_ONCE)
  }

  #checkFailures(): void {
    const found = this.#failureBound.tooMany()
    if (found === undefined) return
    const note = `paused by itself: ${found.failed} of the last ${found.of} failed again`
    this.#stop({ cause: 'failures', state: 'paused', by: 'pelton', note })
  }

  #obeyWish(): void {
    const wished = wishedHalt(this.#books.task)
    if (wished !== undefined) this.#stop(wished)
  }

  #stop(halt: Halt): void {
    this.#halt = strongerHalt(this.#halt, halt)
    this.#halted.abort()
  }

  #fail(trouble: unknown): void {
    this.#trouble ??= trouble
    this.#halted.abort()
  }

  #tell(): void {
    this.#obeyWish()
    const { task, counts } = this.#books
    const { underWay, eventsPerSecond, etaMs } = this.#pace()
    this.#deps.onProgress({ task: { ...task, counts }, inFlight: underWay, rate: eventsPerSecond, etaMs })
  }

  #pace(): TaskPace {
    const { task, counts } = this.#books
    const done = ended(counts)
    const seconds = (performance.now() - this.#startedAt) / 1_000
    const eventsPerSecond = (done - this.#endedBefore) / seconds
    const left = Math.max(0, Math.min(task.total, task.options.cap ?? task.total) - done)
    const eta = eventsPerSecond > 0 ? { etaMs: (left / eventsPerSecond) * 1_000 } : {}
    return { eventsPerSecond, underWay: this.#inFlight.size, ...eta }
  }
}
