import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

interface Named {
  readonly file: string
  readonly name: string
}

const read = (path: string): Promise<string> => readFile(join(ROOT, path), 'utf8')

const page = await read('docs/delivery.md')
const [failures = ''] = page.split('## What an acknowledgement is worth')
/** The last cell of each row: `file › test`, or a command that measures. */
const shownBy = failures
  .split('\n')
  .filter((line) => /^\| (?!what happens)\S/.test(line))
  .map((line) => line.split(' | ').at(-1)?.replace(/ \|$/, '') ?? '')
const named = shownBy.flatMap((cell): Named[] => {
  const [, file, name] = /^(\w+\/[\w-]+) › (.+)$/.exec(cell) ?? []
  return file === undefined || name === undefined ? [] : [{ file: `test/${file}.test.ts`, name }]
})
const commands = shownBy.flatMap((cell) => /^npm run ([\w:-]+)$/.exec(cell)?.[1] ?? [])

/** Names of the tests of files, without those of the groups around them; those of the full form too. */
async function testNames(files: readonly string[]): Promise<readonly Named[]> {
  const written = await list(files, ['--staticParse'])
  // Names that are made of the cases of a test are known once its file runs, which takes ten times as long.
  const isWritten = (each: Named): boolean => written.some((one) => isSame(one, each))
  const unsure = [
    ...written.filter(({ name }) => /[$%]\w/.test(name)),
    ...named.filter((each) => !isWritten(each)),
  ]
  const made = new Set(unsure.map(({ file }) => file))
  // What depends on the machine is not listed either.
  for (const file of new Set(written.map((each) => each.file)))
    if (/\b(?:skipIf|runIf)\b/.test(await read(file))) made.add(file)
  return [...written.filter(({ file }) => !made.has(file)), ...(await list([...made], []))]
}

async function list(files: readonly string[], options: readonly string[]): Promise<readonly Named[]> {
  const folder = await mkdtemp(join(tmpdir(), 'pelton-tests-'))
  const path = join(folder, 'tests.json')
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs')
  const projects = ['--project', 'faults', '--project', 'integration', '--mode', 'full']
  try {
    const args = [vitest, 'list', ...options, ...projects, `--json=${path}`, ...files]
    await promisify(execFile)(process.execPath, args, {
      cwd: ROOT,
      env: { ...process.env, VITEST: undefined, PELTON_FAULTS_FORM: undefined },
    })
    const found = JSON.parse(await readFile(path, 'utf8')) as Named[]
    return found.map(({ file, name }) => ({ file: relative(ROOT, file), name: withoutGroups(name) }))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function isSame(one: Named, other: Named): boolean {
  return one.file === other.file && one.name === other.name
}

function withoutGroups(name: string): string {
  return name.slice(name.lastIndexOf(' > ') + 1).replace(/^> /, '')
}

describe('docs/delivery.md', () => {
  let tests: readonly Named[] = []

  beforeAll(async () => {
    tests = await testNames(['test/faults/', ...new Set(named.map(({ file }) => file))])
  })

  test('has a test, or a command that measures, in each row of its failure tables', () => {
    expect(shownBy.length).toBeGreaterThan(40)
    expect(named.length + commands.length, shownBy.join('\n')).toBe(shownBy.length)
  })

  test.each(named)('$file › $name is there', async ({ file, name }) => {
    if (tests.some((each) => isSame(each, { file, name }))) return
    // What this machine cannot run (a small disk) is not listed; its name is in the source.
    expect(await read(file)).toMatch(/skipIf/)
    expect(await read(file)).toContain(name)
  })

  test('has a row for each test of the fault suite', () => {
    const suite = tests.filter(({ file }) => /^test\/faults\/[\w-]+\.test\.ts$/.test(file))
    expect(suite.length).toBeGreaterThan(25)
    expect(suite.filter((each) => !named.some((one) => isSame(one, each)))).toEqual([])
  })

  test('names commands that exist', async () => {
    const { scripts } = JSON.parse(await read('package.json'))
    expect(commands.filter((command) => scripts[command] === undefined)).toEqual([])
  })
})
