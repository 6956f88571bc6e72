import { readFile, writeFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { manifestTable } from './manifest-table.ts'

const PAGE = new URL('../../docs/models.md', import.meta.url)
const TABLE = /(<!-- manifest: begin -->\n\n)[\s\S]*?(\n\n<!-- manifest: end -->)/

it('stands in docs/models.md as it is here (UPDATE_DOCS=1 writes it)', async () => {
  const page = await readFile(PAGE, 'utf8')
  const current = page.replace(TABLE, (_all, begin, end) => `${begin}${manifestTable()}${end}`)
  if (process.env.UPDATE_DOCS === '1') await writeFile(PAGE, current)
  else expect(page).toBe(current)
  expect(page).toMatch(TABLE)
})

it('has a type and a meaning for every key, and says where each default comes from', () => {
  const [, , ...rows] = manifestTable().split('\n')
  expect(rows.length).toBeGreaterThan(20)
  for (const row of rows) expect(row).toMatch(/^\| `[a-zA-Z.*[\]]+` \| \S.* \| .* \| [A-Z].+ \|$/)
  for (const row of [
    '| `description` | text, at most 2000 characters | empty | What the model is for; for people |',
    '| `batching.maxRows` | integer, 1 to 65536 | `64` | Most rows of one run |',
    '| `inputs.*.feature` | name | required | Name of the feature that fills this column |',
    '| `outputs` | list of name | all of the model | The outputs a prediction carries, in this order |',
  ])
    expect(rows).toContain(row)
})
