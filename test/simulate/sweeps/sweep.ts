import type { Panel, Series } from '../../plots/plot.ts'
import { type Facts, meanFacts } from '../measure/facts.ts'
import type { Setup } from '../run.ts'

/** Seeds that constants are chosen on. Scenarios draw theirs elsewhere: nothing is judged by what it was chosen by. */
export const SWEEP_SEEDS = [1_801, 1_802, 1_803] as const

/** One line of a sweep: runs that differ in one number. */
export interface Line {
  readonly name: string
  readonly setup: (x: number, seed: number) => Setup
  /** @default {@link SWEEP_SEEDS} */
  readonly seeds?: readonly number[]
}

/** How a number is swept. */
export interface Sweep {
  readonly name: string
  /** What the number is. */
  readonly x: string
  readonly xs: readonly number[]
  readonly lines: readonly Line[]
  /** What is looked at. */
  readonly facts: readonly (keyof Facts)[]
  /** What was chosen. */
  readonly chosen?: number
}

/** A sweep, and what came of it. */
export interface Swept extends Sweep {
  /** By line, then by x. */
  readonly found: readonly (readonly Facts[])[]
}

export function runSweep(sweep: Sweep): Swept {
  const found = sweep.lines.map(({ setup, seeds = SWEEP_SEEDS }) =>
    sweep.xs.map((x) => meanFacts((seed) => setup(x, seed), seeds)),
  )
  return { ...sweep, found }
}

/** What facts are called, and how high their axis is at least. */
const FACTS: Readonly<Record<keyof Facts, { readonly title: string; readonly to: number }>> = {
  goodput: { title: 'goodput, as a part of what can be carried', to: 1.1 },
  highInTime: { title: 'high in time, as a part of what was offered', to: 1 },
  lost: { title: 'let in and lost: ended without a run, or too late', to: 0.05 },
  p99Ms: { title: 'p99 of predictions, ms', to: 250 },
  othersRefused: { title: 'refused of those who ask for no more than their share', to: 0.1 },
}

/** A panel for each fact that is looked at. */
export function panelsOf({ name, x, xs, lines, facts, chosen, found }: Swept): readonly Panel[] {
  return facts.map((fact) => ({
    ...{ title: `${name}: ${FACTS[fact].title}`, x, y: '', xTicks: xs, yTo: FACTS[fact].to },
    series: lines.map(
      (line, at): Series => ({
        name: line.name,
        points: xs.map((value, index) => [value, found[at]?.[index]?.[fact] ?? Number.NaN]),
      }),
    ),
    ...(chosen !== undefined && { marks: [{ x: chosen, name: 'chosen' }] }),
  }))
}
