import { createHash } from 'node:crypto'
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createInferenceThreads } from './inference-threads.ts'
import { openRepository } from './repository.ts'

// Each test may start a process of its own on a busy machine.
vi.setConfig({ testTimeout: 60_000 })

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pelton-repository-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function fixture(name: string): string {
  return fileURLToPath(new URL(`../../test/models/${name}.onnx`, import.meta.url))
}

function put(path: string, content: string): void {
  mkdirSync(join(folder, dirname(path)), { recursive: true })
  writeFileSync(join(folder, path), content)
}

function putModel(path: string, name = 'linear'): void {
  mkdirSync(join(folder, path), { recursive: true })
  copyFileSync(fixture(name), join(folder, path, 'model.onnx'))
}

describe('model repository', () => {
  it('serves the highest version by default and any by number', async () => {
    for (const version of ['2', '10', '1']) putModel(`delays/${version}`)
    put('delays/notes/readme.txt', 'no version')
    put('README.md', 'no model')
    put('.git/config', 'no model')
    const repository = await openRepository({ folder })
    expect(repository.models.map((model) => model.version)).toEqual(['1', '2', '10'])
    expect(repository.find('delays')?.version).toBe('10')
    expect(repository.find('delays', '2')?.version).toBe('2')
    expect(repository.find('delays', '3')).toBeUndefined()
    expect(repository.find('other')).toBeUndefined()
    expect(repository.refused).toEqual([])
  })

  it('describes a model completely, and the threads run it as it is', async () => {
    putModel('delays/1')
    const [model] = (await openRepository({ folder })).models
    if (model === undefined) throw new Error('the model is not served')
    const digest = createHash('sha256')
      .update(readFileSync(fixture('linear')))
      .digest('hex')
    expect(model).toMatchObject({
      digest,
      key: `delays/1@${digest.slice(0, 16)}`,
      batchable: true,
      maxBatchRows: 64,
    })
    expect(model.sizeBytes).toBe(readFileSync(fixture('linear')).length)
    const data = Float32Array.of(1, 1, 1)
    const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, 3], data }] as const
    const bound = model.bind({ kind: 'tensors', inputs, parameters: {} })
    const threads = createInferenceThreads()
    const [score] = await threads.run(model, bound.inputs, { outputNames: bound.outputs })
    expect(score?.data).toEqual(Float32Array.of(6.5))
    await threads.close()
  })

  it('lays the manifest of a version over that of its model', async () => {
    for (const version of ['1', '2']) putModel(`delays/${version}`)
    put('delays/manifest.yaml', 'description: all\nbatching: { maxRows: 16 }\n')
    put('delays/2/manifest.json', '{"batching": {"enabled": false}}')
    const { models } = await openRepository({ folder })
    expect(models.map((model) => [model.manifest.description, model.batchable, model.maxBatchRows])).toEqual([
      ['all', true, 16],
      ['all', false, 1],
    ])
    expect(models[1]?.manifest.batching).toEqual({ enabled: false, maxRows: 16 })
  })

  it('refuses what is wrong with the reason, and serves the rest', async () => {
    putModel('good/1')
    put('empty-file/1/model.onnx', '')
    put('garbage/1/model.onnx', '\x01\x02\x03 garbage')
    mkdirSync(join(folder, 'folder/1/model.onnx'), { recursive: true })
    mkdirSync(join(folder, 'no-file/1'), { recursive: true })
    mkdirSync(join(folder, 'no-version/zero'), { recursive: true })
    putModel('external/1', 'external-above')
    putModel('bad-manifest/1')
    put('bad-manifest/manifest.yml', 'outputs: [scores]')
    putModel('two-manifests/1')
    put('two-manifests/manifest.yml', '')
    put('two-manifests/manifest.json', '{}')
    putModel('bad\u0007name/1')
    const notes: string[] = []
    const { models, refused } = await openRepository({ folder, note: (text) => notes.push(text) })
    expect(models.map((model) => model.name)).toEqual(['good'])
    const reasons = Object.fromEntries(refused.map(({ name, error }) => [name, error.message]))
    expect(reasons).toEqual({
      'empty-file': expect.stringContaining('the file is empty'),
      garbage: expect.stringContaining('no ONNX file'),
      folder: expect.stringContaining('this is a folder'),
      'no-file': expect.stringContaining('there is no such file'),
      'no-version': expect.stringContaining('no version folder'),
      external: expect.stringContaining('keeps data where it must not'),
      'bad-manifest': expect.stringContaining('Did you mean "score"?'),
      'two-manifests': expect.stringContaining('more than one manifest'),
      'bad\u0007name': expect.stringContaining('cannot be that of a model'),
    })
    expect(notes.filter((note) => note.includes('is refused'))).toHaveLength(refused.length)
  })

  it('passes over what systems leave beside models, and names folders that are no versions', async () => {
    putModel('good/1')
    putModel('good/v3')
    for (const name of ['lost+found', '@eaDir', '__pycache__', 'good/assets'])
      mkdirSync(join(folder, name), { recursive: true })
    putModel('padded/001')
    putModel('dated/2026-01-31')
    const { models, refused, remarks } = await openRepository({ folder })
    expect(models.map(({ name, version }) => `${name}/${version}`)).toEqual(['good/1'])
    expect(remarks).toEqual([
      'passed over, for they are no models: @eaDir, __pycache__, lost+found',
      'model "good": version folder "v3": rename it to "3"',
    ])
    expect(refused.map(({ name, error }) => [name, error.details.remedy?.split('. See')[0]])).toEqual([
      ['dated', 'Seen was version folder "2026-01-31": rename it to "20260131"'],
      ['padded', 'Seen was version folder "001": rename it to "1"'],
    ])
  })

  it('follows symlinks inside the folder and refuses those that leave it, and hard links', async () => {
    putModel('..data/1')
    mkdirSync(join(folder, 'inside/1'), { recursive: true })
    symlinkSync(join(folder, '..data/1/model.onnx'), join(folder, 'inside/1/model.onnx'))
    mkdirSync(join(folder, 'outside/1'), { recursive: true })
    symlinkSync(fixture('linear'), join(folder, 'outside/1/model.onnx'))
    putModel('linked/1')
    linkSync(join(folder, 'linked/1/model.onnx'), join(folder, 'another-name'))
    const { models, refused } = await openRepository({ folder })
    expect(models.map((model) => model.name)).toEqual(['inside'])
    expect(refused.map(({ name, error }) => [name, error.description.split(' (')[0]])).toEqual([
      ['linked', 'the file has more than one hard link'],
      ['outside', 'the file is a link that leaves the models folder'],
    ])
  })

  it('refuses to run a file that has changed since', async () => {
    putModel('delays/1')
    const [model] = (await openRepository({ folder })).models
    if (model === undefined) throw new Error('the model is not served')
    putModel('delays/1', 'mixes-rows')
    const threads = createInferenceThreads()
    await expect(threads.load(model)).rejects.toThrow(/has changed since it was inspected/)
    await threads.close()
  })

  it('refuses a folder that is missing or holds no model', async () => {
    await expect(openRepository({ folder: join(folder, 'nowhere') })).rejects.toMatchObject({
      code: 'invalid-configuration',
      details: { value: join(folder, 'nowhere') },
    })
    await expect(openRepository({ folder })).rejects.toThrow(/holds no model/)
  })
})
