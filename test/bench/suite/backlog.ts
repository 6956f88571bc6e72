import { PEAK_MEMORY, RATE } from '../compare/figures.ts'
import { limit, type Ratio, ratio } from './bars.ts'
import { measureWorker } from './on-jetstream.ts'
import type { BenchOptions } from './options.ts'
import type { ScenarioResult, Subject } from './result.ts'
import { measureAll } from './rounds.ts'
import type { Workplace } from './workplace.ts'

const WARM_UP = 10_000

/** A worker that finds few, and one that finds many waiting events: as fast, and no larger? */
export async function measureBacklog(
  workplace: Workplace,
  { rounds, small, large }: BenchOptions,
): Promise<ScenarioResult[]> {
  const truth = await workplace.truth()
  // All of one model and lane.
  const topology = { featuresMaxPerSubject: large, featuresMaxMessages: 2 * large }
  const subjects = { small, large }
  const measurables = Object.entries(subjects).map(([name, waiting]) => {
    const warmUp = Math.min(WARM_UP, Math.ceil(waiting / 4))
    const load = { warmUp, events: waiting - warmUp, topology, truth }
    return { name, measure: () => measureWorker(workplace, load) }
  })
  return [
    {
      scenario: 'backlog',
      title: 'Backlog',
      told: { small, large, rounds },
      subjects: Object.entries(subjects).map(([name, waiting]): Subject => {
        return { name, title: `${waiting} waiting events`, settings: 'all of them drained' }
      }),
      absent: [],
      runs: await measureAll(workplace, rounds, measurables),
    },
  ]
}

export function backlogRatios(result: ScenarioResult): Ratio[] {
  return [
    ...ratio(result, RATE, ['large', 'small'], { kind: 'at least', bar: 0.95 }),
    ...ratio(result, PEAK_MEMORY, ['large', 'small'], { kind: 'at most', bar: 1.05 }),
    ...limit(result, PEAK_MEMORY, 'large', { kind: 'at most', bar: 250 }),
  ]
}
