import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { ROOT } from './observability-files.ts'

const GLOSSARY = 'docs/glossary.md'
const PAGE = await readFile(`${ROOT}${GLOSSARY}`, 'utf8')

/** The words of the glossary: the first column of its tables. */
const WORDS = [...PAGE.matchAll(/^\| (?!word \||---)([^|]+) \|/gm)].map(([, word = '']) => word)

/** Words of more parts are written apart, joined, or as one: `start mark`, `start-mark`, `startMark`. */
function patternOf(word: string): RegExp {
  return new RegExp(`(?<![a-z])${word.split(/[ -]/).join('[ -]?')}`, 'i')
}

/** The code and the pages, without the glossary, its test, and what was changed when. */
async function texts(): Promise<string> {
  const paths = ['*.ts', '*.md', `:!${GLOSSARY}`, ':!test/drift/glossary.test.ts', ':!CHANGELOG.md']
  const { stdout } = await promisify(execFile)('git', ['ls-files', ...paths], { cwd: ROOT })
  const files = stdout.split('\n').filter((file) => file !== '')
  return (await Promise.all(files.map((file) => readFile(`${ROOT}${file}`, 'utf8').catch(() => '')))).join(
    '\n',
  )
}

test('a word is found however its parts are joined, and not inside another', () => {
  for (const text of ['a start mark', 'startMark(', 'start-mark.ts', 'StartMark'])
    expect(patternOf('start mark').test(text)).toBe(true)
  expect(patternOf('look').test('overlook')).toBe(false)
})

test('the glossary gives each word one meaning', () => {
  expect(WORDS.length).toBeGreaterThan(50)
  expect(WORDS.filter((word, index) => WORDS.indexOf(word) !== index)).toEqual([])
})

test.each([
  ...['hold', 'books', 'floor', 'start mark', 'watch mark', 'failure notice', 'orphan', 'superseded', 'look'],
  ...['act', 'acting', 'wish', 'batch', 'drain rate', 'interceptor', 'ledger', 'register', 'settle'],
])('the glossary has the word `%s`', (word) => {
  expect(WORDS).toContain(word)
})

test('each word of the glossary is used in the code or the pages', async () => {
  const all = await texts()
  expect(WORDS.filter((word) => !patternOf(word).test(all))).toEqual([])
})
