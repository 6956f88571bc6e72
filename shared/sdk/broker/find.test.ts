import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type BrokerBinary, findBroker, isVersionAtLeast } from './find.ts'
import { createScratch, type Scratch, writeVersionStandIn } from './testdata/stand-in.ts'

let scratch: Scratch
let notes: string[]

beforeEach(async () => {
  scratch = await createScratch()
  notes = []
})
afterEach(() => scratch.remove())

const inScratch = (...parts: string[]) => join(scratch.dir, ...parts)

function find(env: NodeJS.ProcessEnv): Promise<BrokerBinary | undefined> {
  return findBroker({ env, cacheDir: inScratch('cache'), note: (text) => notes.push(text) })
}

describe('PELTON_NATS_SERVER', () => {
  it('is used before anything on PATH', async () => {
    const named = await writeVersionStandIn(inScratch('named'), 'nats-server: v2.14.3')
    await writeVersionStandIn(inScratch('bin'), 'nats-server: v2.15.1')
    const found = await find({ PELTON_NATS_SERVER: named, PATH: inScratch('bin') })
    expect(found).toEqual({ path: named, version: '2.14.3', source: 'PELTON_NATS_SERVER' })
  })

  it('is an error when nothing is there, although PATH has a good one', async () => {
    await writeVersionStandIn(inScratch('bin'), 'nats-server: v2.15.1')
    const finding = find({ PELTON_NATS_SERVER: inScratch('nowhere'), PATH: inScratch('bin') })
    await expect(finding).rejects.toMatchObject({
      code: 'broker-not-found',
      details: { field: 'PELTON_NATS_SERVER', value: inScratch('nowhere') },
    })
  })

  it('is an error when it names an older server', async () => {
    const named = await writeVersionStandIn(inScratch('named'), 'nats-server: v2.13.9')
    await expect(find({ PELTON_NATS_SERVER: named, PATH: '' })).rejects.toMatchObject({
      code: 'broker-too-old',
      message: expect.stringContaining('2.13.9 is older than 2.14.0'),
    })
  })

  it('is an error when it names another program', async () => {
    const named = await writeVersionStandIn(inScratch('named'), 'gnatsd 1.0')
    await expect(find({ PELTON_NATS_SERVER: named, PATH: '' })).rejects.toMatchObject({
      code: 'broker-not-found',
      message: expect.stringContaining('gnatsd 1.0'),
    })
  })

  it('is as good as unset when empty', async () => {
    expect(await find({ PELTON_NATS_SERVER: '', PATH: '' })).toBeUndefined()
  })
})

describe('PATH', () => {
  it('has too old a server: it is noted and the next folder is searched', async () => {
    const old = await writeVersionStandIn(inScratch('old'), 'nats-server: v2.9.10')
    const good = await writeVersionStandIn(inScratch('good'), 'nats-server: v2.15.1')
    const found = await find({ PATH: `${inScratch('old')}:${inScratch('good')}` })
    expect(found).toEqual({ path: good, version: '2.15.1', source: 'PATH' })
    expect(notes).toEqual([`PATH: ${old} is 2.9.10, older than 2.14.0; passed over`])
  })

  it('has a server that does not run: it is noted and the cache is searched', async () => {
    await mkdir(inScratch('bin'))
    await writeFile(inScratch('bin', 'nats-server'), '#!/bin/sh\nexit 3\n')
    await chmod(inScratch('bin', 'nats-server'), 0o755)
    const cached = await writeVersionStandIn(inScratch('cache', 'nats-server-2.15.1'), 'nats-server: v2.15.1')
    const found = await find({ PATH: inScratch('bin') })
    expect(found).toEqual({ path: cached, version: '2.15.1', source: 'cache' })
    expect(notes).toEqual([expect.stringContaining('exit 3; passed over')])
  })

  it('has a folder or a plain file of that name: neither is a server', async () => {
    await mkdir(inScratch('folder', 'nats-server'), { recursive: true })
    await mkdir(inScratch('file'))
    await writeFile(inScratch('file', 'nats-server'), '')
    expect(await find({ PATH: `${inScratch('folder')}:${inScratch('file')}` })).toBeUndefined()
    expect(notes).toEqual([])
  })
})

describe('cache', () => {
  it('gives its newest version, by number and not by letter', async () => {
    await writeVersionStandIn(inScratch('cache', 'nats-server-2.15.9'), 'nats-server: v2.15.9')
    const newest = await writeVersionStandIn(
      inScratch('cache', 'nats-server-2.15.10'),
      'nats-server: v2.15.10',
    )
    expect((await find({ PATH: '' }))?.path).toBe(newest)
  })

  it('passes over a broken newer version', async () => {
    const good = await writeVersionStandIn(inScratch('cache', 'nats-server-2.15.1'), 'nats-server: v2.15.1')
    await writeVersionStandIn(inScratch('cache', 'nats-server-2.16.0'), '')
    expect((await find({ PATH: '' }))?.path).toBe(good)
    expect(notes).toHaveLength(1)
  })

  it('is empty or missing: nothing is found', async () => {
    expect(await find({ PATH: '' })).toBeUndefined()
  })
})

describe('isVersionAtLeast', () => {
  it.each([
    ['2.15.1', true],
    ['v2.15.1', true],
    ['2.14.0', true],
    ['2.14.0+build.7', true],
    ['2.15.0-RC.1', true],
    ['3.0.0', true],
    ['2.14.0-dev', false],
    ['2.14.0-RC.1', false],
    ['2.13.99', false],
    ['2.9.10', false],
    ['2.14', false],
    ['', false],
    ['latest', false],
  ])('%s is at least 2.14.0: %s', (version, expected) => {
    expect(isVersionAtLeast(version, '2.14.0')).toBe(expected)
  })

  it('orders any two versions one way round', () => {
    const part = fc.nat(200)
    fc.assert(
      fc.property(fc.tuple(part, part, part), fc.tuple(part, part, part), (a, b) => {
        const expected = (a[0] - b[0] || a[1] - b[1] || a[2] - b[2]) >= 0
        expect(isVersionAtLeast(`v${a.join('.')}`, b.join('.'))).toBe(expected)
      }),
    )
  })
})
