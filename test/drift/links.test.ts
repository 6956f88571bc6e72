import { execFile } from 'node:child_process'
import { readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path/posix'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { ROOT } from './observability-files.ts'

const { stdout } = await promisify(execFile)('git', ['ls-files', '*.md'], { cwd: ROOT })
const pages = stdout.split('\n').filter((page) => page !== '')

const read = (page: string): Promise<string> => readFile(`${ROOT}${page}`, 'utf8')

/** A page without its blocks of code. */
const withoutBlocks = (text: string): string => text.replaceAll(/^( *)```.*?^\1```$/gms, '')

/** Where links into a page may point: its headings, as GitHub makes anchors of them. */
function anchorsOf(text: string): ReadonlySet<string> {
  const anchors = new Set<string>()
  for (const [, heading = ''] of withoutBlocks(text).matchAll(/^#{1,6} (.+)$/gm)) {
    const said = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const anchor = said.replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, '').replaceAll(' ', '-')
    let unique = anchor
    for (let count = 1; anchors.has(unique); count++) unique = `${anchor}-${count}`
    anchors.add(unique)
  }
  return anchors
}

/** Targets of the links of a page that lead into this repository. */
function linksOf(text: string): readonly string[] {
  const prose = withoutBlocks(text).replaceAll(/`[^`\n]*`(?!\])/g, '')
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = '']) =>
    /^\w+:/.test(target) ? [] : [target],
  )
}

test('every relative link leads to a file, and every anchor to a heading', async () => {
  const broken: string[] = []
  let count = 0
  for (const page of pages) {
    for (const link of linksOf(await read(page))) {
      count++
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? page : join(dirname(page), decodeURIComponent(path))
      const found = await stat(`${ROOT}${target}`).catch(() => undefined)
      if (found === undefined) broken.push(`${page}: ${link}: no such file`)
      else if (anchor !== undefined && !anchorsOf(await read(target)).has(anchor))
        broken.push(`${page}: ${link}: no such heading`)
    }
  }
  expect(broken).toEqual([])
  expect(count).toBeGreaterThan(100)
})

test('no page has a line that only holds the place of something to come', async () => {
  const left: string[] = []
  for (const page of pages) {
    for (const line of withoutBlocks(await read(page)).split('\n'))
      if (/^(?:\W*\b(?:TODO|TBD|FIXME|XXX)\b|[A-Z][A-Z0-9_ ]*$)/.test(line.trim()))
        left.push(`${page}: ${line}`)
  }
  expect(left).toEqual([])
})
