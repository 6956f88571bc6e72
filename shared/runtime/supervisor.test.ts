import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { PATIENT } from '../../test/kit/wait.ts'
import { Supervisor, type SupervisorOptions } from './supervisor.ts'

let folder: string
let supervisor: Supervisor | undefined

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pelton-supervisor-'))
})

afterEach(async () => {
  await Promise.all([supervisor?.stop(), supervisor?.stop()])
  supervisor = undefined
  await rm(folder, { recursive: true })
})

/** Supervises processes that run `script`, and records what they and the supervisor say. */
async function supervise(script: string, given: Partial<SupervisorOptions> = {}) {
  const path = join(folder, 'child.mjs')
  await writeFile(path, script)
  const notes: string[] = []
  const lines: string[] = []
  const states: string[] = []
  supervisor = new Supervisor({
    entry: { url: pathToFileURL(path), execArgv: [] },
    env: (index) => ({ ...process.env, INDEX: String(index) }),
    count: 1,
    onLine: (line, index) => lines.push(`${index} ${line}`),
    note: (text) => notes.push(text),
    onState: (state, index) => states.push(`${index} ${state}`),
    ...given,
  })
  return { supervisor, notes, lines, states }
}

const STAYS = `
  process.on('SIGTERM', () => { console.log('draining'); process.exit(0) })
  process.send({ kind: 'state', state: 'ready' })
  setInterval(() => {}, 1000)
`

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('Supervisor', () => {
  it('runs as many processes as asked, each with its environment, and tells their states', async () => {
    const { states, lines } = await supervise(`console.log(process.env.INDEX)\n${STAYS}`, { count: 2 })
    await vi.waitFor(() => expect([...states].sort()).toEqual(['0 ready', '1 ready']), PATIENT)
    expect([...lines].sort()).toEqual(['0 0', '1 1'])
  })

  it('starts a killed process again', async () => {
    const run = await supervise(STAYS)
    await vi.waitFor(() => expect(run.states).toHaveLength(1), PATIENT)
    const [first = 0] = run.supervisor.pids
    process.kill(first, 'SIGKILL')
    await vi.waitFor(() => expect(run.states).toHaveLength(2), PATIENT)
    expect(run.supervisor.pids).not.toContain(first)
    expect(run.notes).toEqual([
      'worker 1 was ended from outside (signal SIGKILL); starting it again in 200 ms',
    ])
  })

  it('takes the exit code of a process from its own word, where it had to kill itself', async () => {
    const run = await supervise(
      `process.send({ kind: 'ending', code: 3 }, () => process.kill(process.pid, 'SIGKILL'))`,
    )
    await vi.waitFor(() => expect(run.notes.length).toBeGreaterThan(0), PATIENT)
    expect(run.notes[0]).toBe('worker 1 ended (exit code 3); starting it again in 200 ms')
  })

  it('starts the successor of a process that asks for one, and asks that to stop once the other is ready', async () => {
    const marker = JSON.stringify(join(folder, 'asked'))
    const run = await supervise(`
      import { existsSync, writeFileSync } from 'node:fs'
      process.on('SIGTERM', () => { console.log('draining'); process.exit(0) })
      const isFirst = !existsSync(${marker})
      process.on('message', ({ kind }) => console.log(kind))
      process.send({ kind: 'state', state: 'ready' })
      if (isFirst) { writeFileSync(${marker}, ''); process.send({ kind: 'replace', because: 'it hangs' }) }
    `)
    await vi.waitFor(() => expect(run.lines).toEqual(['0 replacing', '0 draining']), PATIENT)
    await vi.waitFor(() => expect(run.supervisor.pids).toHaveLength(1), PATIENT)
    expect(run.states).toEqual(['0 ready', '0 ready'])
    expect(run.notes).toEqual(['worker 1 is replaced: it hangs'])
  })

  it('calls a crash loop by its name, with the last words of the process', async () => {
    const run = await supervise(`console.error('no such model'); process.exit(1)`)
    await vi.waitFor(() => expect(run.notes).toHaveLength(4), PATIENT)
    expect(run.notes.map((note) => / in (\d+ ms)$/.exec(note)?.[1])).toEqual([
      '200 ms',
      '400 ms',
      '800 ms',
      undefined,
    ])
    expect(run.notes[3]).toMatch(
      /crash loop: it ended 4 times .*The last it said: no such model\. Trying again/,
    )
  })

  it('gives the reason of a crash loop, not the line of the log', async () => {
    const words = { level: 'fatal', model: 'churn', err: { message: 'out of memory' }, msg: 'failed' }
    const last = { level: 'info', state: 'failed', msg: 'lifecycle' }
    const run = await supervise(
      `console.log(${JSON.stringify(JSON.stringify(words))})
       console.log(${JSON.stringify(JSON.stringify(last))})
       console.error('    at run (worker.ts:1:1)\\n\\nNode.js v20.20.2')
       process.exit(1)`,
    )
    await vi.waitFor(() => expect(run.notes).toHaveLength(4), PATIENT)
    expect(run.notes[3]).toContain('The last it said: fatal: churn: failed (out of memory). Trying again')
  })

  it('counts no end from outside as a crash, but each end it announced', async () => {
    const ready = `process.send({ kind: 'state', state: 'ready' })`
    const run = await supervise(`${ready}\nsetInterval(() => {}, 1000)`)
    for (let killed = 1; killed <= 6; killed++) {
      await vi.waitFor(() => expect(run.states).toHaveLength(killed), PATIENT)
      process.kill(run.supervisor.pids[0] ?? 0, 'SIGKILL')
      await vi.waitFor(() => expect(run.notes).toHaveLength(killed), PATIENT)
    }
    const outside = 'worker 1 was ended from outside (signal SIGKILL); starting it again in 200 ms'
    expect(run.notes).toEqual(Array(6).fill(outside))
    await run.supervisor.stop()
    const fatal = JSON.stringify(JSON.stringify({ level: 'fatal', msg: 'a run does not end' }))
    const own = await supervise(
      `process.send({ kind: 'state', state: 'ready' }, () => {
         console.log(${fatal})
         process.kill(process.pid, 'SIGKILL')
       })`,
    )
    await vi.waitFor(() => expect(own.notes).toHaveLength(4), PATIENT)
    expect(own.notes[0]).toBe('worker 1 ended (signal SIGKILL); starting it again in 200 ms')
    expect(own.notes[3]).toContain('crash loop: it ended 4 times in a row (signal SIGKILL)')
  })

  it('does not try settings again that cannot be used', async () => {
    const onGivenUp = vi.fn()
    const run = await supervise('process.exit(2)', { count: 2, onGivenUp })
    await vi.waitFor(() => expect(onGivenUp).toHaveBeenCalledOnce(), PATIENT)
    expect(run.notes).toHaveLength(2)
    expect(run.notes[0]).toMatch(/cannot use its settings .*not started again/)
    expect(run.supervisor.pids).toEqual([])
  })

  it('lets processes drain when stopped, and starts none again', async () => {
    const run = await supervise(STAYS, { count: 2 })
    await vi.waitFor(() => expect(run.states).toHaveLength(2), PATIENT)
    const { pids } = run.supervisor
    await run.supervisor.stop()
    expect([...run.lines].sort()).toEqual(['0 draining', '1 draining'])
    expect(pids.filter(isAlive)).toEqual([])
    expect(run.notes).toEqual([])
  })

  it('kills at the second call what does not drain', async () => {
    const run = await supervise(STAYS.replace('process.exit(0)', ''))
    await vi.waitFor(() => expect(run.states).toHaveLength(1), PATIENT)
    const { pids } = run.supervisor
    const drained = run.supervisor.stop()
    await vi.waitFor(() => expect(run.lines).toEqual(['0 draining']), PATIENT)
    await run.supervisor.stop()
    await drained
    expect(pids.filter(isAlive)).toEqual([])
  })
})
