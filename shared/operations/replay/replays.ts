import type { DeadLetterFilter } from '../dead-letters/filter.ts'
import type { OpsStore } from '../records/store.ts'
import { planReplay, type ReplayPlan } from './plan.ts'
import { type ReplayProgress, runReplay } from './runner.ts'
import { askFor, createTask, type TakingDeps, takeTask } from './taking.ts'
import type { KeptTask, ReplayOptions, ReplayTask } from './task.ts'

/** The operator who asks for it, and how the process that runs a replay takes part. */
export interface ReplayRun {
  /** The operator, for the record. */
  readonly by: string
  /** Pauses the task: what was sent is waited for, a few seconds at most. */
  readonly signal: AbortSignal
  /** Told five times a second. @default nothing is told */
  readonly onProgress?: (progress: ReplayProgress) => void
  /**
   * Awaited right before the task is written with `runner`, of this process, as the one that runs it: whatever ends the
   * process from then on, what was written here says who it was.
   */
  readonly onTake?: (id: string, runner: string) => Promise<void>
}

/** Which dead letters to replay, and how. */
export interface ReplayRequest {
  readonly filter: DeadLetterFilter
  /** @default all of {@link DEFAULT_OPTIONS} */
  readonly options?: Partial<ReplayOptions>
}

/** A replay that runs in this process. */
export interface RunningReplay {
  /** As it was when it began: its id, what it will do. */
  readonly task: ReplayTask
  /**
   * Resolves when it is done, paused or cancelled. Rejects with PeltonError `conflict` when another process took it
   * over, `broker-unavailable` when it could not go on: then it may be resumed.
   */
  readonly ended: Promise<ReplayTask>
}

/** How a replay runs where nothing else is asked for: in the lane `low`, slowly at first, and paused when half fail. */
export const DEFAULT_OPTIONS: ReplayOptions = {
  lane: 'low',
  rate: 100,
  rampSeconds: 10,
  inFlight: 256,
  maxFailureShare: 0.5,
  keepDeadline: false,
}

/** What can be changed when a replay is resumed. */
export type ReplayChange = Partial<Pick<ReplayOptions, 'rate' | 'maxFailureShare'>>

/** Counts what a replay would do; changes nothing. @throws PeltonError `broker-unavailable` */
export function plan(
  { connection }: Pick<OpsStore, 'connection'>,
  { filter, options }: ReplayRequest,
): Promise<ReplayPlan> {
  return planReplay(connection, filter, { ...DEFAULT_OPTIONS, ...options })
}

/**
 * Makes a task and runs it in this process. `running` is undefined when there is nothing to send.
 *
 * @param onPlan told what it will do before anything is sent; what it awaits is waited for
 */
export async function start(
  store: OpsStore,
  { filter, options }: ReplayRequest,
  run: ReplayRun & { readonly onPlan?: (plan: ReplayPlan) => void },
): Promise<{ readonly plan: ReplayPlan; readonly running: RunningReplay | undefined }> {
  const whole = { ...DEFAULT_OPTIONS, ...options }
  const found = await planReplay(store.connection, filter, whole)
  run.onPlan?.(found)
  if (found.sent === 0 || run.signal.aborted) return { plan: found, running: undefined }
  const kept = await createTask(takingDeps(store, run), filter, whole, found)
  return { plan: found, running: work(store, kept, run) }
}

/**
 * Goes on with a paused task, or one whose process is gone (found out within seconds), in this process.
 *
 * @throws PeltonError `invalid-argument` when there is none, `conflict` when it is over or another process runs it
 */
export async function resume(
  store: OpsStore,
  id: string,
  run: ReplayRun & { readonly change?: ReplayChange },
): Promise<RunningReplay> {
  return work(store, await takeTask(takingDeps(store, run), id, run.change), run)
}

/**
 * Pauses or cancels a task, whichever process runs it, and waits until it has. Where its process is gone, this one ends
 * what that one left.
 *
 * @throws PeltonError `invalid-argument` when there is none, `conflict` when it is over
 */
export async function halt(
  store: OpsStore,
  id: string,
  state: 'paused' | 'cancelled',
  run: ReplayRun,
): Promise<ReplayTask> {
  const mine = takingDeps(store, run)
  const obeyed = await askFor(mine, id, state)
  return obeyed ?? work(store, await takeTask(mine, id, {}, state), run).ended
}

function work(store: OpsStore, kept: KeptTask, { signal, onProgress }: ReplayRun): RunningReplay {
  const deps = { ...store, now: () => new Date(), signal, onProgress: onProgress ?? (() => undefined) }
  return { task: kept.value, ended: runReplay(deps, kept) }
}

function takingDeps({ keyValue }: OpsStore, { by, onTake }: ReplayRun): TakingDeps {
  return { keyValue, by, now: () => new Date(), onTake }
}
