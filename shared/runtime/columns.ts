import { printable, widthOf } from './printable.ts'

/** Pads each cell but the last of a row to the widest of its column, by what is shown of it: see {@link printable}. */
export function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const shown = rows.map((row) => row.map(printable))
  const widths: number[] = []
  for (const row of shown) {
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, widthOf(cell))
  }
  return shown.map((row) =>
    row
      .map((cell, index) => (index === row.length - 1 ? cell : padded(cell, widths[index] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
}

function padded(cell: string, columns: number): string {
  return cell + ' '.repeat(columns - widthOf(cell))
}
