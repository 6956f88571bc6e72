import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** The last cell of each row with three: `file › test`, or only `file`. */
async function namedTests(): Promise<{ readonly file: string; readonly name: string | undefined }[]> {
  const page = await readFile(`${ROOT}/docs/delivery.md`, 'utf8')
  return [...page.matchAll(/\| (\w+\/[\w-]+)(?: › ([^|]+?))? \|$/gm)].map(([, file = '', name]) => ({
    file: `test/${file}.test.ts`,
    name,
  }))
}

describe('docs/delivery.md', async () => {
  const named = await namedTests()

  test('has a test in each row of its failure tables', async () => {
    const page = await readFile(`${ROOT}/docs/delivery.md`, 'utf8')
    const [failures = ''] = page.split('## What an acknowledgement is worth')
    const rows = failures.split('\n').filter((line) => /^\| (?!what happens)\S/.test(line))
    expect(named).toHaveLength(rows.length)
  })

  test.each(named)('$file › $name is there', async ({ file, name }) => {
    const source = await readFile(`${ROOT}/${file}`, 'utf8')
    if (name !== undefined) expect(source).toContain(name)
  })
})
