import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EXIT_CODES } from './lifecycle.ts'

const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href
const lifecycle = new URL('./lifecycle.ts', import.meta.url).href
const logging = new URL('./logging.ts', import.meta.url).href
const names = new URL('../sdk/contract/names.ts', import.meta.url).href

let folder: string
let child: ChildProcess | undefined
/** What the process printed: its states and what its service did, in order. */
let said: string[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pelton-lifecycle-'))
  child = undefined
  said = []
})
afterEach(async () => {
  child?.kill('SIGKILL')
  await rm(folder, { recursive: true, force: true })
})

/** Runs a service in a process of its own, because its signals are the process's. Ends with what `start` is. */
async function run(start: string, graceMs: number): Promise<number | null> {
  const program = join(folder, 'program.mts')
  await writeFile(
    program,
    `import { runService } from ${JSON.stringify(lifecycle)}
     import { createLogger } from ${JSON.stringify(logging)}
     import { PLAIN_NAMES } from ${JSON.stringify(names)}
     const say = (text: string) => console.log(text)
     const never = new Promise<void>(() => {})
     setInterval(() => {}, 1_000)
     const options = { log: createLogger('t', 'silent', PLAIN_NAMES), graceMs: ${graceMs}, onState: say }
     process.exit(await runService(${start}, options))`,
  )
  const process_ = spawn(process.execPath, ['--import', tsx, program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child = process_
  createInterface({ input: process_.stdout }).on('line', (line) => said.push(line))
  const [code] = await once(process_, 'close')
  return code as number | null
}

/** Resolves once the process has printed `text`. */
async function until(text: string): Promise<void> {
  while (!said.includes(text)) await new Promise((resolve) => setTimeout(resolve, 10))
}

const service = (parts: string) => `async () => {
  let end = () => {}
  const ended = new Promise<void>((resolve) => { end = resolve })
  return { run: () => ended, stop: async () => { say('stop'); end() }, abort: () => say('abort'), ${parts} }
}`

describe('runService', { timeout: 60_000 }, () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('drains on %s and ends with 0', async (signal) => {
    const code = run(service(''), 60_000)
    await until('ready')
    child?.kill(signal)
    expect(await code).toBe(EXIT_CODES.ok)
    expect(said).toEqual(['starting', 'ready', 'draining', 'stop', 'stopped'])
  })

  it('forces on a second signal while it drains', async () => {
    const code = run(service(`stop: () => { say('stop'); return never }`), 60_000)
    await until('ready')
    child?.kill('SIGTERM')
    await until('stop')
    child?.kill('SIGINT')
    expect(await code).toBe(EXIT_CODES.forced)
    expect(said).toEqual(['starting', 'ready', 'draining', 'stop', 'abort', 'failed'])
  })

  it('forces when the grace period is over', async () => {
    const code = run(service(`stop: () => { say('stop'); return never }`), 50)
    await until('ready')
    child?.kill('SIGTERM')
    expect(await code).toBe(EXIT_CODES.forced)
    expect(said).toEqual(['starting', 'ready', 'draining', 'stop', 'abort', 'failed'])
  })

  it('waits for what is still running after stop has returned', async () => {
    const late = `run: () => never, stop: async () => say('stop')`
    const code = run(service(late), 50)
    await until('ready')
    child?.kill('SIGTERM')
    expect(await code).toBe(EXIT_CODES.forced)
    expect(said.slice(-2)).toEqual(['abort', 'failed'])
  })

  it.each([
    ['it cannot start', `async () => { throw new Error('no') }`, ['starting', 'failed']],
    [
      'it ends with an error',
      service(`run: () => Promise.reject(new Error('no'))`),
      ['starting', 'ready', 'failed'],
    ],
    ['it ends by itself', service('run: async () => {}'), ['starting', 'ready', 'failed']],
  ])('fails when %s', async (_what, start, states) => {
    expect(await run(start, 60_000)).toBe(EXIT_CODES.failed)
    expect(said).toEqual(states)
  })

  it('fails when it cannot drain', async () => {
    const code = run(service(`stop: () => Promise.reject(new Error('no'))`), 60_000)
    await until('ready')
    child?.kill('SIGTERM')
    expect(await code).toBe(EXIT_CODES.failed)
    expect(said).toEqual(['starting', 'ready', 'draining', 'failed'])
  })

  it('drains at once what was told to end while it started', async () => {
    const slow = `async () => {
      say('opening')
      await new Promise<void>((resolve) => process.once('SIGTERM', () => setImmediate(resolve)))
      return (${service('')})()
    }`
    const code = run(slow, 60_000)
    await until('opening')
    child?.kill('SIGTERM')
    expect(await code).toBe(EXIT_CODES.ok)
    expect(said).toEqual(['starting', 'opening', 'ready', 'draining', 'stop', 'stopped'])
  })

  it('ends in peace when it is told to end while its start waits', async () => {
    const waits = `(stopping) => new Promise((_resolve, reject) => {
      stopping.addEventListener('abort', () => reject(stopping.reason))
    })`
    const code = run(waits, 60_000)
    await until('starting')
    child?.kill('SIGTERM')
    expect(await code).toBe(EXIT_CODES.ok)
    expect(said).toEqual(['starting', 'stopped'])
  })

  it('is forced out of a start that hangs by a second signal', async () => {
    const hung = `async () => { process.once('SIGTERM', () => say('told')); say('opening'); return never as never }`
    const code = run(hung, 60_000)
    await until('opening')
    child?.kill('SIGTERM')
    await until('told')
    child?.kill('SIGTERM')
    expect(await code).toBe(EXIT_CODES.forced)
    expect(said).toEqual(['starting', 'opening', 'told', 'failed'])
  })

  it('is forced out of a start that hangs by the end of the grace period', async () => {
    const code = run(`async () => { say('opening'); return never as never }`, 50)
    await until('opening')
    child?.kill('SIGTERM')
    expect(await code).toBe(EXIT_CODES.forced)
    expect(said).toEqual(['starting', 'opening', 'failed'])
  })
})
