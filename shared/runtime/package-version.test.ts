import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { packageVersion } from './package-version.ts'

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pelton-version-'))
  await mkdir(join(folder, 'node_modules/pelton-server/dist/services/cli'), { recursive: true })
  await mkdir(join(folder, 'node_modules/pelton-server/dist/shared/sdk'), { recursive: true })
  await mkdir(join(folder, 'dist/services/cli'), { recursive: true })
  await writeFile(join(folder, 'package.json'), '{ "version": "3.0.0" }')
  await writeFile(join(folder, 'node_modules/pelton-server/package.json'), '{ "version": "1.2.3-rc.1" }')
  await writeFile(
    join(folder, 'node_modules/pelton-server/dist/shared/sdk/package.json'),
    '{ "type": "module" }',
  )
})

afterAll(() => rm(folder, { recursive: true, force: true }))

const versionAt = (file: string): string => packageVersion(pathToFileURL(join(folder, file)).href)

it('the version is that of the package the module is installed with', () => {
  expect(versionAt('node_modules/pelton-server/dist/services/cli/main.js')).toBe('1.2.3-rc.1')
})

it('the version of a clone is that of its root, from source and compiled', async () => {
  expect(versionAt('dist/services/cli/main.js')).toBe('3.0.0')
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
  expect(packageVersion(import.meta.url)).toBe(version)
})

it('a package.json without a version is passed over', () => {
  expect(versionAt('node_modules/pelton-server/dist/shared/sdk/index.js')).toBe('1.2.3-rc.1')
})

it('the version is unknown where no package.json has one', () => {
  expect(packageVersion('file:///nowhere/at/all/main.js')).toBe('unknown')
})
