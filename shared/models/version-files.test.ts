import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bytesIn, CopyUse, openPlace, sweep, whileLocked } from './copy-place.ts'
import { type GatheredVersion, gatherVersion } from './version-files.ts'

let base: string
let place: string
const uses: CopyUse[] = []

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'pelton-copies-'))
  place = join(base, 'place')
})
afterEach(async () => {
  await Promise.all(uses.splice(0).map((use) => use.close()))
  rmSync(base, { recursive: true })
})

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../test/models/${name}.onnx`, import.meta.url))

function putModel(name: string, from = 'linear'): string {
  const folder = join(base, 'models', name, '1')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'model.onnx'), readFileSync(fixture(from)))
  return folder
}

const gather = (folder: string, maxBytes = 2 ** 30): Promise<GatheredVersion> =>
  gatherVersion({ root: base, folder, copies: { folder: place, maxBytes } })

const copies = (): string[] => readdirSync(join(place, 'copies'))

/** Makes a copy look as if nobody had asked for it for a while. */
function age(digest: string, byMs: number): void {
  const then = new Date(Date.now() - byMs)
  utimesSync(join(place, 'copies', digest), then, then)
}

describe('gathering a version', () => {
  it('copies into a folder of the user alone, under the digest of the copy, for reading only', async () => {
    const { path, digest, sizeBytes } = await gather(putModel('a'))
    expect(path).toBe(join(place, 'copies', digest, 'model.onnx'))
    expect(readFileSync(path)).toEqual(readFileSync(fixture('linear')))
    expect(sizeBytes).toBe(statSync(path).size)
    expect(statSync(path).mode & 0o777).toBe(0o400)
    expect(statSync(place).mode & 0o777).toBe(0o700)
    expect(readdirSync(join(place, 'making'))).toEqual([])
    expect(readdirSync(join(place, 'locks'))).toEqual([])
  })

  it('copies equal files once, and files that nothing was written to once, however many ask', async () => {
    const [a, b] = [putModel('a'), putModel('b')]
    const found = await Promise.all([gather(a), gather(a), gather(b), gather(a)])
    expect(new Set(found.map(({ path }) => path)).size).toBe(1)
    const made = statSync(found[0]?.path ?? '').ino
    await gather(a)
    expect([copies().length, statSync(found[0]?.path ?? '').ino]).toEqual([1, made])
  })

  it('reads a file that was just written again, and one that was written later', async () => {
    const folder = putModel('a')
    const first = await gather(folder)
    writeFileSync(join(folder, 'model.onnx'), readFileSync(fixture('features')))
    const second = await gather(folder)
    expect(second.digest).not.toBe(first.digest)
    expect(readFileSync(first.path)).toEqual(readFileSync(fixture('linear')))
    expect(copies().sort()).toEqual([first.digest, second.digest].sort())
  })

  it('makes a copy again that was cleared away', async () => {
    const folder = putModel('a')
    const first = await gather(folder)
    rmSync(join(place, 'copies', first.digest), { recursive: true })
    expect(await gather(folder)).toEqual(first)
    expect(readFileSync(first.path)).toEqual(readFileSync(fixture('linear')))
  })

  it('refuses beyond the bound, takes back what nobody uses, and never what is used', async () => {
    const [a, b] = [putModel('a'), putModel('b', 'features')]
    const room = Math.max(statSync(fixture('linear')).size, statSync(fixture('features')).size)
    const first = await gather(a, room)
    const use = new CopyUse(place)
    uses.push(use)
    await use.add(first.digest)
    age(first.digest, 120_000)
    await expect(gather(b, room)).rejects.toMatchObject({
      code: 'model-unavailable',
      details: { field: 'PELTON_COPIES_MAX_BYTES' },
    })
    expect(copies()).toEqual([first.digest])
    await use.close()
    const second = await gather(b, room)
    expect(copies()).toEqual([second.digest])
  })

  it('leaves nothing half made behind where it fails, and clears away what a killed process left', async () => {
    await openPlace(place)
    const left = join(place, 'making', '1000000-nobody-1')
    mkdirSync(left)
    writeFileSync(join(left, 'model.onnx'), 'half')
    expect(await bytesIn(place)).toBe(1_000_000)
    const then = new Date(Date.now() - 120_000)
    utimesSync(left, then, then)
    await sweep(place, 3_600_000)
    expect([await bytesIn(place), readdirSync(join(place, 'making'))]).toEqual([0, []])
  })

  it('refuses a place that belongs to somebody else or is none', async () => {
    writeFileSync(place, 'a file')
    await expect(gather(putModel('a'))).rejects.toMatchObject({
      code: 'invalid-configuration',
      details: { field: 'PELTON_COPIES', value: place },
    })
  })
})

describe('a sweep', () => {
  it('keeps for an hour what nobody uses, and as long as they like what others use', async () => {
    const { digest } = await gather(putModel('a'))
    await sweep(place, 3_600_000)
    expect(copies()).toEqual([digest])
    const use = new CopyUse(place)
    uses.push(use)
    await use.add(digest)
    age(digest, 7_200_000)
    await sweep(place, 3_600_000)
    expect(copies()).toEqual([digest])
    await use.close()
    await sweep(place, 3_600_000)
    expect(copies()).toEqual([])
  })

  it('keeps all that one process uses, taken into use at the same time', async () => {
    await openPlace(place)
    const digests = Array.from({ length: 50 }, (_each, index) => `digest-${index}`)
    for (const digest of digests) {
      mkdirSync(join(place, 'copies', digest))
      age(digest, 7_200_000)
    }
    const use = new CopyUse(place)
    uses.push(use)
    await Promise.all(digests.map((digest) => use.add(digest)))
    await sweep(place, 3_600_000)
    expect(copies().sort()).toEqual([...digests].sort())
  })

  it('frees what a process used that was killed', async () => {
    const { digest } = await gather(putModel('a'))
    const code = `import(${JSON.stringify(new URL('./copy-place.ts', import.meta.url).href)}).then(async ({ CopyUse }) => {
      await new CopyUse(${JSON.stringify(place)}).add(${JSON.stringify(digest)})
      console.log('used')
      setInterval(() => {}, 1000)
    })`
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    child.kill('SIGKILL')
    await once(child, 'exit')
    age(digest, 7_200_000)
    await sweep(place, 3_600_000)
    expect(copies()).toEqual([digest]) // it may only be slow
    const [user = ''] = readdirSync(join(place, 'users'))
    const then = new Date(Date.now() - 120_000)
    utimesSync(join(place, 'users', user), then, then)
    await sweep(place, 3_600_000)
    expect([copies(), readdirSync(join(place, 'users'))]).toEqual([[], []])
  })
})

describe('a lock', () => {
  it('lets one act at a time, also after one failed', async () => {
    await openPlace(place)
    let inside = 0
    let most = 0
    const act = async (): Promise<void> => {
      most = Math.max(most, ++inside)
      await new Promise((resolve) => setTimeout(resolve, 5))
      inside--
      throw new Error('it fails')
    }
    const all = await Promise.allSettled([1, 2, 3, 4].map(() => whileLocked(place, 'x', act)))
    expect([most, all.map(({ status }) => status)]).toEqual([1, Array(4).fill('rejected')])
  })

  it('of a process that was killed is taken over', async () => {
    await openPlace(place)
    const path = join(place, 'locks', 'x')
    writeFileSync(path, '1')
    const then = new Date(Date.now() - 120_000)
    utimesSync(path, then, then)
    expect(await whileLocked(place, 'x', async () => 'done')).toBe('done')
  })
})
