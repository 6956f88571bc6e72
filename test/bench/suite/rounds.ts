import { type Measured, OTHER_WORK, PEAK_MEMORY, RATE, WORKER_CPU } from '../compare/figures.ts'
import type { SubjectRun } from './result.ts'
import type { Workplace } from './workplace.ts'

/** Who is measured in turn, and how. */
export interface Measurable {
  readonly name: string
  measure(): Promise<Measured>
}

/** Each round begins with another one: what drifts steadily favours nobody. */
export async function measureAll(
  { note, signal }: Pick<Workplace, 'note' | 'signal'>,
  rounds: number,
  measurables: readonly Measurable[],
  label = '',
): Promise<SubjectRun[]> {
  const runs: SubjectRun[] = []
  for (let round = 0; round < rounds; round++) {
    const first = round % Math.max(1, measurables.length)
    for (const { name, measure } of [...measurables.slice(first), ...measurables.slice(0, first)]) {
      signal.throwIfAborted()
      const run = { subject: name, round, ...(await measure()) }
      runs.push(run)
      note(`${label}${round + 1}/${rounds} ${name}: ${headline(run)}`)
    }
  }
  return runs
}

const IN_HEADLINE = [RATE, WORKER_CPU, PEAK_MEMORY, OTHER_WORK]

/** What a run came to, in a line. */
function headline({ figures, conditions, void: reason }: SubjectRun): string {
  const all = { ...figures, ...conditions }
  const known = IN_HEADLINE.filter((name) => all[name] !== undefined)
  const shown = (figures[RATE] === undefined ? Object.keys(figures).slice(0, 4) : known).map(
    (name) => `${name} ${all[name]?.toFixed(2)}`,
  )
  return [...shown, ...(reason === undefined ? [] : [`void: ${reason}`])].join(', ')
}
