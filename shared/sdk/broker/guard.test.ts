import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import type { BrokerBinary } from './find.ts'
import { type GuardOptions, spawnGuard } from './guard.ts'
import { ensureBroker } from './obtain.ts'
import { waitUntilReady } from './readiness.ts'
import { gone, isRunning } from './testdata/processes.ts'
import { createScratch, type Scratch } from './testdata/stand-in.ts'

let binary: BrokerBinary
let scratch: Scratch

beforeAll(async () => {
  binary = await ensureBroker({ note: (text) => console.log(text) })
}, 300_000)
beforeEach(async () => {
  scratch = await createScratch()
})
afterEach(() => scratch.remove())

async function startGuarded(more: Partial<GuardOptions> = {}) {
  const dir = join(scratch.dir, 'data')
  await mkdir(dir)
  const configPath = join(dir, 'broker.conf')
  await writeFile(
    configPath,
    `listen: "127.0.0.1:-1"\nports_file_dir: "${dir}"\njetstream { store_dir: "${dir}" }\n`,
  )
  const log = await open(join(scratch.dir, 'log'), 'w')
  const guard = spawnGuard({ server: binary.path, configPath, logFd: log.fd, ...more })
  await log.close()
  const exited = once(guard, 'exit')
  return { guard, exited, dir, server: await waitUntilReady(dir, exited) }
}

it('guard ends the server when its input closes, and leaves a folder that is not temporary', async () => {
  const { guard, exited, dir, server } = await startGuarded()
  guard.stdin?.end()
  expect(await exited).toEqual([0, null])
  expect(await isRunning(server.pid)).toBe(false)
  expect(existsSync(dir)).toBe(true)
})

it('guard kills a server that does not answer SIGTERM and then removes the temporary folder', async () => {
  const temporaryDir = join(scratch.dir, 'data')
  const { guard, exited, server } = await startGuarded({ temporaryDir, graceTenths: 3 })
  process.kill(server.pid, 'SIGSTOP')
  guard.stdin?.end()
  expect(await exited).toEqual([137, null])
  expect(await isRunning(server.pid)).toBe(false)
  expect(existsSync(temporaryDir)).toBe(false)
})

it('guard hands on SIGTERM and keeps the temporary folder of a living parent', async () => {
  const temporaryDir = join(scratch.dir, 'data')
  const { guard, exited, server } = await startGuarded({ temporaryDir })
  guard.kill('SIGTERM')
  expect(await exited).toEqual([0, null])
  await gone(server.pid)
  expect(existsSync(temporaryDir)).toBe(true)
  expect(await readFile(join(scratch.dir, 'log'), 'utf8')).toContain('Server Exiting')
})

it('guard exits with the code of a server that fails', async () => {
  const configPath = join(scratch.dir, 'broken.conf')
  await writeFile(configPath, 'listen {')
  const log = await open(join(scratch.dir, 'log'), 'w')
  // Listened to at once: it fails sooner than a file is closed.
  const exited = once(spawnGuard({ server: binary.path, configPath, logFd: log.fd }), 'exit')
  await log.close()
  expect(await exited).toEqual([1, null])
})
