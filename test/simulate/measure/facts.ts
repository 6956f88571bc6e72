import { type Setup, simulate } from '../run.ts'
import type { Account } from './account.ts'

/** What a run, or the mean of some, is judged by. */
export interface Facts {
  /** Predictions in time, as a part of what could be carried. */
  readonly goodput: number
  /** Of what was offered in lane `high`, the part in time. */
  readonly highInTime: number
  /** Of what was let in, the part that ended without a run, or too late. */
  readonly lost: number
  /** Of the predictions, milliseconds. */
  readonly p99Ms: number
  /** Of what came of sources that ask for no more than their share, the part that was refused. */
  readonly othersRefused: number
}

const NAMES = ['goodput', 'highInTime', 'lost', 'p99Ms', 'othersRefused'] as const

export function factsOf({ goodput, groups: { all, high, others } }: Account): Facts {
  const letIn = all.sent - all.refusals
  return {
    ...{ goodput, highInTime: high.inTime / high.sent, p99Ms: all.p99Ms },
    lost: letIn === 0 ? 0 : 1 - all.inTime / letIn,
    othersRefused: others.refusals / others.sent,
  }
}

/** The mean of runs that differ in their seed. */
export function meanFacts(setup: (seed: number) => Setup, seeds: readonly number[]): Facts {
  const runs = seeds.map((seed) => factsOf(simulate(setup(seed))))
  const mean = (name: keyof Facts): number => runs.reduce((sum, facts) => sum + facts[name], 0) / runs.length
  return Object.fromEntries(NAMES.map((name) => [name, mean(name)])) as unknown as Facts
}
