import type { Tensor } from '../sdk/contract/tensor.ts'
import type { PeltonError } from '../sdk/errors.ts'
import type { Openings } from './openings.ts'
import { packTensors } from './packed-tensors.ts'
import { chooseSlot, LONG_RUN_MS, type Slot } from './slots.ts'
import type { ThreadCrew } from './thread-crew.ts'
import type { Answered, ThreadHandle } from './thread-handle.ts'
import type { SentRequest, ThreadRequest } from './thread-messages.ts'

export type RunRequest = ThreadRequest & { readonly kind: 'run' }

interface Job {
  readonly request: RunRequest
  readonly isUrgent: boolean
  readonly resolve: (outputs: readonly Tensor[]) => void
  readonly reject: (error: PeltonError) => void
  /** Since when it waits for a thread that has its model open, though another could take it; milliseconds. */
  waitsSinceMs?: number
  /** Whether that other one had nothing to do. */
  passedIdle?: boolean
}

/** A job in a thread's hands, and what the thread was sent for it. */
interface SentJob {
  readonly job: Job
  readonly sent: SentRequest
}

export interface RunQueueOptions {
  readonly crew: ThreadCrew
  readonly openings: Openings
  /** The clock of the crew. */
  readonly nowMs: () => number
  /** Told how long each run took, milliseconds. */
  readonly onRan: (request: RunRequest, runMs: number) => void
}

/** Runs that wait for a thread they may take, and those that have one. A run that may not go now holds back none behind it. */
export class RunQueue {
  readonly #crew: ThreadCrew
  readonly #openings: Openings
  readonly #nowMs: () => number
  readonly #onRan: RunQueueOptions['onRan']
  readonly #waiting: Job[] = []
  /** In the order they were sent. */
  readonly #sent = new WeakMap<ThreadHandle, SentJob[]>()
  /** Threads with a run that is only measured, each with the key of the model where it was opened for that alone. */
  readonly #measuring = new Set<ThreadHandle>()
  readonly #borrowed = new Map<ThreadHandle, string>()
  /** Looks again once a job has waited long enough, and in how long. */
  #wake: { readonly timer: NodeJS.Timeout; readonly inMs: number } | undefined

  constructor({ crew, openings, nowMs, onRan }: RunQueueOptions) {
    this.#crew = crew
    this.#openings = openings
    this.#nowMs = nowMs
    this.#onRan = onRan
  }

  /** Runs that wait for a thread. */
  get size(): number {
    return this.#waiting.length
  }

  /** Resolves with the outputs of a run; rejects as {@link ThreadHandle.send} does. */
  add(request: RunRequest, isUrgent: boolean): Promise<readonly Tensor[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, isUrgent, resolve, reject })
      this.dispatch()
    })
  }

  /** Hands out what waits, as long as a thread may take some of it. */
  dispatch(): void {
    this.#wakeIn(undefined)
    // What one of its kind cannot get now, no later one can.
    const open = { urgent: true, patient: true }
    for (let at = 0; at < this.#waiting.length && (open.urgent || open.patient); ) {
      const job = this.#waiting[at] as Job
      const kind = job.isUrgent ? 'urgent' : 'patient'
      const thread = open[kind] ? this.#choose(job) : undefined
      if (thread === undefined) open[kind] = false
      if (thread === undefined || this.#waitsForAnother(job, thread)) at++
      else {
        this.#waiting.splice(at, 1)
        this.#send(thread, job)
      }
    }
  }

  /**
   * Runs what nobody waits for, to see what it costs, on a thread that has nothing else to do; others take that for a
   * patient run.
   *
   * @returns undefined where no thread is idle, or a run waits for one
   */
  measure(request: RunRequest): Promise<Answered> | undefined {
    const thread = this.#waiting.length > 0 ? undefined : this.#choose({ request, isUrgent: false })
    if (thread === undefined || thread.inFlight > 0) return undefined
    const open = this.#crew.threads.get(thread)
    if (open?.has(request.model.key) === false) this.#borrowed.set(thread, request.model.key)
    open?.use(request.model.key, this.#openings.runs)
    this.#measuring.add(thread)
    const { packed: inputs, transfer } = packTensors(request.inputs)
    return thread.send({ ...request, inputs }, transfer).finally(() => {
      this.#measuring.delete(thread)
      this.dispatch()
    })
  }

  /** Closes models that were opened to be measured, where no other run has used them since. */
  async endMeasuring(): Promise<void> {
    const borrowed = [...this.#borrowed]
    this.#borrowed.clear()
    for (const [thread, key] of borrowed)
      if (this.#crew.threads.get(thread)?.delete(key) === true) await thread.send({ kind: 'unload', key }, [])
  }

  /** Gives up a thread: its run rejects with `error`, what is behind it waits again, before all others. */
  forsake(thread: ThreadHandle, error: PeltonError): void {
    const { current } = thread
    const jobs = [...(this.#sent.get(thread) ?? [])]
    this.#sent.delete(thread)
    this.#crew.forsake(thread)
    for (const { job, sent } of jobs) if (sent === current?.request) job.reject(error)
    this.#waiting.unshift(...jobs.filter(({ sent }) => sent !== current?.request).map(({ job }) => job))
    this.dispatch()
  }

  /** Rejects what waits. */
  refuse(error: PeltonError): void {
    this.#wakeIn(undefined)
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }

  #choose({ request, isUrgent }: Pick<Job, 'request' | 'isUrgent'>): ThreadHandle | undefined {
    const threads = [...this.#crew.threads.keys()]
    const slots = threads.map((thread) => this.#slotOf(thread, request.model.key))
    const at = chooseSlot(slots, isUrgent)
    return at === undefined ? undefined : threads[at]
  }

  /** Whether a job waits a moment longer, for a thread that has its model open: this one has not. */
  #waitsForAnother(job: Job, thread: ThreadHandle): boolean {
    const { key } = job.request.model
    const isOpen = this.#slotOf(thread, key).isOpen
    const others = isOpen ? [] : [...this.#crew.threads.keys()].map((other) => this.#slotOf(other, key))
    // Held up or not: it waits no longer than opening the model takes.
    const isOpenElsewhere = others.some((other) => other.isOpen)
    const nowMs = this.#nowMs()
    const waitedMs = job.waitsSinceMs === undefined ? 0 : nowMs - job.waitsSinceMs
    const restMs = isOpenElsewhere ? this.#patienceMs(key, thread) - waitedMs : 0
    if (restMs <= 0) {
      this.#openings.waited(key, job.passedIdle === true ? waitedMs : 0)
      return false
    }
    job.waitsSinceMs ??= nowMs
    job.passedIdle ||= thread.inFlight === 0
    this.#wakeIn(Math.min(restMs, this.#wake?.inMs ?? restMs))
    return true
  }

  /** How long a run waits for another thread than this one, which would have to open its model. */
  #patienceMs(key: string, thread: ThreadHandle): number {
    const nextToGo = this.#crew.threads.get(thread)?.nextToGo
    const isWorthIt = nextToGo === undefined || this.#openings.mayReplace(key, nextToGo)
    return isWorthIt ? this.#openings.patienceMs(key) : LONG_RUN_MS
  }

  #wakeIn(inMs: number | undefined): void {
    if (inMs === this.#wake?.inMs) return
    clearTimeout(this.#wake?.timer)
    this.#wake = inMs === undefined ? undefined : { timer: setTimeout(() => this.dispatch(), inMs), inMs }
  }

  #slotOf(thread: ThreadHandle, key: string): Slot {
    const { inFlight, current } = thread
    const isPatient =
      this.#measuring.has(thread) || (this.#sent.get(thread) ?? []).some(({ job }) => !job.isUrgent)
    const isLong = current !== undefined && this.#nowMs() - current.sinceMs > LONG_RUN_MS
    const open = this.#crew.threads.get(thread)
    return {
      inFlight,
      isHeldUp: isPatient || isLong,
      isOpen: open?.has(key) === true,
      models: open?.size ?? 0,
    }
  }

  #send(thread: ThreadHandle, job: Job): void {
    const { key } = job.request.model
    this.#crew.threads.get(thread)?.use(key, this.#openings.ran(key))
    if (this.#borrowed.get(thread) === key) this.#borrowed.delete(thread)
    // Behind another run it may have to be sent again: then its inputs must still be here.
    const { packed: inputs, transfer } = packTensors(job.request.inputs, thread.inFlight > 0)
    const one = { job, sent: { ...job.request, inputs } }
    const jobs = this.#sent.get(thread) ?? []
    this.#sent.set(thread, jobs)
    jobs.push(one)
    const answered = (tell: () => void): void => {
      jobs.splice(jobs.indexOf(one), 1)
      // A thread that was forsaken may answer yet: its runs have been seen to.
      if (this.#sent.get(thread) !== jobs) return
      tell()
      this.dispatch()
    }
    thread.send(one.sent, transfer).then(
      ({ outputs, runMs = 0 }) => {
        this.#onRan(job.request, runMs)
        answered(() => job.resolve(outputs))
      },
      (error) => answered(() => job.reject(error)),
    )
  }
}
