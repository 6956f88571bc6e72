import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createHostedReplays } from '../../services/control/hosting/hosted-replays.ts'
import { openStore } from '../../shared/operations/replay/open-store.ts'
import { readTask } from '../../shared/operations/replay/task.ts'
import { siblingEntry } from '../../shared/runtime/source-entry.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { readOutcomes } from '../kit/outcomes.ts'
import { openTcpProxy, type TcpProxy } from '../kit/tcp-proxy.ts'
import { onAccountTrouble } from './account-trouble.ts'
import { startControl } from './control-process.ts'
import { GOOD, MODEL, openReplayStage, PATIENT, type ReplayStage } from './replay-stage.ts'

const COUNT = 150

let stage: ReplayStage
let proxy: TcpProxy
let children: ChildProcess[]

beforeEach(async () => {
  children = []
  stage = await openReplayStage()
  proxy = await openTcpProxy(stage.broker.port)
  await stage.startWorker()
  await stage.deadLetters(Array.from({ length: COUNT }, () => GOOD))
})

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  await proxy.close()
  await stage.close()
})

const url = (): string => `nats://127.0.0.1:${proxy.port}`

describe('a broker that is away for longer than a replay is patient', () => {
  test('leaves a hosted replay that its control service takes up again and ends', async () => {
    const store = openStore(await stage.broker.connect({ url: url() }), { patienceMs: 0 })
    let hasLost = false
    onAccountTrouble(store, () => {
      hasLost = true
    })
    const replays = createHostedReplays(store, pino({ level: 'silent' }), 'here')
    const { task } = await replays.start({ filter: {}, options: { rate: 60, rampSeconds: 0 } }, 'ops')
    await stage.inTheMiddleOf(COUNT)
    proxy.cut()
    await vi.waitFor(() => expect(hasLost).toBe(true), PATIENT)
    proxy.heal()
    await vi.waitFor(async () => {
      await replays.adopt()
      const { value } = await readTask(store.keyValue, task?.id ?? '')
      expect(value).toMatchObject({ state: 'done', counts: { predicted: COUNT, failed: 0 } })
    }, PATIENT)
    expect(await stage.lastIn(STREAMS.features)).toBe(2 * COUNT)
    expect((await readOutcomes(stage.connection)).predictions.size).toBe(COUNT)
    await vi.waitFor(async () => expect(await stage.keptOf('hosted')).toEqual([]), PATIENT)
    expect(await stage.keptOf('held')).toEqual([])
    store.close()
  })

  test('ends a replay of the command line, and its process with it', async () => {
    const { url: script, execArgv } = siblingEntry(import.meta.url, './replay-outage-process')
    const child = spawn(process.execPath, [...execArgv, fileURLToPath(script), url()], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    children.push(child)
    const ended = once(child, 'exit')
    await stage.inTheMiddleOf(COUNT)
    proxy.cut()
    await once(child.stdout, 'data')
    proxy.heal()
    expect(await ended).toEqual([1, null])
  })
})

describe('a control service that was stopped while another took its replay over', () => {
  test('writes nothing to the ledger any more once it has found out', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'pelton-stopped-'))
    const options = { url: stage.broker.url, dataDir, env: { PELTON_AUDIT_EVERY_MS: '0' } }
    const first = await startControl(options)
    const second = await startControl({ ...options, env: { PELTON_CONTROL_NAME: 'second', ...options.env } })
    try {
      const body = { filter: { model: MODEL }, rate: 60, rampSeconds: 0 }
      const { id } = (await first.call('POST', '/v1/replays', { body })).json.task
      await stage.inTheMiddleOf(COUNT)
      const task = async () => (await second.call('GET', `/v1/replays/${id}`)).json
      const pace = { eventsPerSecond: expect.any(Number), underWay: expect.any(Number) }
      expect(await task()).toMatchObject({ ...pace, etaMs: expect.any(Number) })
      first.kill('SIGSTOP')
      await vi.waitFor(async () => expect((await task()).state).toBe('done'), PATIENT)
      first.kill('SIGCONT')
      const said = (msg: string) => first.log.some((entry) => entry.msg === msg)
      await vi.waitFor(() => expect(said('a replay stopped')).toBe(true), PATIENT)
      const last = await stage.lastIn(STREAMS.ledger)
      const looks = async (): Promise<number> =>
        Date.parse((await second.call('GET', '/v1/watch')).json.lookedAt)
      const since = await looks()
      await vi.waitFor(async () => expect(await looks()).toBeGreaterThan(since + 2_000), PATIENT)
      expect(await stage.lastIn(STREAMS.ledger)).toBe(last)
      expect((await task()).counts).toMatchObject({ predicted: COUNT, failed: 0 })
    } finally {
      for (const { kill } of [first, second]) kill('SIGKILL')
      await Promise.all([first.ended, second.ended])
      await rm(dataDir, { recursive: true, force: true })
    }
  })
})
