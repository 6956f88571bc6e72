import type { ReplayTask } from './task.ts'

/**
 * Why a run ended early. `interruption`: its process was told to stop, which says nothing about the task. `failures`:
 * too many failed again. `wish`: an operator asked for it.
 */
export type HaltCause = 'interruption' | 'failures' | 'wish'

/** How a run was told to end. */
export interface Halt {
  readonly cause: HaltCause
  readonly state: 'paused' | 'cancelled'
  readonly by: string
  readonly note: string
}

const RANK: Readonly<Record<HaltCause, number>> = { interruption: 0, failures: 1, wish: 2 }

/** The one of two that counts: what was decided about the task, and of two wishes the later one. */
export function strongerHalt(present: Halt | undefined, next: Halt): Halt {
  if (present === undefined) return next
  const isStronger = RANK[next.cause] > RANK[present.cause]
  return isStronger || (next.cause === 'wish' && present.cause === 'wish') ? next : present
}

/** What an operator asked of the run; undefined where none did. */
export function wishedHalt({ wish }: Pick<ReplayTask, 'wish'>): Halt | undefined {
  return wish && { cause: 'wish', ...wish, note: `${wish.state} by ${wish.by}` }
}
