import { median } from '../../scale/stage.ts'

/** One run of one subject. */
export interface Line {
  readonly subject: string
  readonly figures: Readonly<Record<string, number>>
}

/** Medians with the least and the most, a row for each subject in the order they were first met, as a Markdown table. */
export function tableOf(title: string, lines: readonly Line[]): string[] {
  const columns = [...new Set(lines.flatMap(({ figures }) => Object.keys(figures)))]
  const subjects = [...new Set(lines.map(({ subject }) => subject))]
  const cell = (subject: string, column: string): string => {
    const values = lines
      .filter((line) => line.subject === subject)
      .map(({ figures }) => figures[column])
      .filter((value) => value !== undefined)
    return values.length === 0 ? '' : spread(values)
  }
  return [
    `| ${[title, ...columns].join(' | ')} |`,
    `| ${['---', ...columns.map(() => '---:')].join(' | ')} |`,
    ...subjects.map(
      (subject) => `| ${[subject, ...columns.map((column) => cell(subject, column))].join(' | ')} |`,
    ),
  ]
}

function spread(values: readonly number[]): string {
  const [middle, least, most] = [median(values), Math.min(...values), Math.max(...values)].map(shown)
  return values.length === 1 ? `${middle}` : `${middle} (${least} … ${most})`
}

function shown(value: number): string {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3)
}
