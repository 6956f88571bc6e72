import type { Logger } from 'pino'
import type { OpsStore } from '../../../shared/operations/records/store.ts'
import type { ReplayPlan } from '../../../shared/operations/replay/plan.ts'
import {
  halt,
  type ReplayChange,
  type ReplayRequest,
  type ReplayRun,
  type RunningReplay,
  resume,
  start,
} from '../../../shared/operations/replay/replays.ts'
import type { ReplayProgress } from '../../../shared/operations/replay/runner.ts'
import { isOver, type ReplayTask, readTask, taskKey } from '../../../shared/operations/replay/task.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'

/**
 * Says that a run of a replay is one of a control service: another one may go on with it. Its key names the task and
 * its `runner`, and it is written before the task is: a task whose runner no record names is run by another process,
 * such as the command line, and never taken over.
 */
interface Hosted {
  /** The operator who started or resumed it here. */
  readonly by: string
}

/** The replays of this control service: each goes on in another one when this one ends. */
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

const PREFIX = 'hosted'
const keyOf = (id: string, runner: string): string => `${PREFIX}.${id}.${runner}`
/**
 * A record that does not fit its task is one of a process that is about to write the task, or one that is of no use any
 * more: the task was never made, is run by another process since, or was paused by an operator. After so long it is the
 * latter.
 */
const GRACE_MS = 10_000

/** @param name of this control service, unique among those that run */
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
  /** Records that do not fit their tasks, and since when, by our own clock. */
  #misfits: ReadonlyMap<string, number> = new Map()
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
    const { plan, running } = await start(this.#store, request, { by, ...this.#run(by) })
    if (running !== undefined) this.#host(running)
    else if (plan.sent > 0) this.#refuseWhenDraining() // it began to stop while this was planned
    return { plan, task: running?.task }
  }

  async resume(id: string, by: string, change: ReplayChange): Promise<ReplayTask> {
    this.#refuseWhenDraining()
    const running = await resume(this.#store, id, { by, change, ...this.#run(by) })
    this.#host(running)
    return running.task
  }

  async halt(id: string, state: 'paused' | 'cancelled', by: string): Promise<ReplayTask> {
    const { keyValue } = this.#store
    await readTask(keyValue, id)
    // From now on no control service goes on with it by itself.
    for await (const { key } of keyValue.list(`${PREFIX}.${id}`)) await this.#forget(key)
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

  /**
   * How a task is taken here: with a record that is there first. Where it then is not taken, the record is a misfit.
   */
  #run(by: string): Omit<ReplayRun, 'by'> {
    return {
      signal: this.#draining.signal,
      onProgress: (progress) => void this.#progress.set(progress.task.id, progress),
      onTake: (id, runner) => this.#keep(keyOf(id, runner), { by }),
    }
  }

  #host(running: RunningReplay): void {
    const { id } = running.task
    this.#progress.set(id, { task: running.task, inFlight: 0, rate: 0, etaMs: undefined })
    const ended: Promise<void> = running.ended
      .then((task) => this.#conclude(task))
      .catch((error: unknown) => this.#log.warn({ err: error, task: id }, 'a replay stopped'))
      .finally(() => {
        this.#progress.delete(id)
        this.#ended.delete(ended)
      })
    this.#ended.add(ended)
  }

  /** The record of a run that was interrupted stays: the next control service goes on with it. */
  async #conclude(task: ReplayTask): Promise<void> {
    const { id, state, note } = task
    this.#log.info({ task: id, state, counts: task.counts }, `replay ${state}: ${note}`)
    if (!isInterrupted(task)) await this.#forget(keyOf(id, task.runner))
  }

  async #adoptAll(): Promise<void> {
    const hosted: { readonly key: string; readonly value: Hosted }[] = []
    for await (const { key, value } of this.#store.keyValue.list<Hosted>(PREFIX)) hosted.push({ key, value })
    const misfits = new Map<string, number>()
    for (const { key, value } of hosted) {
      if (this.#draining.signal.aborted) return
      const [, id = '', runner] = key.split('.')
      const task = (await this.#store.keyValue.get<ReplayTask>(taskKey(id)))?.value
      if (task !== undefined && isOver(task)) await this.#forget(key)
      else if (task?.runner === runner && isLeft(task)) {
        if (!this.#progress.has(id)) await this.#adoptOne(id, key, value)
      } else misfits.set(key, this.#misfits.get(key) ?? performance.now())
    }
    this.#misfits = misfits
    for (const [key, since] of misfits) if (performance.now() - since >= GRACE_MS) await this.#forget(key)
  }

  async #adoptOne(id: string, key: string, { by }: Hosted): Promise<void> {
    try {
      const running = await resume(this.#store, id, { by: this.#name, ...this.#run(by) })
      this.#host(running)
      await this.#forget(key)
      this.#log.info({ task: id }, 'goes on with a replay whose control service ended')
    } catch (thrown) {
      // Another control service runs it, or was faster.
      if (!(thrown instanceof PeltonError) || thrown.code !== 'conflict') throw thrown
    }
  }

  async #keep(key: string, hosted: Hosted): Promise<void> {
    const { keyValue } = this.#store
    for (;;) {
      const present = await keyValue.get(key)
      if ((await keyValue.put(key, hosted, present?.revision ?? 0)) !== undefined) return
    }
  }

  async #forget(key: string): Promise<void> {
    const present = await this.#store.keyValue.get(key)
    if (present !== undefined) await this.#store.keyValue.remove(key, present.revision)
  }

  #refuseWhenDraining(): void {
    if (!this.#draining.signal.aborted) return
    throw new PeltonError('closed', 'this control service is stopping', {
      remedy: 'Ask again once it runs, or use `pelton replay`.',
    })
  }
}

/** Whether a control service is to go on with a task of another that is gone. */
function isLeft(task: ReplayTask | undefined): boolean {
  return task !== undefined && (task.state === 'running' || isInterrupted(task))
}

/** Whether a task was paused only because its process was told to stop: no operator decided anything about it. */
function isInterrupted({ state, halted }: ReplayTask): boolean {
  return state === 'paused' && halted === 'interruption'
}
