import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { HERE } from '../compare/checkout.ts'

export const PAGE = join(HERE, 'docs/benchmarks.md')

/** Puts the tables of a scenario into docs/benchmarks.md. */
export async function writeTables(scenario: string, lines: readonly string[]): Promise<void> {
  await writeFile(PAGE, withTables(await readFile(PAGE, 'utf8'), scenario, lines))
}

/**
 * A page with other lines between the marks of a scenario.
 *
 * @throws Error where it has no such marks
 */
export function withTables(page: string, scenario: string, lines: readonly string[]): string {
  const [begin, end] = [`<!-- bench ${scenario} -->`, `<!-- end of bench ${scenario} -->`]
  const from = page.indexOf(begin)
  const to = page.indexOf(end)
  if (from < 0 || to < from) throw new Error(`the page has no ${begin} before an ${end}`)
  return `${page.slice(0, from + begin.length)}\n\n${lines.join('\n')}\n\n${page.slice(to)}`
}
