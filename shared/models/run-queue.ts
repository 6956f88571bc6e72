import type { Tensor } from '../sdk/contract/tensor.ts'
import type { PeltonError } from '../sdk/errors.ts'
import { packTensors } from './packed-tensors.ts'
import { chooseSlot, LONG_RUN_MS, type Slot } from './slots.ts'
import type { ThreadCrew } from './thread-crew.ts'
import type { ThreadHandle } from './thread-handle.ts'
import type { SentRequest, ThreadRequest } from './thread-messages.ts'

export type RunRequest = ThreadRequest & { readonly kind: 'run' }

interface Job {
  readonly request: RunRequest
  readonly isUrgent: boolean
  readonly resolve: (outputs: readonly Tensor[]) => void
  readonly reject: (error: PeltonError) => void
}

/** A job in a thread's hands, and what the thread was sent for it. */
interface SentJob {
  readonly job: Job
  readonly sent: SentRequest
}

/** Runs that wait for a thread they may take, and those that have one. A run that may not go now holds back none behind it. */
export class RunQueue {
  readonly #crew: ThreadCrew
  readonly #nowMs: () => number
  readonly #waiting: Job[] = []
  /** In the order they were sent. */
  readonly #sent = new WeakMap<ThreadHandle, Set<SentJob>>()

  /** @param nowMs the clock of the crew */
  constructor(crew: ThreadCrew, nowMs: () => number) {
    this.#crew = crew
    this.#nowMs = nowMs
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
    // What one of its kind cannot get now, no later one can.
    const open = { urgent: true, patient: true }
    for (let at = 0; at < this.#waiting.length && (open.urgent || open.patient); ) {
      const job = this.#waiting[at] as Job
      const kind = job.isUrgent ? 'urgent' : 'patient'
      const thread = open[kind] ? this.#choose(job) : undefined
      if (thread === undefined) {
        open[kind] = false
        at++
      } else {
        this.#waiting.splice(at, 1)
        this.#send(thread, job)
      }
    }
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
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }

  #choose({ request, isUrgent }: Job): ThreadHandle | undefined {
    const threads = [...this.#crew.threads.keys()]
    const slots = threads.map((thread) => this.#slotOf(thread, request.model.key))
    const at = chooseSlot(slots, isUrgent)
    return at === undefined ? undefined : threads[at]
  }

  #slotOf(thread: ThreadHandle, key: string): Slot {
    const { inFlight, current } = thread
    const isPatient = [...(this.#sent.get(thread) ?? [])].some(({ job }) => !job.isUrgent)
    const isLong = current !== undefined && this.#nowMs() - current.sinceMs > LONG_RUN_MS
    const isOpen = this.#crew.threads.get(thread)?.has(key) === true
    return { inFlight, isHeldUp: isPatient || isLong, isOpen }
  }

  #send(thread: ThreadHandle, job: Job): void {
    this.#crew.threads.get(thread)?.add(job.request.model.key)
    // Behind another run it may have to be sent again: then its inputs must still be here.
    const { packed: inputs, transfer } = packTensors(job.request.inputs, thread.inFlight > 0)
    const one = { job, sent: { ...job.request, inputs } }
    const jobs = this.#sent.get(thread) ?? new Set()
    this.#sent.set(thread, jobs.add(one))
    const answered = (tell: () => void): void => {
      jobs.delete(one)
      // A thread that was forsaken may answer yet: its runs have been seen to.
      if (this.#sent.get(thread) !== jobs) return
      tell()
      this.dispatch()
    }
    thread.send(one.sent, transfer).then(
      (outputs) => answered(() => job.resolve(outputs)),
      (error) => answered(() => job.reject(error)),
    )
  }
}
