import type { Lane } from '../../sdk/contract/subjects.ts'
import { PeltonError } from '../../sdk/errors.ts'
import type { DeadLetterFilter } from '../dead-letters/filter.ts'
import type { KeptValue, KeyValue } from '../records/key-value.ts'
import type { HaltCause } from './halt.ts'

/** How a replay sends. Kept with its task: a run after the first goes by them, too. */
export interface ReplayOptions {
  /** Lane the events go to. @default 'low' */
  readonly lane: Lane
  /** Events a second, once the ramp is over. */
  readonly rate: number
  /** Seconds until the full rate; 0 for at once. */
  readonly rampSeconds: number
  /** Events without an outcome at most. */
  readonly inFlight: number
  /** Events replayed at most; undefined for all. */
  readonly cap?: number
  /** Share of failures among the last outcomes beyond which the task pauses itself: 0 to 1. */
  readonly maxFailureShare: number
  /** Model version that shall answer; undefined for the one that is served as stable. */
  readonly modelVersion?: string
  /** Keep `ce-expirytime` as it is, also where it has passed. */
  readonly keepDeadline: boolean
  /** Do not ask for the model version a producer asked for. @default false */
  readonly dropVersion?: boolean
  /** Send those, too, whose caller asked again since and has another event for it. @default false */
  readonly superseded?: boolean
  /** A JSON Patch (RFC 6902) for each payload, as text: numbers keep every digit. */
  readonly patch?: string
}

/**
 * `running`: a process works on it, or did until it was killed. `paused`: may be resumed. `cancelled` and `done` are
 * final.
 */
export type ReplayState = 'running' | 'paused' | 'cancelled' | 'done'

/** Whether nothing can happen to a task any more. */
export function isOver({ state }: Pick<ReplayTask, 'state'>): boolean {
  return state === 'done' || state === 'cancelled'
}

/** How the dead letters of a task ended so far. */
export interface ReplayCounts {
  readonly predicted: number
  /** Failed again: each is a new dead letter. */
  readonly failed: number
  /** Had a prediction already: nothing was sent, the dead letter was removed. */
  readonly superseded: number
  /**
   * Passed over in the last run: would fail again, held by others, unreadable, too large, a patch that does not fit.
   */
  readonly skipped: Readonly<Record<string, number>>
}

/** How a run goes, as of its last sign. */
export interface TaskPace {
  /** Outcomes a second in this run. */
  readonly eventsPerSecond: number
  readonly underWay: number
  /** Milliseconds until the end at this rate; undefined before there is a rate. */
  readonly etaMs?: number
}

/** A replay as it is kept in the bucket `pelton-replays`. Times are RFC 3339. */
export interface ReplayTask {
  readonly id: string
  readonly state: ReplayState
  /** Why it is in this state. */
  readonly note: string
  readonly by: string
  readonly filter: DeadLetterFilter
  readonly options: ReplayOptions
  /** Last sequence of DEADLETTERS when it began: what fails later is not its concern. */
  readonly upTo: number
  /** Dead letters that matched when it began. */
  readonly total: number
  readonly counts: ReplayCounts
  readonly createdAt: string
  readonly updatedAt: string
  /** The process that runs it: a new one for each run. */
  readonly runner: string
  /** Undefined while no process runs it. */
  readonly pace?: TaskPace
  /** Why its last run ended early; undefined while it runs, and for one that is done. */
  readonly halted?: HaltCause
  /** Asked of the process that runs it. */
  readonly wish?: { readonly state: 'paused' | 'cancelled'; readonly by: string }
  /** Holds of this task whose outcome stands in `counts` already. */
  readonly counted: readonly string[]
  /** What happened to the task, oldest first. */
  readonly events: readonly { readonly at: string; readonly by: string; readonly what: string }[]
}

/** A task, and the revision that a change has to name. */
export type KeptTask = KeptValue<ReplayTask>

const MAX_EVENTS = 50
/** The counts of a task that has just begun. */
export const NO_COUNTS: ReplayCounts = { predicted: 0, failed: 0, superseded: 0, skipped: {} }

/** The task after something happened to it. */
export function withEvent(task: ReplayTask, by: string, what: string, now: Date): ReplayTask {
  const event = { at: now.toISOString(), by, what }
  return { ...task, updatedAt: event.at, events: [...task.events, event].slice(-MAX_EVENTS) }
}

/** Dead letters of the task whose end is known. */
export function ended({ predicted, failed, superseded }: ReplayCounts): number {
  return predicted + failed + superseded
}

/** Key of a task in the bucket `pelton-replays`. */
export const taskKey = (id: string): string => `task.${id}`

/** @throws PeltonError `invalid-argument` when there is no such task */
export async function readTask(keyValue: KeyValue, id: string): Promise<KeptTask> {
  const task = /^[\w-]{1,64}$/.test(id) ? await keyValue.get<ReplayTask>(taskKey(id)) : undefined
  if (task !== undefined) return task
  const details = { field: 'task', value: id, remedy: 'Take one of `pelton replay list`.' }
  throw new PeltonError('invalid-argument', 'there is no such replay', details)
}

/** Whether an error says that there is no such task: no mistake in what was asked, but an answer. */
export function isNoSuchTask(thrown: unknown): thrown is PeltonError {
  return (
    thrown instanceof PeltonError && thrown.code === 'invalid-argument' && thrown.details.field === 'task'
  )
}

/** @returns the task as it is kept now, or `undefined` when another process changed it in between */
export async function keepTask(
  keyValue: KeyValue,
  task: ReplayTask,
  expected: number,
): Promise<KeptTask | undefined> {
  const revision = await keyValue.put(taskKey(task.id), task, expected)
  return revision === undefined ? undefined : { key: taskKey(task.id), revision, value: task }
}

/** All tasks, oldest first. */
export async function listTasks(keyValue: KeyValue): Promise<ReplayTask[]> {
  const tasks: ReplayTask[] = []
  for await (const { value } of keyValue.list<ReplayTask>('task')) tasks.push(value)
  return tasks.sort((a, b) => (a.id < b.id ? -1 : 1))
}
