import { execFile, spawn } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { ROOT } from '../drift/observability-files.ts'
import { plainEnv } from './cli-process.ts'

let folder: string
const groups: number[] = []

/** npm runs a script through a shell, which may stay in between, or become the program. */
const SHELLS = {
  'a shell in between': '#!/bin/sh\nshift\neval "$1"\nexit $?\n',
  'a shell that becomes the program': '#!/bin/sh\nshift\neval "exec $1"\n',
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pelton-npm-'))
})

afterAll(async () => {
  const processes = [...(await readProcesses()).values()]
  for (const group of groups)
    if (processes.some((each) => each.group === group)) process.kill(-group, 'SIGKILL')
  await rm(folder, { recursive: true, force: true })
})

/** Starts an npm script of this repository as a person at a terminal would: in a process group of its own. */
async function startNpm(args: readonly string[], script: string) {
  const own = await mkdtemp(join(folder, 'npm-'))
  const shell = join(own, 'sh')
  await writeFile(shell, script)
  await chmod(shell, 0o755)
  const child = spawn('npm', [...args], {
    cwd: ROOT,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...plainEnv(),
      npm_config_script_shell: shell,
      PELTON_DATA: join(own, 'data'),
      PELTON_CONTROL_PORT: '0',
    },
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      said += chunk
    })
  // Once nobody can say more: npm may be gone before what it started.
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve())
  })
  const pid = child.pid ?? 0
  groups.push(pid)
  let hasEnded = false
  void ended.then(() => {
    hasEnded = true
  })
  const until = async (text: string): Promise<void> => {
    const isThere = (): boolean => said.includes(text) || hasEnded
    await vi.waitFor(() => expect(isThere()).toBe(true), { timeout: 100_000, interval: 100 })
    expect(said).toContain(text)
  }
  return { pid, ended, until, said: () => said }
}

interface Running {
  readonly parent: number
  readonly group: number
  readonly what: string
}

/** Processes that run, by their ids. What has ended and waits for its parent is gone. */
async function readProcesses(): Promise<ReadonlyMap<number, Running>> {
  const { stdout } = await promisify(execFile)('ps', ['-eo', 'pid=,ppid=,pgid=,stat=,args='])
  const rows = [...stdout.matchAll(/^ *(\d+) +(\d+) +(\d+) +([^Z]\S*) +(.*)$/gm)]
  return new Map(
    rows.map(([, pid, parent, group, , what = '']) => [
      Number(pid),
      { parent: Number(parent), group: Number(group), what },
    ]),
  )
}

/** Ids of a process and all below it. */
async function familyOf(pid: number): Promise<readonly number[]> {
  const processes = await readProcesses()
  const family = new Set([pid])
  for (const member of family)
    for (const [each, { parent }] of processes) if (parent === member) family.add(each)
  return [...family]
}

async function expectGone(family: readonly number[]): Promise<void> {
  await vi.waitFor(
    async () => {
      const processes = await readProcesses()
      expect(family.flatMap((pid) => processes.get(pid)?.what ?? [])).toEqual([])
    },
    { timeout: 100_000, interval: 200 },
  )
}

describe.each(Object.entries(SHELLS))('npm run pelton -- up, through %s', (_shell, script) => {
  const up = ['run', '-s', 'pelton', '--', 'up']

  it('ends all it started after SIGTERM to npm alone, and drains', async () => {
    const npm = await startNpm(up, script)
    await npm.until('the worker takes events')
    await npm.until('control: http')
    const family = await familyOf(npm.pid)
    expect(family.length).toBeGreaterThanOrEqual(6) // npm, its script, pelton, broker, worker, control
    process.kill(npm.pid, 'SIGTERM')
    await expectGone(family)
    await npm.ended
    expect(npm.said()).toMatch(/^stopping: workers finish what they hold(.*\n)*stopped$/m) // not forced
  })

  it.each(['SIGINT', 'SIGTERM'] as const)('drains after %s to the group', async (signal) => {
    const npm = await startNpm(up, script)
    await npm.until('the worker takes events')
    const family = await familyOf(npm.pid)
    process.kill(-npm.pid, signal)
    await expectGone(family)
    await npm.ended
    expect(npm.said()).toMatch(/^stopping: workers finish what they hold(.*\n)*stopped$/m) // not forced
  })
})

describe('npm start', () => {
  it('ends all it started after SIGTERM to npm alone', async () => {
    const npm = await startNpm(['start', '--silent'], SHELLS['a shell in between'])
    await npm.until('broker: embedded')
    const family = await familyOf(npm.pid)
    process.kill(npm.pid, 'SIGTERM')
    await expectGone(family)
    await npm.ended
    expect(npm.said()).toContain('stopping: waiting for the answers to what was sent')
  })
})
