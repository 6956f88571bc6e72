import type { Logger } from 'pino'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import type { OpsStore } from '../dead-letters/store.ts'
import type { ReplayPlan } from '../replay/plan.ts'
import {
  halt,
  type ReplayChange,
  type ReplayRequest,
  type RunningReplay,
  resume,
  start,
} from '../replay/replays.ts'
import type { ReplayProgress } from '../replay/runner.ts'
import { type ReplayTask, readTask } from '../replay/task.ts'

/** A replay that runs in a control service. The record outlives the process: another one goes on with it. */
interface Hosted {
  /** The operator who started or resumed it here. */
  readonly by: string
  /** `updatedAt` of the task when a control service paused it in order to stop; else nobody is to go on by itself. */
  readonly drainedAt?: string
}

export interface HostedReplays {
  /** Replays that run in this process. */
  readonly running: readonly ReplayProgress[]
  /** Plans, and starts it in this process. `task` is undefined when there is nothing to send. */
  start(
    request: ReplayRequest,
    by: string,
  ): Promise<{ readonly plan: ReplayPlan; readonly task: ReplayTask | undefined }>
  /** @throws PeltonError `invalid-argument` when there is none, `conflict` when it is over or runs elsewhere */
  resume(id: string, by: string, change: ReplayChange): Promise<ReplayTask>
  /** Pauses or cancels it, wherever it runs. @throws PeltonError `invalid-argument`, `conflict` */
  halt(id: string, state: 'paused' | 'cancelled', by: string): Promise<ReplayTask>
  /** Goes on with those whose control service is gone, or was stopped. */
  adopt(): Promise<void>
  /** Pauses what runs here so that the next control service goes on with it, and waits until it has. */
  drain(): Promise<void>
}

const keyOf = (id: string): string => `hosted.${id}`

export function createHostedReplays(store: OpsStore, log: Logger, name: string): HostedReplays {
  return new Replays(store, log, name)
}

class Replays implements HostedReplays {
  readonly #store: OpsStore
  readonly #log: Logger
  readonly #name: string
  readonly #draining = new AbortController()
  readonly #progress = new Map<string, ReplayProgress>()
  readonly #ended = new Set<Promise<void>>()
  #adopting: Promise<void> | undefined

  constructor(store: OpsStore, log: Logger, name: string) {
    this.#store = store
    this.#log = log
    this.#name = name
  }

  get running(): readonly ReplayProgress[] {
    return [...this.#progress.values()]
  }

  async start(request: ReplayRequest, by: string) {
    this.#refuseWhenDraining()
    const { plan, running } = await start(this.#store, request, { by, ...this.#run() })
    if (running !== undefined) await this.#host(running, by)
    return { plan, task: running?.task }
  }

  async resume(id: string, by: string, change: ReplayChange): Promise<ReplayTask> {
    this.#refuseWhenDraining()
    const running = await resume(this.#store, id, { by, change, ...this.#run() })
    await this.#host(running, by)
    return running.task
  }

  async halt(id: string, state: 'paused' | 'cancelled', by: string): Promise<ReplayTask> {
    await readTask(this.#store.keyValue, id)
    await this.#forget(id) // from now on nobody goes on with it by itself
    return halt(this.#store, id, state, { by, signal: this.#draining.signal })
  }

  /** One at a time: to find out that a process is gone takes seconds. */
  adopt(): Promise<void> {
    this.#adopting ??= this.#adoptAll().finally(() => {
      this.#adopting = undefined
    })
    return this.#adopting
  }

  async drain(): Promise<void> {
    this.#draining.abort()
    await this.#adopting?.catch(() => undefined)
    await Promise.all(this.#ended)
  }

  #run() {
    const onProgress = (progress: ReplayProgress): void => {
      this.#progress.set(progress.task.id, progress)
    }
    return { signal: this.#draining.signal, onProgress }
  }

  async #host(running: RunningReplay, by: string): Promise<void> {
    const { id } = running.task
    this.#progress.set(id, { task: running.task, inFlight: 0, rate: 0, etaMs: undefined })
    const kept = this.#keep(id, { by })
    // A short one may be over before it is kept: what is forgotten then must not be written afterwards.
    const ended: Promise<void> = Promise.all([running.ended, kept])
      .then(([task]) => this.#conclude(task, by))
      .catch((error: unknown) => this.#log.warn({ err: error, task: id }, 'a replay stopped'))
      .finally(() => {
        this.#progress.delete(id)
        this.#ended.delete(ended)
      })
    this.#ended.add(ended)
    await kept
  }

  async #conclude(task: ReplayTask, by: string): Promise<void> {
    const { id, state, note } = task
    this.#log.info({ task: id, state, counts: task.counts }, `replay ${state}: ${note}`)
    if (state === 'paused' && this.#draining.signal.aborted) {
      const isWanted = (await this.#store.keyValue.get<Hosted>(keyOf(id))) !== undefined
      if (isWanted) await this.#keep(id, { by, drainedAt: task.updatedAt })
    } else await this.#forget(id)
  }

  async #adoptAll(): Promise<void> {
    const hosted: { readonly id: string; readonly value: Hosted }[] = []
    for await (const { key, value } of this.#store.keyValue.list<Hosted>('hosted'))
      hosted.push({ id: key.slice('hosted.'.length), value })
    for (const { id, value } of hosted) {
      if (this.#draining.signal.aborted) return
      if (!this.#progress.has(id)) await this.#adoptOne(id, value)
    }
  }

  async #adoptOne(id: string, { by, drainedAt }: Hosted): Promise<void> {
    const task = await this.#store.keyValue.get<ReplayTask>(`task.${id}`)
    const { state = 'cancelled', updatedAt } = task?.value ?? {}
    if (state === 'done' || state === 'cancelled' || (state === 'paused' && drainedAt !== updatedAt))
      return this.#forget(id) // over, or paused by somebody: theirs to resume
    try {
      await this.#host(await resume(this.#store, id, { by: this.#name, ...this.#run() }), by)
      this.#log.info({ task: id }, 'goes on with a replay whose control service ended')
    } catch (thrown) {
      // Another control service runs it, or was faster.
      if (!(thrown instanceof PeltonError) || thrown.code !== 'conflict') throw thrown
    }
  }

  async #keep(id: string, hosted: Hosted): Promise<void> {
    const { keyValue } = this.#store
    for (;;) {
      const present = await keyValue.get(keyOf(id))
      if ((await keyValue.put(keyOf(id), hosted, present?.revision ?? 0)) !== undefined) return
    }
  }

  async #forget(id: string): Promise<void> {
    const present = await this.#store.keyValue.get(keyOf(id))
    if (present !== undefined) await this.#store.keyValue.remove(keyOf(id), present.revision)
  }

  #refuseWhenDraining(): void {
    if (!this.#draining.signal.aborted) return
    throw new PeltonError('closed', 'this control service is stopping', {
      remedy: 'Ask again once it runs, or use `pelton replay`.',
    })
  }
}
