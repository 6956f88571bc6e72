import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type GrowingOptions, type GrowingRepository, growRepository } from './growing-repository.ts'
import { createInferenceThreads } from './inference-threads.ts'

vi.setConfig({ testTimeout: 120_000 })

let base: string
let folder: string
let place: string
let opened: GrowingRepository[] = []
let notes: string[] = []

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'pelton-growing-'))
  folder = join(base, 'models')
  place = join(base, 'copies')
  mkdirSync(folder)
})
afterEach(async () => {
  await Promise.all(opened.map((repository) => repository.close()))
  opened = []
  notes = []
  rmSync(base, { recursive: true })
})

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../test/models/${name}.onnx`, import.meta.url))

function put(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), content)
}

const putModel = (path: string, name = 'linear'): void =>
  put(`${path}/model.onnx`, readFileSync(fixture(name)))

async function grow(given: Partial<GrowingOptions> = {}): Promise<GrowingRepository> {
  const repository = await growRepository({
    folder,
    copies: { folder: place, maxBytes: 2 ** 30 },
    lookMs: 50,
    note: (text) => notes.push(text),
    onRefused: ({ name, version, error }) =>
      notes.push(`model "${name}" version ${version} is refused: ${error.message}`),
    ...given,
  })
  opened.push(repository)
  return repository
}

const until = (check: () => boolean): Promise<unknown> =>
  vi.waitUntil(check, { timeout: 60_000, interval: 20 })

const served = ({ models }: GrowingRepository): string[] =>
  models.map(({ name, version }) => `${name}/${version}`)
const reasons = ({ refused }: GrowingRepository): string[] =>
  refused.map(({ name, version, error }) => `${name}/${version} ${error.code}: ${error.description}`)

const ONES = [{ name: 'x', datatype: 'FP32', shape: [1, 3], data: Float32Array.of(1, 1, 1) }] as const
const ANSWER = Float32Array.of(6.5)

describe('a growing repository', () => {
  it('makes models ready one by one, several at a time and no more than it may', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) putModel(`${name}/1`)
    const repository = await grow({ inspectors: 2 })
    const counts: number[] = []
    const pending: number[] = []
    repository.onChange(() => {
      counts.push(repository.models.length)
      pending.push(
        repository.refused.filter(({ name, version }) => repository.isPending(name, version)).length,
      )
    })
    expect(repository.progress).toEqual({ served: 0, of: 5 })
    expect(reasons(repository)).toContain('a/1 model-unavailable: model "a" version 1 is being inspected')
    expect(repository.find('a')).toBeUndefined()
    await repository.usable
    expect(repository.models.length).toBeGreaterThan(0)
    await repository.settled
    expect(counts).toEqual([1, 2, 3, 4, 5])
    expect(pending).toEqual([4, 3, 2, 1, 0])
    expect(served(repository)).toEqual(['a/1', 'b/1', 'c/1', 'd/1', 'e/1'])
  })

  it('inspects as many models at once as it may: each of them waits for the others', async () => {
    for (const name of ['a', 'b', 'c']) putModel(`${name}/1`, 'endless-loop')
    putModel('d/1')
    const repository = await grow({ inspectors: 4, inspect: { timeLimitMs: 10_000 } })
    await repository.usable
    // The good one, last by name, did not wait for the three that never end.
    expect(served(repository)).toEqual(['d/1'])
    expect(repository.progress).toEqual({ served: 1, of: 4 })
    await repository.settled
    expect(reasons(repository).map((reason) => reason.split(':')[0])).toEqual([
      'a/1 model-unavailable',
      'b/1 model-unavailable',
      'c/1 model-unavailable',
    ])
  })

  it('serves the highest version first, and answers with no lower one while it is inspected', async () => {
    for (const version of ['1', '2', '10']) putModel(`delays/${version}`)
    const repository = await grow({ inspectors: 1 })
    const found: unknown[] = []
    repository.onChange(() => found.push(repository.find('delays')?.version))
    await repository.settled
    expect(found).toEqual(['10', '10', '10'])
    expect(repository.find('delays', '2')?.version).toBe('2')
  })

  it('serves a lower version where the highest is refused for good, and waits for one that the pool has served', async () => {
    for (const version of ['1', '2']) putModel(`delays/${version}`)
    put('delays/2/model.onnx', 'garbage')
    const fresh = await grow()
    await fresh.settled
    expect(fresh.find('delays')?.version).toBe('1')
    putModel('delays/2', 'endless-loop')
    const known = [{ name: 'delays', version: '2' }]
    const other = await grow({ known, inspect: { timeLimitMs: 10_000 } })
    await other.settled
    expect([other.find('delays')?.version, other.find('delays', '1')?.version]).toEqual([undefined, '1'])
  })

  it('serves what it copied whatever becomes of the folder, also to a thread that opens it later', async () => {
    putModel('delays/1')
    const repository = await grow()
    await repository.settled
    const [model] = repository.models
    if (model === undefined) throw new Error(reasons(repository).join())
    const threads = createInferenceThreads()
    // Overwritten in place: the very same file, other bytes.
    writeFileSync(join(folder, 'delays/1/model.onnx'), readFileSync(fixture('mixes-rows')))
    expect((await threads.run(model, ONES))[0]?.data).toEqual(ANSWER)
    rmSync(folder, { recursive: true })
    await threads.unload(model.key)
    expect((await threads.run(model, ONES))[0]?.data).toEqual(ANSWER)
    await threads.close()
    expect(served(repository)).toEqual(['delays/1'])
  })

  it('says once that a served model was changed in its folder', async () => {
    putModel('delays/1')
    const repository = await grow({ lookMs: 5 })
    await repository.settled
    putModel('delays/1', 'mixes-rows')
    await until(() => notes.some((note) => note.includes('was changed in its folder')))
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    expect(notes.filter((note) => note.includes('was changed'))).toHaveLength(1)
  })

  it('serves a model whose folder comes back by itself, and one that only the pool knows', async () => {
    putModel('delays/1')
    putModel('other/1')
    renameSync(join(folder, 'delays'), join(base, 'away'))
    const known = [{ name: 'delays', version: '1' }]
    const repository = await grow({ known })
    await repository.settled
    expect(served(repository)).toEqual(['other/1'])
    expect(reasons(repository)).toEqual([
      expect.stringContaining('delays/1 model-unavailable: there is no such file'),
    ])
    renameSync(join(base, 'away'), join(folder, 'delays'))
    await until(() => repository.find('delays') !== undefined)
    expect(reasons(repository)).toEqual([])
  })

  it('opens although the whole folder is away, where the pool knows a model', async () => {
    putModel('delays/1')
    renameSync(folder, join(base, 'away'))
    await expect(grow()).rejects.toMatchObject({ code: 'invalid-configuration' })
    const repository = await grow({ known: [{ name: 'delays', version: '1' }] })
    await repository.settled
    expect(reasons(repository)).toEqual([expect.stringContaining('model-unavailable')])
    renameSync(join(base, 'away'), folder)
    await until(() => repository.find('delays') !== undefined)
  })

  it('leaves out a version that the pool served once, where another is in the folder', async () => {
    putModel('delays/2')
    const repository = await grow({ known: [{ name: 'delays', version: '1' }] })
    await repository.settled
    expect([served(repository), reasons(repository)]).toEqual([['delays/2'], []])
    expect(repository.progress).toEqual({ served: 1, of: 1 })
  })

  it('tries a half copied file again once it is whole', async () => {
    const whole = readFileSync(fixture('linear'))
    put('delays/1/model.onnx', whole.subarray(0, whole.length / 2))
    const repository = await grow()
    await repository.settled
    expect(reasons(repository)).toEqual([expect.stringContaining('model-refused')])
    put('delays/1/model.onnx', whole)
    await until(() => repository.find('delays') !== undefined)
    expect(notes.at(-1)).toBe('model "delays" version 1 is served now')
  })

  it('tries again, by itself and with pauses, what was a matter of time', async () => {
    putModel('delays/1', 'endless-loop')
    const repository = await grow({ inspect: { timeLimitMs: 500 } })
    let tries = 0
    repository.onChange(() => tries++)
    await until(() => tries >= 2)
    // The same reason is told once.
    expect(notes.filter((note) => note.includes('is refused'))).toHaveLength(1)
  })

  it('does not serve other files than other workers serve under the same version', async () => {
    putModel('delays/1')
    let expected: string | undefined = 'f'.repeat(64)
    const repository = await grow({ expectedDigest: () => expected })
    await repository.settled
    expect(reasons(repository)).toEqual([
      expect.stringContaining('the files are not those that other workers of the pool serve'),
    ])
    expected = undefined
    await until(() => repository.find('delays') !== undefined)
  })

  it('makes a copy again that was cleared away, of what it serves or not at all', async () => {
    putModel('delays/1')
    const repository = await grow({ lookMs: 5 })
    await repository.settled
    const [model] = repository.models
    if (model === undefined) throw new Error('it is not served')
    rmSync(dirname(model.path), { recursive: true })
    await until(() => existsSync(model.path))
    rmSync(dirname(model.path), { recursive: true })
    putModel('delays/1', 'mixes-rows')
    await until(() => notes.some((note) => note.includes('not those that other workers')))
    expect(repository.find('delays')?.digest).toBe(model.digest)
    expect(readdirSync(join(place, 'copies'))).not.toContain(model.digest)
  })

  it.skipIf(process.getuid?.() === 0)('serves a file that becomes readable', async () => {
    putModel('delays/1')
    chmodSync(join(folder, 'delays/1/model.onnx'), 0o000)
    const repository = await grow()
    await repository.settled
    expect(reasons(repository)).toEqual([expect.stringContaining('the file cannot be read')])
    chmodSync(join(folder, 'delays/1/model.onnx'), 0o600)
    await until(() => repository.find('delays') !== undefined)
  })

  it('refuses a model whose copy does not fit, names the setting, and serves it once there is room', async () => {
    putModel('big/1')
    putModel('delays/1', 'features')
    const size = readFileSync(fixture('linear')).length
    const repository = await grow({ copies: { folder: place, maxBytes: size }, inspectors: 1 })
    await repository.settled
    expect(repository.models).toHaveLength(1)
    expect(reasons(repository)).toEqual([
      expect.stringMatching(/no room for a copy .*PELTON_COPIES_MAX_BYTES/),
    ])
  })
})

describe('external data', () => {
  const WEIGHTS = Buffer.from(Float32Array.of(10, 20).buffer)

  it('is served with its model, copied and digested with it', async () => {
    putModel('beside/1', 'external-beside')
    put('beside/1/weights.bin', WEIGHTS)
    putModel('again/1', 'external-beside')
    put('again/1/weights.bin', Buffer.from(Float32Array.of(1, 2).buffer))
    const repository = await grow()
    await repository.settled
    expect(reasons(repository)).toEqual([])
    const [other, model] = repository.models
    if (model === undefined) throw new Error('it is not served')
    expect(model.digest).not.toBe(other?.digest)
    expect(model.sizeBytes).toBe(readFileSync(fixture('external-beside')).length + WEIGHTS.length)
    const threads = createInferenceThreads()
    const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(1, 2) }] as const
    // The data alone is overwritten in place.
    put('beside/1/weights.bin', Buffer.alloc(8))
    expect((await threads.run(model, inputs))[0]?.data).toEqual(Float32Array.of(11, 22))
    await threads.close()
  })

  it('is refused where it lies elsewhere, and waited for where it is missing', async () => {
    putModel('above/1', 'external-above')
    putModel('beside/1', 'external-beside')
    const repository = await grow()
    await repository.settled
    expect(reasons(repository)).toEqual([
      expect.stringMatching(/^above\/1 model-refused: the model keeps data where it must not .*etc\/passwd/),
      expect.stringMatching(/^beside\/1 model-unavailable: there is no such file .*weights.bin/),
    ])
    put('beside/1/weights.bin', WEIGHTS)
    await until(() => repository.find('beside') !== undefined)
  })

  it('is refused behind a link that leaves the models folder', async () => {
    putModel('beside/1', 'external-beside')
    writeFileSync(join(base, 'weights.bin'), WEIGHTS)
    symlinkSync(join(base, 'weights.bin'), join(folder, 'beside/1/weights.bin'))
    const repository = await grow()
    await repository.settled
    expect(reasons(repository)).toEqual([expect.stringContaining('a link that leaves the models folder')])
  })
})
