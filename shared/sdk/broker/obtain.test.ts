import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PeltonError } from '../errors.ts'
import type { BrokerBinary } from './find.ts'
import { defaultCacheDir, ensureBroker } from './obtain.ts'
import { RELEASE_VERSION, releaseName } from './release.ts'
import { createScratch, linkPrograms, type Scratch, writeVersionStandIn } from './testdata/stand-in.ts'

/** What the stand-in answers below `/v<version>/`; a missing name is a 404. */
interface Asset {
  readonly body: Buffer
  /** Close the connection after this many bytes of a body announced whole. */
  readonly cutAfterBytes?: number
}

const ASSET = `${releaseName()}.tar.gz`
let scratch: Scratch
let server: Server
let assets: Map<string, Asset>
let requests: string[]
let notes: string[]

beforeEach(async () => {
  scratch = await createScratch()
  assets = new Map()
  requests = []
  notes = []
  // no apt-get here, so that nothing but the release can help
  await linkPrograms(join(scratch.dir, 'bin'), ['tar', 'gzip', 'sh'])
  server = createServer((request, response) => {
    requests.push(request.url ?? '')
    const asset = assets.get(request.url ?? '')
    if (asset === undefined) {
      response.writeHead(404).end('not here')
      return
    }
    response.writeHead(200, { 'content-length': asset.body.byteLength })
    if (asset.cutAfterBytes === undefined) response.end(asset.body)
    else response.write(asset.body.subarray(0, asset.cutAfterBytes), () => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})

afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await scratch.remove()
})

const cacheDir = () => join(scratch.dir, 'cache')
const baseUrl = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const sha256 = (body: Buffer) => createHash('sha256').update(body).digest('hex')

function offer(name: string, asset: Asset): void {
  assets.set(`/v${RELEASE_VERSION}/${name}`, asset)
}

function offerSums(sum: string, name = ASSET): void {
  offer('SHA256SUMS', { body: Buffer.from(`${'0'.repeat(64)}  another.zip\n${sum}  ${name}\n`) })
}

/** The archive as the project publishes it: one folder with the binary in it. */
async function packRelease(says: string): Promise<Buffer> {
  await writeVersionStandIn(join(scratch.dir, 'pack', releaseName()), says)
  const path = join(scratch.dir, ASSET)
  execFileSync('tar', ['-czf', path, '-C', join(scratch.dir, 'pack'), releaseName()])
  return readFile(path)
}

function obtain(env: NodeJS.ProcessEnv = {}): Promise<BrokerBinary> {
  return ensureBroker({
    env: { PATH: join(scratch.dir, 'bin'), ...env },
    cacheDir: cacheDir(),
    releaseBaseUrl: baseUrl(),
    note: (text) => notes.push(text),
  })
}

async function failure(work: Promise<unknown>): Promise<PeltonError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(thrown).toBeInstanceOf(PeltonError)
  return thrown as PeltonError
}

describe('a good release', () => {
  beforeEach(async () => {
    const archive = await packRelease('nats-server: v2.15.1')
    offer(ASSET, { body: archive })
    offerSums(sha256(archive))
  })

  it('is downloaded, checked and kept in the cache, and nothing else stays there', async () => {
    const broker = await obtain()
    const path = join(cacheDir(), 'nats-server-2.15.1', 'nats-server')
    expect(broker).toEqual({ path, version: '2.15.1', source: 'release' })
    expect(await readdir(cacheDir())).toEqual(['nats-server-2.15.1'])
    expect(notes[0]).toContain(`downloading release ${RELEASE_VERSION}`)
  })

  it('is downloaded once: the next call takes it from the cache', async () => {
    const first = await obtain()
    expect(await obtain()).toEqual({ ...first, source: 'cache' })
    expect(requests).toEqual([`/v${RELEASE_VERSION}/SHA256SUMS`, `/v${RELEASE_VERSION}/${ASSET}`])
  })

  it('comes from the mirror that PELTON_NATS_RELEASE_URL names', async () => {
    const env = { PATH: join(scratch.dir, 'bin'), PELTON_NATS_RELEASE_URL: `${baseUrl()}/` }
    expect((await ensureBroker({ env, cacheDir: cacheDir() })).source).toBe('release')
  })

  it('serves several callers at once, who all end with the same whole binary', async () => {
    const brokers = await Promise.all(Array.from({ length: 5 }, () => obtain()))
    expect(new Set(brokers.map((broker) => broker.path)).size).toBe(1)
    expect(await readdir(cacheDir())).toEqual(['nats-server-2.15.1'])
  })

  it('replaces a broken copy in the cache', async () => {
    await mkdir(join(cacheDir(), 'nats-server-2.15.1'), { recursive: true })
    await writeFile(join(cacheDir(), 'nats-server-2.15.1', 'nats-server'), 'half a file')
    expect((await obtain()).source).toBe('release')
    expect((await obtain()).source).toBe('cache')
    expect(await readdir(cacheDir())).toEqual(['nats-server-2.15.1'])
  })
})

describe('a release that cannot be trusted', () => {
  it('has another sum than published: both are named and nothing is kept', async () => {
    const archive = await packRelease('nats-server: v2.15.1')
    offer(ASSET, { body: archive })
    offerSums('ab'.repeat(32))
    const error = await failure(obtain())
    expect(error.code).toBe('broker-not-found')
    expect(error.message).toContain(`has SHA-256 ${sha256(archive)}, but ${'ab'.repeat(32)} is published`)
    expect(await readdir(cacheDir())).toEqual([])
  })

  it('is truncated: the bytes that came and were announced are named and nothing is kept', async () => {
    const archive = await packRelease('nats-server: v2.15.1')
    offer(ASSET, { body: archive, cutAfterBytes: 40 })
    offerSums(sha256(archive))
    const error = await failure(obtain())
    expect(error.message).toMatch(new RegExp(`is truncated: \\d+ of ${archive.byteLength} bytes came`))
    expect(await readdir(cacheDir())).toEqual([])
  })

  it('has no sum for this asset', async () => {
    offer(ASSET, { body: await packRelease('nats-server: v2.15.1') })
    offerSums('ab'.repeat(32), 'nats-server-elsewhere.tar.gz')
    expect((await failure(obtain())).message).toContain(`SHA256SUMS has no sum for ${ASSET}`)
    expect(requests).not.toContain(`/v${RELEASE_VERSION}/${ASSET}`)
  })

  it('publishes no sums at all', async () => {
    offer(ASSET, { body: await packRelease('nats-server: v2.15.1') })
    expect((await failure(obtain())).message).toMatch(/SHA256SUMS cannot be fetched: HTTP status 404/)
  })

  it('has sums but no asset', async () => {
    offerSums('ab'.repeat(32))
    expect((await failure(obtain())).message).toMatch(/tar\.gz cannot be fetched: HTTP status 404/)
  })

  it('holds a server that is too old', async () => {
    const archive = await packRelease('nats-server: v2.12.0')
    offer(ASSET, { body: archive })
    offerSums(sha256(archive))
    expect((await failure(obtain())).message).toContain('it holds nats-server 2.12.0, older than 2.14.0')
    expect(await readdir(cacheDir())).toEqual([])
  })
})

describe('when nothing works', () => {
  it('one message lists each thing tried with its outcome, and how to install', async () => {
    const old = await writeVersionStandIn(join(scratch.dir, 'old'), 'nats-server: v2.9.10')
    const env = { PATH: `${join(scratch.dir, 'old')}:${join(scratch.dir, 'bin')}` }
    const { message, code } = await failure(obtain(env))
    expect(code).toBe('broker-not-found')
    expect(message).toContain('PELTON_NATS_SERVER: not set')
    expect(message).toContain(`PATH: ${old} is 2.9.10, older than 2.14.0`)
    expect(message).toContain(`cache: none in ${cacheDir()}`)
    expect(message).toContain('official release: ')
    expect(message).toContain('Debian package: this is no Debian-family machine: no apt-get on PATH')
    for (const way of ['brew install', 'apt install', '/releases', 'docker run', 'PELTON_NATS_URL']) {
      expect(message).toContain(way)
    }
  })

  it('a release address nobody listens on fails at once', async () => {
    const closed = baseUrl()
    await new Promise((resolve) => server.close(resolve))
    const env = { PATH: join(scratch.dir, 'bin') }
    const error = await failure(ensureBroker({ env, cacheDir: cacheDir(), releaseBaseUrl: closed }))
    expect(error.message).toContain('ECONNREFUSED')
  })

  it('a cache folder that cannot be made is named', async () => {
    await writeFile(join(scratch.dir, 'file'), '')
    const env = { PATH: join(scratch.dir, 'bin') }
    const blocked = join(scratch.dir, 'file', 'cache')
    const error = await failure(ensureBroker({ env, cacheDir: blocked, releaseBaseUrl: baseUrl() }))
    expect(error.message).toContain('the cache folder cannot be made')
  })
})

describe('names', () => {
  it('the cache is below XDG_CACHE_HOME when that is absolute, else below HOME', () => {
    expect(defaultCacheDir({ XDG_CACHE_HOME: '/var/xdg', HOME: '/home/a' })).toBe('/var/xdg/pelton')
    expect(defaultCacheDir({ XDG_CACHE_HOME: 'relative', HOME: '/home/a' })).toBe('/home/a/.cache/pelton')
    expect(defaultCacheDir({ HOME: '/home/a' })).toBe('/home/a/.cache/pelton')
  })

  it('the asset is named for the platform, and an unknown one is refused', () => {
    expect(releaseName('linux', 'x64')).toBe(`nats-server-v${RELEASE_VERSION}-linux-amd64`)
    expect(releaseName('darwin', 'arm64')).toBe(`nats-server-v${RELEASE_VERSION}-darwin-arm64`)
    expect(() => releaseName('win32', 'x64')).toThrow('no release is known for win32 on x64')
    expect(() => releaseName('linux', 'mips')).toThrow('no release is known')
  })
})
