import type { Spread } from '../compare/statistics.ts'

/** Cells of a table, its head first. */
export type Table = readonly (readonly string[])[]

/** Lines for a terminal: columns padded, two spaces between. */
export function plainLines(table: Table): string[] {
  const columns = Math.max(0, ...table.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_column, at) =>
    Math.max(...table.map((row) => row[at]?.length ?? 0)),
  )
  return table.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

/** Lines of Markdown. */
export function markdownLines([head = [], ...rows]: Table): string[] {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [
    line(head),
    `|${head.map((_cell, at) => (at === 0 ? ' --- ' : ' ---: ')).join('|')}|`,
    ...rows.map(line),
  ]
}

/** A number with as many digits as it deserves. */
export function numberText(value: number): string {
  if (Math.abs(value) >= 1_000) return Math.round(value).toLocaleString('en-US')
  return value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2)
}

/** Median, and in brackets lowest and highest where there are several. */
export function spreadText(spread: Spread | undefined, text = numberText): string {
  if (spread === undefined) return '–'
  const { min, median, max } = spread
  return min === max ? text(median) : `${text(median)} (${text(min)} … ${text(max)})`
}
