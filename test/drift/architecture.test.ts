import { readdir, readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { ROOT } from './observability-files.ts'

const read = (page: string): Promise<string> => readFile(`${ROOT}${page}`, 'utf8')

/** Words of a page outside tables, drawings and headings. */
function proseOf(page: string): readonly string[] {
  const lines = page.replaceAll(/^```.*?^```$/gms, '').split('\n')
  return lines.filter((line) => !/^(?:\||#)/.test(line)).flatMap((line) => line.match(/\S+/g) ?? [])
}

/** More is not read on one page: what needs it has a page of its own. */
const MOST_WORDS = 900

test('docs/architecture.md is one page of prose beside its tables', async () => {
  const words = proseOf(await read('docs/architecture.md'))
  expect(words.length).toBeGreaterThan(300)
  expect(words.length).toBeLessThanOrEqual(MOST_WORDS)
})

test('the decisions are numbered one after the other, and each has its parts', async () => {
  const files = (await readdir(`${ROOT}docs/adr`)).sort()
  expect(files.length).toBeGreaterThan(5)
  for (const [index, file] of files.entries()) {
    expect(file).toMatch(new RegExp(`^${String(index + 1).padStart(4, '0')}-[a-z-]+\\.md$`))
    const page = await read(`docs/adr/${file}`)
    expect(page.startsWith(`# ${index + 1}. `), file).toBe(true)
    for (const part of ['Status', 'Context.', 'Decision.', 'Consequences.'])
      expect(page, file).toContain(`**${part}**`)
  }
})

test('the picture of the README names what it shows to those who cannot see it', async () => {
  const [, picture = ''] = /!\[[^\]]{20,}\]\((docs\/[a-z-]+\.svg)\)/.exec(await read('README.md')) ?? []
  const svg = await read(picture)
  const [, named = ''] = /role="img" aria-labelledby="([^"]+)"/.exec(svg) ?? []
  expect(named.split(' ')).toEqual(['title', 'desc'])
  for (const id of named.split(' ')) expect(svg).toMatch(new RegExp(`<${id} id="${id}">[^<]{10,}</${id}>`))
  expect(svg).toContain('prefers-color-scheme: dark')
})
