import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { ROOT } from './observability-files.ts'

const read = (page: string): Promise<string> => readFile(`${ROOT}${page}`, 'utf8')

/** The code of a fenced block by the words behind its fence, `ts producer`. */
function block(page: string, name: string): string | undefined {
  return new RegExp(`^\`\`\`${name}\\n(.*?)^\`\`\`$`, 'ms').exec(page)?.[1]
}

// test/packaging/sdk.test.ts compiles and runs those of the SDK's README, test/integration/sdk-protocol.test.ts that of
// the protocol, test/integration/http-page.test.ts those over HTTP.
test.each([
  ['ts producer', 'shared/sdk/README.md'],
  ['ts subscriber', 'shared/sdk/README.md'],
  ['sh nats', 'docs/protocol.md'],
  ['sh curl', 'docs/http.md'],
  ['json answer', 'docs/http.md'],
])('the README has `%s` as it is run from %s', async (name, tested) => {
  const code = block(await read(tested), name)
  expect(code).toMatch(/\S/)
  expect(block(await read('README.md'), name)).toBe(code)
})

test('the figures the README names stand in docs/benchmarks.md', async () => {
  const [, section = ''] = (await read('README.md')).split(/^## Measured$/m)
  const rows = section.split(/^## /m)[0]?.match(/^\| (?!what|---).*$/gm) ?? []
  const benchmarks = await read('docs/benchmarks.md')
  expect(rows.length).toBeGreaterThan(2)
  for (const row of rows) {
    const [, , figures = ''] = row.split('|')
    for (const [figure] of figures.matchAll(/\d[\d,.]*/g)) expect(benchmarks, row).toContain(figure)
  }
})
