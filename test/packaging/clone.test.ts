import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT } from '../drift/observability-files.ts'

/** What git would bring: no output, and the packages of this checkout. */
const FILES = ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json']
const COMPILING = 'compiling Pelton, because its sources changed …\n'

let clone: string

beforeAll(async () => {
  clone = await mkdtemp(join(tmpdir(), 'pelton-clone-'))
  const filter = (path: string): boolean => !/\/(?:node_modules|dist)$/.test(path)
  for (const name of [...FILES, 'infra/scripts', 'services', 'shared'])
    await cp(join(ROOT, name), join(clone, name), { recursive: true, filter })
  await symlink(join(ROOT, 'node_modules'), join(clone, 'node_modules'))
})

afterAll(() => rm(clone, { recursive: true, force: true }))

/** Runs `pelton …args` in the clone. */
async function pelton(...args: readonly string[]) {
  const child = spawn(process.execPath, ['infra/scripts/pelton.mjs', ...args], { cwd: clone, stdio: 'pipe' })
  let out = ''
  let err = ''
  child.stdin.end()
  child.stdout.on('data', (chunk) => {
    out += chunk
  })
  child.stderr.on('data', (chunk) => {
    err += chunk
  })
  const code = await new Promise((resolve) => child.once('close', resolve))
  return { code, out, err }
}

async function edit(file: string, change: (text: string) => string): Promise<void> {
  const path = join(clone, file)
  await writeFile(path, change(await readFile(path, 'utf8')))
}

test('two commands at once in a clone without output compile it once, and both run', async () => {
  const both = await Promise.all([pelton('--version'), pelton('--version')])
  const { version } = JSON.parse(await readFile(join(clone, 'package.json'), 'utf8'))
  for (const { code, out } of both) expect([code, out]).toEqual([0, `${version}\n`])
  expect(both.map(({ err }) => err).toSorted()).toEqual(['', COMPILING])
})

test('nothing is compiled where nothing changed, and the models of the demo are found', async () => {
  const { code, out, err } = await pelton('models', 'list')
  // On a busy machine it tells how far it is.
  expect([code, err.replaceAll(/^inspecting \d of \d\n/gm, '')]).toEqual([0, ''])
  expect(out).toMatch(/flight-delay +2 /)
})

test('an edited source shows in the next command, and what is gone from the sources is gone from the output', async () => {
  await writeFile(join(clone, 'services/cli/late.ts'), 'export const late = 1\n')
  await edit('services/cli/command-list.ts', (text) =>
    text.replace('print predictions and failures as', 'print whatever comes, as'),
  )
  const first = await pelton('--help')
  expect([first.code, first.err]).toEqual([0, COMPILING])
  expect(first.out).toContain('print whatever comes, as they come')
  expect(existsSync(join(clone, 'dist/services/cli/late.js'))).toBe(true)

  await rm(join(clone, 'services/cli/late.ts'))
  const second = await pelton('--help')
  expect([second.code, second.err, second.out]).toEqual([0, COMPILING, first.out])
  expect(existsSync(join(clone, 'dist/services/cli/late.js'))).toBe(false)
  expect(existsSync(join(clone, 'dist/services/cli/main.js'))).toBe(true)
})

test('sources that do not compile are not run, nor is what was compiled before, until they are mended', async () => {
  // Left by a command that was killed while it compiled: no process has this number.
  await writeFile(join(clone, '.dist.lock'), String(2 ** 30))
  await edit('services/cli/program.ts', (text) => `${text}\nconst = 1\n`)
  for (const _ of ['at once', 'and again']) {
    const { code, out, err } = await pelton('--version')
    expect([code, out]).toEqual([1, ''])
    expect(err).toMatch(/services\/cli\/program\.ts.*\n(.*\n)*pelton: the sources do not compile/)
  }
  await edit('services/cli/program.ts', (text) => text.replace('\nconst = 1\n', ''))
  expect(await pelton('--version')).toMatchObject({ code: 0, err: COMPILING })
})
