import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCommand } from '../../../shared/sdk/broker/command.ts'
import { findProgram } from '../../../shared/sdk/broker/find.ts'
import { freePorts } from '../../kit/ports.ts'
import { eventually } from '../../kit/wait.ts'

/** A Redis program, and what it needs to run. */
export interface RedisProgram {
  readonly path: string
  readonly version: string
  /** Libraries beside it. */
  readonly env: NodeJS.ProcessEnv
}

export interface Redis {
  readonly port: number
  readonly pid: number
  stop(): Promise<void>
}

const PACKAGES = ['redis-server', 'redis-tools']
const APT_TIMEOUT_MS = 300_000

/**
 * The Redis that is installed, or the one of this machine's Debian, unpacked into the cache without root and without
 * touching the system.
 *
 * @throws Error that says why there is none
 */
export async function obtainRedis(cache: string, note: (text: string) => void): Promise<RedisProgram> {
  const installed = await findProgram('redis-server', process.env)
  if (installed !== undefined) return programOf(installed, {})
  const tree = join(cache, 'redis')
  if (!existsSync(tree)) await unpack(cache, tree, note)
  const libraries = await readdir(join(tree, 'usr/lib'))
  const folders = libraries
    .filter((name) => name.includes('-linux-'))
    .map((name) => join(tree, 'usr/lib', name))
  return programOf(join(tree, 'usr/bin/redis-server'), { LD_LIBRARY_PATH: folders.join(':') })
}

async function programOf(path: string, libraries: NodeJS.ProcessEnv): Promise<RedisProgram> {
  const env = { ...process.env, ...libraries }
  const told = await runCommand(path, ['--version'], { env, timeoutMs: 10_000 })
  return { path, version: /v=(\S+)/.exec(told)?.[1] ?? told.trim(), env }
}

/** Redis, and of what it needs the libraries that are not installed. */
async function unpack(cache: string, tree: string, note: (text: string) => void): Promise<void> {
  note("downloading Debian's Redis")
  await mkdir(cache, { recursive: true })
  const workDir = await mkdtemp(join(cache, 'redis-'))
  try {
    const run = (program: string, ...args: string[]): Promise<string> =>
      runCommand(program, args, { env: process.env, cwd: workDir, timeoutMs: APT_TIMEOUT_MS })
    await run('apt-get', 'download', '-qq', ...PACKAGES, ...(await missingLibraries(run)))
    const unpacked = join(workDir, 'tree')
    for (const file of (await readdir(workDir)).filter((name) => name.endsWith('.deb')))
      await run('dpkg-deb', '-x', file, unpacked)
    await rename(unpacked, tree)
  } finally {
    await rm(workDir, { recursive: true, force: true })
  }
}

async function missingLibraries(
  run: (program: string, ...args: string[]) => Promise<string>,
): Promise<readonly string[]> {
  const depends = await run('apt-cache', 'depends', '--important', ...PACKAGES)
  const selections = await run('dpkg', '--get-selections')
  const present = new Set([...selections.matchAll(/^([^\s:]+)\S*\s+install$/gm)].map(([, name]) => name))
  return [...depends.matchAll(/Depends: (lib\S+)/g)].flatMap(([, name]) =>
    name === undefined || present.has(name) ? [] : [name],
  )
}

/** A Redis of its own, which appends each change to a file and syncs it every second: what its users take for durable. */
export async function startRedis({ path, env }: RedisProgram): Promise<Redis> {
  const folder = await mkdtemp(join(tmpdir(), 'pelton-bench-redis-'))
  const [port = 0] = await freePorts(1)
  const settings = {
    port,
    bind: '127.0.0.1',
    dir: folder,
    save: '',
    appendonly: 'yes',
    appendfsync: 'everysec',
    'maxmemory-policy': 'noeviction',
  }
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])
  const child = spawn(path, args, { env, stdio: 'ignore' })
  const ended = once(child, 'exit')
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await eventually('Redis to listen', () => listens(port), { limitMs: 20_000 })
  } catch (thrown) {
    await stop()
    throw thrown
  }
  return { port, pid: child.pid ?? 0, stop }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
