import { type Punctuality, voidReason } from '../../bench/compare/pacing.ts'

/** What a run is judged by. */
export interface Judged {
  readonly punctuality: Punctuality
  /** Why its account does not close, where it does not. */
  readonly notClosed: string | undefined
  /** Part of the machine that others had meanwhile, 0 to 1. */
  readonly others: number
  /** Events a second in time, where the run offered what its contestant is said to carry; and that. */
  readonly atCapacity?: { readonly goodput: number; readonly capacity: number }
}

/** Of its capacity, what a contestant has to reach when it is offered just that: else the capacity is not its own. */
export const REACHED_SHARE = 0.95
/** With more, what is measured is the machine's other work. */
const MOST_OTHERS = 0.1

/** Why a run does not count; empty where it does. */
export function voidReasons({ punctuality, notClosed, others, atCapacity }: Judged): readonly string[] {
  const late = voidReason(punctuality)
  return [
    ...(late === undefined ? [] : [late]),
    ...(notClosed === undefined ? [] : [`the account does not close: ${notClosed}`]),
    ...(others <= MOST_OTHERS
      ? []
      : [`others had ${percent(others)} of the machine, more than ${percent(MOST_OTHERS)}`]),
    ...(atCapacity === undefined || atCapacity.goodput >= REACHED_SHARE * atCapacity.capacity
      ? []
      : [
          `at its capacity it reached ${percent(atCapacity.goodput / atCapacity.capacity)} of it, less than ${percent(REACHED_SHARE)}`,
        ]),
  ]
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}
