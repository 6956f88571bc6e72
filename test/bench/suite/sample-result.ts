import type { Figures } from '../compare/figures.ts'
import type { ScenarioResult, SubjectRun } from './result.ts'

/** A result for tests: figures of each subject by round. */
export function sampleResult(
  figures: Readonly<Record<string, readonly Figures[]>>,
  more: Partial<ScenarioResult> = {},
): ScenarioResult {
  return {
    scenario: 'peers',
    title: 'Peers',
    told: { profile: 'process' },
    subjects: Object.keys(figures).map((name) => ({
      name,
      title: `who ${name} is`,
      settings: 'as it comes',
    })),
    absent: [],
    runs: Object.entries(figures).flatMap(([subject, rounds]) =>
      rounds.map((each, round): SubjectRun => ({ subject, round, figures: each, conditions: {} })),
    ),
    ...more,
  }
}
