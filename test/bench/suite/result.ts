import type { Measured } from '../compare/figures.ts'
import { type Spread, spreadOf } from '../compare/statistics.ts'

/** Somebody or something that is measured. */
export interface Subject {
  readonly name: string
  readonly title: string
  /** Versions and settings, for people. */
  readonly settings: string
  /** What one could take instead: neither Pelton, nor what the machine allows. */
  readonly isPeer?: boolean
}

export interface SubjectRun extends Measured {
  readonly subject: string
  /** From 0. */
  readonly round: number
}

/** What one scenario came to. */
export interface ScenarioResult {
  readonly scenario: string
  readonly title: string
  /** What it was told, for people and for who compares. */
  readonly told: Readonly<Record<string, string | number>>
  readonly subjects: readonly Subject[]
  /** Who could not take part, and why. */
  readonly absent: readonly { readonly name: string; readonly reason: string }[]
  readonly runs: readonly SubjectRun[]
}

/** A figure, or a condition, of a subject in each round that counts. */
export function valuesOf(
  runs: readonly SubjectRun[],
  subject: string,
  figure: string,
): readonly { readonly round: number; readonly value: number }[] {
  return runs.flatMap((run) => {
    const value = run.figures[figure] ?? run.conditions[figure]
    const counts = run.subject === subject && run.void === undefined && value !== undefined
    return counts ? [{ round: run.round, value }] : []
  })
}

/** @returns `undefined` where no run that counts has it */
export function spreadOfFigure(
  runs: readonly SubjectRun[],
  subject: string,
  figure: string,
): Spread | undefined {
  return spreadOf(valuesOf(runs, subject, figure).map(({ value }) => value))
}

/** Names of all figures, or of all conditions, in the order they come. */
export function namesOf(runs: readonly SubjectRun[], part: 'figures' | 'conditions'): readonly string[] {
  return [...new Set(runs.flatMap((run) => Object.keys(run[part])))]
}

/** One by the other, of each round by itself: what the machine does slowly hits both. */
export function ratioOf(
  runs: readonly SubjectRun[],
  figure: string,
  subject: string,
  by: string,
): Spread | undefined {
  const others = new Map(valuesOf(runs, by, figure).map(({ round, value }) => [round, value]))
  const ratios = valuesOf(runs, subject, figure).flatMap(({ round, value }) => {
    const other = others.get(round)
    return other === undefined || other === 0 ? [] : [value / other]
  })
  return spreadOf(ratios)
}
