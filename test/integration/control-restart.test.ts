import { once } from 'node:events'
import { join } from 'node:path'
import { describe, expect, vi } from 'vitest'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { readOutcomes, readStream } from '../kit/outcomes.ts'
import { staged } from '../kit/staged.ts'
import { PATIENT } from '../kit/wait.ts'
import { runCli, startCli } from './cli-process.ts'
import type { ControlProcess } from './control-process.ts'
import { type ControlStage, looksFor, openControlStage } from './control-stage.ts'
import { GOOD } from './replay-stage.ts'

const COUNT = 150
/** Events a second: slow enough to be met in the middle. */
const RATE = 40

const test = staged(openStage)
/** Without a worker. */
const bare = staged(openControlStage)

type Stage = Awaited<ReturnType<typeof openStage>>

async function openStage() {
  const stage = await openControlStage()
  await stage.startWorker()
  return { ...stage, inTheMiddle: () => stage.inTheMiddleOf(COUNT) }
}

const letters = ({ deadLetters }: ControlStage, count = COUNT): Promise<string[]> =>
  deadLetters(Array.from({ length: count }, () => GOOD))

async function startReplay(process: ControlProcess): Promise<string> {
  const body = { all: true, rate: RATE, rampSeconds: 0 }
  const started = await process.call('POST', '/v1/replays', { body, headers: { 'pelton-operator': 'ops' } })
  expect(started.status, started.text).toBe(202)
  return started.json.task.id
}

async function taskOf(process: ControlProcess, id: string) {
  return (await process.call('GET', `/v1/replays/${id}`)).json
}

/** Kills a control service that starts or resumes a replay once the broker has stored its first record of a kind. */
async function killedAfter(
  stage: Stage,
  kind: 'task' | 'hosted',
  task: readonly string[] = [],
): Promise<void> {
  const child = stage.startHelper('hosted-crash-process', `.${kind}.`, ...task)
  expect(await once(child, 'exit')).toEqual([null, 'SIGKILL'])
}

/** A control service that is silent is found out in six seconds. */
const LONG_ENOUGH_MS = 8_000

/** Each dead letter became one prediction, was sent once, and is counted once. */
async function expectOnce(stage: Stage, process: ControlProcess, id: string): Promise<void> {
  const { connection, keptOf } = stage
  await vi.waitFor(async () => expect((await taskOf(process, id)).state).toBe('done'), PATIENT)
  expect((await taskOf(process, id)).counts).toMatchObject({ predicted: COUNT, failed: 0, superseded: 0 })
  const { predictions, deadLetters: left } = await readOutcomes(connection, { hasReplays: true })
  expect([predictions.size, left.size]).toEqual([COUNT, 0])
  const results = await readStream(connection, STREAMS.results)
  expect(results).toHaveLength(2 * COUNT) // the failure notice and the prediction of each
  expect(await stage.lastIn(STREAMS.features)).toBe(2 * COUNT)
  expect(await keptOf('held')).toEqual([])
  await hasNoneHosted(stage)
  expect((await process.call('POST', '/v1/audit', { body: { deep: true } })).json.clean).toBe(true)
}

const hasNoneHosted = ({ keptOf }: Stage): Promise<void> =>
  vi.waitFor(async () => expect(await keptOf('hosted')).toEqual([]), PATIENT)

describe.concurrent('a replay that a control service runs', () => {
  test('goes on after kill -9 of its control service, nothing twice', async ({ stage }) => {
    await letters(stage)
    const first = await stage.control()
    const id = await startReplay(first)
    await stage.inTheMiddle()
    first.kill('SIGKILL')
    expect(await first.ended).toBe('SIGKILL')
    const second = await stage.control({ PELTON_CONTROL_NAME: 'second' })
    await expectOnce(stage, second, id)
    const { events, by } = await taskOf(second, id)
    expect(by).toBe('ops')
    expect(events).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ by: 'second', what: 'resumed: the process that ran it was gone' }),
      ]),
    )
  })

  test('is paused by SIGTERM and goes on at the next start', async ({ stage }) => {
    await letters(stage)
    const first = await stage.control()
    const id = await startReplay(first)
    await stage.inTheMiddle()
    first.kill('SIGTERM')
    expect(await first.ended).toBe(0)
    const paused = await runCli(['replay', 'status', id, '--json'], stage)
    expect(paused.json()[0].state).toBe('paused')
    await expectOnce(stage, await stage.control(), id)
  })

  test('is taken over by another control service that runs beside it', async ({ stage }) => {
    await letters(stage)
    const second = await stage.control()
    const first = await stage.control()
    const id = await startReplay(first)
    await stage.inTheMiddle()
    first.kill('SIGKILL')
    await expectOnce(stage, second, id)
  })

  test('stays paused when an operator paused it, also while no control service ran', async ({ stage }) => {
    await letters(stage)
    const first = await stage.control()
    const one = await startReplay(first)
    await stage.inTheMiddle()
    first.kill('SIGKILL')
    await first.ended
    const halted = await runCli(['replay', 'pause', one], stage)
    expect(halted.code, halted.err).toBe(0)
    const second = await stage.control()
    await hasNoneHosted(stage)
    expect((await taskOf(second, one)).state).toBe('paused')
    expect((await second.call('POST', `/v1/replays/${one}/resume`, { body: { rate: 1_000 } })).status).toBe(
      202,
    )
    await expectOnce(stage, second, one)
  })

  test('is left to its operator when it is one of the command line', async ({ stage }) => {
    await letters(stage)
    const cli = stage.start('replay', 'start', '--all', '--rate', String(RATE), '--ramp', '0')
    await stage.inTheMiddle()
    cli.child.kill('SIGKILL')
    await cli.ended
    const process = await stage.control({ PELTON_WATCH_MS: '100' })
    await looksFor(process, LONG_ENOUGH_MS)
    const [task] = (await process.call('GET', '/v1/replays')).json.replays
    expect(task.state).toBe('running')
    expect(task.events.some(({ what }: { what: string }) => what.startsWith('resumed'))).toBe(false)
  })
})

describe.concurrent('a control service that is killed while it takes a replay', () => {
  test('leaves one that another goes on with, once the task is written', async ({ stage }) => {
    await letters(stage)
    await killedAfter(stage, 'task')
    expect(await stage.keptOf('hosted')).toHaveLength(1)
    const process = await stage.control()
    const [task] = (await process.call('GET', '/v1/replays')).json.replays
    expect(task).toMatchObject({ state: 'running', by: 'ops' })
    await expectOnce(stage, process, task.id)
  })

  test('leaves nothing when the task is not written yet', async ({ stage }) => {
    await letters(stage, 3)
    await killedAfter(stage, 'hosted')
    expect(await stage.keptOf('hosted')).toHaveLength(1)
    const process = await stage.control()
    await hasNoneHosted(stage)
    expect((await process.call('GET', '/v1/replays')).json.replays).toEqual([])
    expect(await stage.countIn(STREAMS.deadLetters)).toBe(3)
  })

  test('leaves one that was paused as it was, or resumed, and never with two that run it', async ({
    stage,
  }) => {
    await letters(stage)
    const first = await stage.control()
    const id = await startReplay(first)
    await stage.inTheMiddle()
    expect((await first.call('POST', `/v1/replays/${id}/pause`)).json.state).toBe('paused')
    await killedAfter(stage, 'hosted', [id])
    await hasNoneHosted(stage)
    expect((await taskOf(first, id)).state).toBe('paused')
    await killedAfter(stage, 'task', [id])
    const second = await stage.control()
    await expectOnce(stage, second, id)
    const resumed = (await taskOf(second, id)).events.filter(({ what }: { what: string }) =>
      what.startsWith('resumed'),
    )
    expect(resumed).toHaveLength(2) // by the one that was killed, and by one of the two that saw it
  })

  test('leaves what the command line runs since then to its operator', async ({ stage }) => {
    await letters(stage)
    await killedAfter(stage, 'task')
    const [{ id }] = (await runCli(['replay', 'list', '--json'], stage)).json()
    const cli = stage.start('replay', 'resume', id)
    await stage.inTheMiddle()
    cli.child.kill('SIGKILL')
    await cli.ended
    const process = await stage.control({ PELTON_WATCH_MS: '100' })
    await looksFor(process, LONG_ENOUGH_MS)
    expect((await taskOf(process, id)).state).toBe('running')
    const kept = (await taskOf(process, id)).events.map(({ what }: { what: string }) => what)
    expect(kept.filter((what: string) => what.startsWith('resumed'))).toHaveLength(1)
    await hasNoneHosted(stage)
  })
})

describe.concurrent('pelton up and pelton control', () => {
  bare('up runs a control service, says where, and --no-control leaves it out', async ({ stage }) => {
    const env = { PELTON_DATA: join(stage.dataDir, 'up'), PELTON_CONTROL_PORT: '0' }
    const up = startCli(['up'], { env })
    try {
      await up.until('takes events')
      await up.until('control: http://127.0.0.1:')
      const [, address = '', file] = /control: (\S+), token in (\S+)/.exec(up.err()) ?? []
      expect(file).toBe(join(stage.dataDir, 'up', 'control.token'))
      expect((await fetch(`${address}/readyz`)).status).toBe(200)
      expect((await fetch(`${address}/v1/status`)).status).toBe(401)
    } finally {
      up.child.kill('SIGTERM')
    }
    expect(await up.ended).toBe(0)
    const without = startCli(['up', '--no-control'], { env })
    await without.until('takes events')
    without.child.kill('SIGTERM')
    expect(await without.ended).toBe(0)
    expect(without.err()).not.toContain('control:')
  })

  bare('control runs alone, in the foreground, and stops at the first signal', async ({ stage }) => {
    const alone = startCli(['control'], {
      env: { PELTON_NATS_URL: stage.broker.url, PELTON_DATA: stage.dataDir, PELTON_CONTROL_PORT: '0' },
    })
    await alone.until('"msg":"serving"')
    alone.child.kill('SIGINT')
    expect(await alone.ended).toBe(0)
    expect(alone.out()).toContain('"state":"stopped"')
    await requestApi(stage.connection, `STREAM.DELETE.${STREAMS.ledger}`)
    const refused = await runCli(['control'], {
      env: { PELTON_NATS_URL: stage.broker.url, PELTON_DATA: stage.dataDir, PELTON_CONTROL_PORT: '0' },
    })
    expect(refused.code).toBe(1)
    expect(refused.out).toContain('pelton provision')
  })
})
