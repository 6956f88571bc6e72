import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { NatsConnection } from '@nats-io/transport-node'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { siblingEntry } from '../../shared/runtime/source-entry.ts'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { readStream } from '../kit/outcomes.ts'
import { runCli } from './cli-process.ts'
import { type ControlProcess, startControl } from './control-process.ts'

const PATIENT = { timeout: 60_000, interval: 50 }
const MODEL = 'flight-delay'
const COUNT = 30

let broker: TestBroker
let connection: NatsConnection
let window: PublishWindow
let dataDir: string
let control: ControlProcess | undefined
let children: ChildProcess[]

beforeEach(async () => {
  control = undefined
  children = []
  dataDir = await mkdtemp(join(tmpdir(), 'pelton-removal-'))
  broker = await startTestBroker()
  connection = await broker.connect()
  await broker.provision()
  window = new PublishWindow(connection)
})

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  control?.kill('SIGKILL')
  await control?.ended
  window.close()
  await broker.stop()
  await rm(dataDir, { recursive: true, force: true })
})

/** Dead letters as a worker stores them. */
async function storeLetters(): Promise<void> {
  const epoch = (await streamInfo(connection, STREAMS.features))?.created ?? ''
  for (let index = 1; index <= COUNT; index++) {
    const token = eventToken(MODEL, 'test', `e${index}`)
    const reply = await window.publish({
      subject: subjects.deadLetter(MODEL, token),
      headers: [
        [HEADERS.id, `e${index}`],
        [HEADERS.source, 'test'],
        [HEADERS.token, token],
        [HEADERS.origin, `${STREAMS.features} ${epoch} ${index}`],
        [HEADERS.deadLetterReason, 'shed'],
        [HEADERS.failedAt, new Date().toISOString()],
        [HEADERS.originalSubject, subjects.feature({ pool: 'default', model: MODEL, lane: 'normal' })],
      ],
      body: Buffer.from('{}'),
    })
    expect(reply.kind).toBe('stored')
  }
}

function discard(step: string, nth: number, signal: NodeJS.Signals): ChildProcess {
  const { url, execArgv } = siblingEntry(import.meta.url, './removal-crash-process')
  const args = [...execArgv, fileURLToPath(url), broker.url, MODEL, step, String(nth), signal]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  children.push(child)
  return child
}

const exited = (child: ChildProcess): Promise<unknown> =>
  new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code)))

async function keysOf(prefix: string): Promise<string[]> {
  const records = await readStream(connection, 'KV_pelton-replays')
  return records.map(({ subject }) => subject).filter((subject) => subject.includes(`.${prefix}.`))
}

const letters = async (): Promise<number> =>
  (await streamInfo(connection, STREAMS.deadLetters))?.state.messages ?? 0

/** What control says of the removal it ended. */
async function endedByControl(): Promise<{ released: number; removed: number }> {
  const started = await startControl({ url: broker.url, dataDir, env: { PELTON_CONTROL_NAME: 'the-watch' } })
  control = started
  return vi.waitFor(async () => {
    const { acts } = (await started.call('GET', '/v1/watch')).json
    expect(acts).toEqual([expect.objectContaining({ what: 'removal-ended', by: 'the-watch' })])
    return acts[0]
  }, PATIENT)
}

async function history(): Promise<Record<string, unknown>> {
  const { out } = await runCli(['dead-letters', 'history', '--json'], {
    env: { PELTON_NATS_URL: broker.url },
  })
  return JSON.parse(out)
}

const STEPS: readonly [name: string, step: string, nth: number, isBegun: boolean][] = [
  ['taking some', '.held.', 5, false],
  ['taking all', '.held.', COUNT, false],
  ['naming them in the ledger', 'ledger.', 1, true],
  ['removing some', 'STREAM.MSG.DELETE.', 3, true],
]

test.each(STEPS)(
  'a discard killed after %s holds nothing any more once a control service has looked',
  async (_name, step, nth, isBegun) => {
    await storeLetters()
    expect(await exited(discard(step, nth, 'SIGKILL'))).toBe('SIGKILL')
    expect((await keysOf('held')).length).toBeGreaterThan(0)
    const held = (await keysOf('held')).length
    const { released, removed } = await endedByControl()
    expect(released + removed).toBe(held)
    expect([await keysOf('held'), await keysOf('acting')]).toEqual([[], []])
    const left = isBegun ? 0 : COUNT
    expect(await letters()).toBe(left)
    const { isComplete, note } = await history()
    expect([isComplete, note]).toEqual([false, expect.stringMatching(/its process ended; by the-watch: /)])
    const args = ['replay', 'plan', '--reason', 'shed', '--json']
    const plan = await runCli(args, { env: { PELTON_NATS_URL: broker.url } })
    expect(plan.json()[0]).toMatchObject({ sent: left })
  },
)

test('a discard that stands still and wakes after control ended it does nothing more', async () => {
  await storeLetters()
  const child = discard('.held.', COUNT, 'SIGSTOP')
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  await vi.waitFor(async () => expect(await keysOf('held')).toHaveLength(COUNT), PATIENT)
  expect(await endedByControl()).toMatchObject({ released: COUNT, removed: 0 })
  const ended = exited(child)
  child.kill('SIGCONT')
  expect(await ended).toBe(1)
  expect(said).toContain('took this process for dead')
  expect(await letters()).toBe(COUNT)
  expect([await keysOf('held'), await keysOf('acting')]).toEqual([[], []])
})
