import { readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { SCENARIO_NAMES } from './options.ts'
import { PAGE as BENCHMARKS, withTables } from './page.ts'

const PAGE = 'before\n<!-- bench peers -->\nold\n<!-- end of bench peers -->\nafter\n'

it('what lies between the marks of a scenario is replaced, and nothing else', () => {
  const once = withTables(PAGE, 'peers', ['| new |'])
  expect(once).toBe('before\n<!-- bench peers -->\n\n| new |\n\n<!-- end of bench peers -->\nafter\n')
  expect(withTables(once, 'peers', ['| new |'])).toBe(once)
})

it('a page without the marks is refused', () => {
  expect(() => withTables(PAGE, 'sdk', [])).toThrow('<!-- bench sdk -->')
})

it.each(SCENARIO_NAMES)('docs/benchmarks.md has a place for the tables of %s', async (scenario) => {
  expect(withTables(await readFile(BENCHMARKS, 'utf8'), scenario, ['| new |'])).toContain('| new |')
})
