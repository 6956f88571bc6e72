import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { PeltonError } from '../../sdk/errors.ts'
import type { DeadLetterFilter } from '../dead-letters/filter.ts'
import { newId } from '../records/ids.ts'
import type { KeyValue } from '../records/key-value.ts'
import type { ReplayPlan } from './plan.ts'
import {
  isOver,
  type KeptTask,
  keepTask,
  NO_COUNTS,
  type ReplayOptions,
  type ReplayTask,
  readTask,
  withEvent,
} from './task.ts'

/** The process that runs a task writes every second; one that wrote nothing for this long is gone. */
export const SILENCE_MS = 6_000
const LOOK_MS = 250

/** What tasks are taken with. */
export interface TakingDeps {
  readonly keyValue: KeyValue
  /** The operator. */
  readonly by: string
  readonly now: () => Date
  /** Awaited right before a task is written that names `runner`, of this process, as the one that runs it. */
  readonly onTake?: ((id: string, runner: string) => Promise<void>) | undefined
}

/** Makes a task, taken by this process. */
export async function createTask(
  { keyValue, by, now, onTake }: TakingDeps,
  filter: DeadLetterFilter,
  options: ReplayOptions,
  plan: Pick<ReplayPlan, 'sent' | 'upTo'>,
): Promise<KeptTask> {
  const at = now()
  const task: ReplayTask = {
    id: newId(at),
    state: 'running',
    note: '',
    by,
    filter,
    options,
    upTo: plan.upTo,
    total: plan.sent,
    counts: NO_COUNTS,
    createdAt: at.toISOString(),
    updatedAt: at.toISOString(),
    runner: randomUUID(),
    counted: [],
    events: [],
  }
  await onTake?.(task.id, task.runner)
  const kept = await keepTask(keyValue, withEvent(task, by, 'started', at), 0)
  if (kept === undefined) throw busy(task.id, 'a replay of this id exists already')
  return kept
}

/**
 * Takes a paused task, or one whose process is gone, for this process.
 *
 * @param change what shall be different from now on
 * @param wish what is asked of this process at once: to end what is under way, and pause or cancel
 * @throws PeltonError `conflict` when another process runs it, or when it is over
 */
export async function takeTask(
  { keyValue, by, now, onTake }: TakingDeps,
  id: string,
  change: Partial<Pick<ReplayOptions, 'rate' | 'rampSeconds' | 'inFlight' | 'maxFailureShare'>> = {},
  wish?: 'paused' | 'cancelled',
): Promise<KeptTask> {
  const present = await readTask(keyValue, id)
  const { state } = present.value
  if (isOver(present.value)) throw over(present.value)
  if (state === 'running' && (await isAlive(keyValue, present)))
    throw busy(id, 'another process runs this replay')
  const { wish: _wish, halted: _halted, pace: _pace, ...task } = present.value
  const taken: ReplayTask = {
    ...task,
    state: 'running',
    note: '',
    runner: randomUUID(),
    options: { ...task.options, ...change },
    ...(wish !== undefined && { wish: { state: wish, by } }),
  }
  const what = state === 'paused' ? 'resumed' : 'resumed: the process that ran it was gone'
  await onTake?.(id, taken.runner)
  const kept = await keepTask(keyValue, withEvent(taken, by, what, now()), present.revision)
  if (kept === undefined) throw busy(id, 'another process took or changed this replay just now')
  return kept
}

/**
 * Asks the process that runs a task to pause or cancel it, and waits until it has. `undefined` when no process runs it:
 * then the caller is to take it.
 */
export async function askFor(
  { keyValue, by, now }: TakingDeps,
  id: string,
  state: 'paused' | 'cancelled',
): Promise<ReplayTask | undefined> {
  for (;;) {
    const present = await readTask(keyValue, id)
    if (isOver(present.value)) throw over(present.value)
    if (present.value.state !== 'running') return undefined
    const asked = withEvent({ ...present.value, wish: { state, by } }, by, `asked for: ${state}`, now())
    const kept = await keepTask(keyValue, asked, present.revision)
    if (kept !== undefined) return isObeyed(keyValue, kept)
  }
}

async function isObeyed(keyValue: KeyValue, asked: KeptTask): Promise<ReplayTask | undefined> {
  for (let seen = asked, silentMs = 0; silentMs < SILENCE_MS; silentMs += LOOK_MS) {
    await sleep(LOOK_MS)
    const present = await readTask(keyValue, asked.value.id)
    if (present.value.state !== 'running') return present.value
    if (present.revision !== seen.revision) silentMs = 0
    seen = present
  }
  return undefined
}

/** Whether a process writes the task: needs no clock but our own. */
async function isAlive(keyValue: KeyValue, seen: KeptTask): Promise<boolean> {
  for (let silentMs = 0; silentMs < SILENCE_MS; silentMs += LOOK_MS) {
    await sleep(LOOK_MS)
    if ((await readTask(keyValue, seen.value.id)).revision !== seen.revision) return true
  }
  return false
}

function busy(id: string, description: string): PeltonError {
  return new PeltonError('conflict', description, {
    field: 'task',
    value: id,
    remedy: `Watch it with \`pelton replay status ${id}\`, or pause it first.`,
  })
}

function over({ id, state }: ReplayTask): PeltonError {
  return new PeltonError('conflict', `this replay is ${state}`, {
    field: 'task',
    value: id,
    remedy: 'Start another with `pelton replay start`.',
  })
}
