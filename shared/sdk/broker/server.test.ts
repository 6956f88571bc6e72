import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type { BrokerBinary } from './find.ts'
import { ensureBroker } from './obtain.ts'
import { type EmbeddedBroker, type StartBrokerOptions, startBroker } from './server.ts'
import { gone, isRunning, runningProcesses } from './testdata/processes.ts'
import { createScratch, type Scratch } from './testdata/stand-in.ts'

let binary: BrokerBinary
let scratch: Scratch
let started: EmbeddedBroker[]

beforeAll(async () => {
  binary = await ensureBroker({ note: (text) => console.log(text) })
}, 300_000)
beforeEach(async () => {
  scratch = await createScratch()
  started = []
})
afterEach(async () => {
  await Promise.all(started.map((broker) => broker.stop()))
  await scratch.remove()
})

async function start(options: StartBrokerOptions = {}): Promise<EmbeddedBroker> {
  const broker = await startBroker({ binary, ...options })
  started.push(broker)
  return broker
}

async function store(url: string, subject: string): Promise<void> {
  const connection = await connect({ servers: url })
  const manager = await jetstreamManager(connection)
  await manager.streams.add({ name: 'EVENTS', subjects: ['events.>'] })
  await jetstream(connection).publish(subject, 'kept')
  await connection.close()
}

async function storedCount(url: string): Promise<number> {
  const connection = await connect({ servers: url })
  const { state } = await (await jetstreamManager(connection)).streams.info('EVENTS')
  await connection.close()
  return state.messages
}

describe('startBroker', () => {
  it('gives a server with JetStream on a free port of the loopback, in a fresh folder', async () => {
    const [one, two] = [await start(), await start()]
    expect(one.port).not.toBe(two.port)
    expect(one.dataDir).not.toBe(two.dataDir)
    expect(one.url).toBe(`nats://127.0.0.1:${one.port}`)
    await store(one.url, 'events.a')
    expect(await storedCount(one.url)).toBe(1)
  })

  it('takes the port, extra configuration and synced writes', async () => {
    const first = await start()
    await first.stop()
    const broker = await start({ port: first.port, config: 'max_payload: 3MB', durability: 'power' })
    expect(broker.port).toBe(first.port)
    const connection = await connect({ servers: broker.url })
    expect(connection.info?.max_payload).toBe(3 * 1024 * 1024)
    await connection.close()
    expect(await readFile(join(broker.dataDir, 'broker.conf'), 'utf8')).toContain('sync_interval: "always"')
  })

  it('works in a folder whose name needs quoting, keeps it, and finds its data again', async () => {
    const dataDir = join(scratch.dir, 'a "quoted" $folder \\ of mine')
    const first = await start({ dataDir })
    await store(first.url, 'events.a')
    await first.stop()
    expect(await storedCount((await start({ dataDir })).url)).toBe(1)
  })

  it('refuses a data folder that another broker serves', async () => {
    const dataDir = join(scratch.dir, 'shared')
    const first = await start({ dataDir })
    await expect(start({ dataDir })).rejects.toMatchObject({
      code: 'invalid-argument',
      details: { field: 'dataDir' },
      message: expect.stringContaining(first.url),
    })
    await store(first.url, 'events.a')
  })

  it('says what the server said when the port is taken, and leaves nothing behind', async () => {
    const tmp = join(scratch.dir, 'tmp')
    await mkdir(tmp)
    vi.stubEnv('TMPDIR', tmp)
    const { port } = await start({ dataDir: join(scratch.dir, 'first') })
    await expect(start({ port })).rejects.toMatchObject({
      code: 'broker-unavailable',
      message: expect.stringContaining('address already in use'),
    })
    vi.unstubAllEnvs()
    expect(await readdir(tmp)).toEqual([])
  })

  it('says what the server said about a configuration it cannot read', async () => {
    await expect(start({ config: 'max_payload {' })).rejects.toThrow(/Parse error/)
  })

  it('says so when the binary cannot be run', async () => {
    const missing = { ...binary, path: join(scratch.dir, 'missing') }
    await expect(start({ binary: missing })).rejects.toMatchObject({ code: 'broker-unavailable' })
  })
})

describe('a running broker', () => {
  it('comes back from kill and restart on the same port with its data', async () => {
    const broker = await start({ durability: 'power' })
    const { port, pid } = broker
    await store(broker.url, 'events.a')
    await broker.kill()
    expect(await isRunning(pid)).toBe(false)
    expect(await broker.exited).toEqual({ code: 137, expected: true })
    await broker.restart()
    expect(broker.port).toBe(port)
    expect(broker.pid).not.toBe(pid)
    expect(await storedCount(broker.url)).toBe(1)
    await broker.restart()
    expect(await storedCount(broker.url)).toBe(1)
  })

  it('tells when the server ended unasked, and with which code', async () => {
    const broker = await start()
    process.kill(broker.pid, 'SIGKILL')
    expect(await broker.exited).toEqual({ code: 137, expected: false })
    expect(existsSync(broker.dataDir)).toBe(true)
  })

  it('stops once however often asked, removes its temporary folder, and does not restart', async () => {
    const broker = await start()
    await Promise.all([broker.restart(), broker.stop(), broker.stop()])
    expect(await isRunning(broker.pid)).toBe(false)
    expect(existsSync(broker.dataDir)).toBe(false)
    expect(await broker.exited).toEqual({ code: 0, expected: true })
    await expect(broker.restart()).rejects.toMatchObject({ code: 'closed' })
  })
})

interface Family {
  readonly parent: ChildProcess
  readonly server: number
  readonly guard: number
  readonly watchers: readonly number[]
  readonly dataDir: string
}

/** Starts a process that starts a broker, with the temporary folders of both below `scratch`. */
async function startFamily(): Promise<Family> {
  const script = fileURLToPath(new URL('./testdata/broker-parent.ts', import.meta.url))
  const env = { ...process.env, PELTON_NATS_SERVER: binary.path, TMPDIR: scratch.dir }
  const parent = spawn(process.execPath, ['--import', 'tsx', script], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = await once(createInterface(parent.stdout), 'line')
  const { pid, dataDir } = JSON.parse(String(line)) as { pid: number; dataDir: string }
  const all = await runningProcesses()
  const guard = all.find((one) => one.pid === pid)?.parent ?? Number.NaN
  const watchers = all.filter((one) => one.parent === guard && one.pid !== pid).map((one) => one.pid)
  expect(watchers).toHaveLength(1)
  return { parent, server: pid, guard, watchers, dataDir }
}

async function expectNothingLeft({ server, guard, watchers, dataDir }: Family): Promise<void> {
  for (const pid of [server, guard, ...watchers]) await gone(pid)
  expect(existsSync(dataDir)).toBe(false)
}

describe('a broker never outlives its parent', { timeout: 60_000 }, () => {
  it.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)('ended by %s', async (name) => {
    const family = await startFamily()
    family.parent.kill(name)
    await once(family.parent, 'exit')
    await expectNothingLeft(family)
  })

  it('when the guard is killed first and the parent after it', async () => {
    const family = await startFamily()
    process.kill(family.guard, 'SIGKILL')
    await gone(family.guard)
    family.parent.kill('SIGKILL')
    await expectNothingLeft(family)
  })

  it('and leaves no guard or watcher when the server ends first', async () => {
    const family = await startFamily()
    process.kill(family.server, 'SIGKILL')
    for (const pid of [family.server, family.guard, ...family.watchers]) await gone(pid)
    family.parent.kill('SIGKILL')
    await once(family.parent, 'exit')
  })
})
