import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createHostedReplays } from '../../services/control/hosting/hosted-replays.ts'
import type { OpsStore } from '../../shared/operations/records/store.ts'
import { openStore } from '../../shared/operations/replay/open-store.ts'
import { halt } from '../../shared/operations/replay/replays.ts'
import { readTask } from '../../shared/operations/replay/task.ts'
import { HEADERS, type HeaderEntry, readHeader } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { lastOfSubject, requestApi } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { parseHeaderBlock } from '../../shared/sdk/jetstream/stored-message.ts'
import { readOutcomes } from '../kit/outcomes.ts'
import { runCli, startCli } from './cli-process.ts'
import { startControl } from './control-process.ts'
import { BAD, FAST, GOOD, MODEL, openReplayStage, PATIENT, type ReplayStage, taskOf } from './replay-stage.ts'

let stage: ReplayStage

beforeEach(async () => {
  stage = await openReplayStage()
  await stage.startWorker()
})

afterEach(() => stage.close())

/** Replays dead letters while no worker runs, and cancels that: the copies stay in FEATURES. */
async function cancelledUnderWay(count: number): Promise<string> {
  const { env } = stage
  await stage.endWorkers()
  const cli = startCli(['replay', 'start', '--model', MODEL, ...FAST], { env, input: '' })
  const id = await taskOf(cli)
  await vi.waitFor(async () => expect(await stage.countIn(STREAMS.features)).toBe(count), PATIENT)
  const cancelled = await runCli(['replay', 'cancel', id], { env })
  expect([cancelled.code, cancelled.out]).toEqual([0, expect.stringContaining(`${count} still without`)])
  expect(await cli.ended).toBe(1)
  return id
}

const discard = (...which: string[]) =>
  runCli(['dead-letters', 'discard', ...which, '--because', 'x', '--yes'], { env: stage.env })

describe('a replay that is cancelled under way', () => {
  test('keeps what is on its way from being discarded until it has ended', async () => {
    const [good = '', bad = ''] = await stage.deadLetters([GOOD, BAD])
    const id = await cancelledUnderWay(2)
    const early = await discard(good, bad)
    expect([early.code, early.out]).toEqual([1, '0 discarded, 0 gone meanwhile, 2 held by others\n'])
    expect(early.err.split(`replay ${id} of ops has it on its way`)).toHaveLength(3)
    const again = await runCli(['replay', 'start', '--model', MODEL, '--json', ...FAST], { env: stage.env })
    expect(Object.entries(again.json()[0].counts.skipped)).toEqual([
      [expect.stringContaining('on its way'), 2],
    ])

    await stage.startWorker()
    await vi.waitFor(async () => expect(await stage.countIn(STREAMS.features)).toBe(0), PATIENT)
    const late = await discard('--model', MODEL)
    expect([late.code, late.out], late.err).toEqual([0, '1 discarded, 1 gone meanwhile, 0 held by others\n'])
    const { predictions, deadLetters, ledger } = await readOutcomes(stage.connection)
    expect([[...predictions.keys()], deadLetters.size]).toEqual([[good], 0])
    const ends = [...ledger.values()].flat()
    expect(ends.filter((end) => end === 'discarded')).toHaveLength(1)
    expect(ends.filter((end) => end === 'replayed')).toHaveLength(1)
    expect(await stage.keptOf('held')).toEqual([])
    const audit = await runCli(['audit', '--deep'], { env: stage.env })
    expect(audit.code, audit.out).toBe(0)
  })

  test('leaves nothing behind where a control service watches', async () => {
    await stage.deadLetters([GOOD, BAD])
    await cancelledUnderWay(2)
    const dataDir = await mkdtemp(join(tmpdir(), 'pelton-cancel-'))
    const control = await startControl({ url: stage.broker.url, dataDir })
    try {
      const looks = async () => (await control.call('GET', '/v1/watch')).json.lookedAt
      const first = await looks()
      await vi.waitFor(async () => expect(await looks()).not.toBe(first), PATIENT)
      expect(await stage.keptOf('held')).toHaveLength(2)
      await stage.startWorker()
      await vi.waitFor(async () => expect(await stage.keptOf('held')).toEqual([]), PATIENT)
      await vi.waitFor(async () => expect(await stage.countIn(STREAMS.deadLetters)).toBe(1), PATIENT)
    } finally {
      control.kill('SIGKILL')
      await control.ended
      await rm(dataDir, { recursive: true, force: true })
    }
  })

  test('gives back what is nowhere any more', async () => {
    const [token = ''] = await stage.deadLetters([GOOD])
    await cancelledUnderWay(1)
    await requestApi(stage.connection, `STREAM.PURGE.${STREAMS.features}`)
    expect((await discard(token)).out).toContain('1 discarded')
  })
})

describe('a hosted replay', () => {
  let store: OpsStore & { close(): void }
  const silent = pino({ level: 'silent' })

  beforeEach(() => {
    store = openStore(stage.connection)
  })
  afterEach(() => store.close())

  async function startHosted() {
    await stage.deadLetters([GOOD])
    await stage.endWorkers()
    const replays = createHostedReplays(store, silent, 'first')
    const { task } = await replays.start({ filter: {}, options: { rampSeconds: 0 } }, 'ops')
    await vi.waitFor(async () => expect(await stage.countIn(STREAMS.features)).toBe(1), PATIENT)
    return { replays, id: task?.id ?? '' }
  }

  const pause = (id: string) =>
    halt(store, id, 'paused', { by: 'boss', signal: new AbortController().signal })

  async function expectPaused(id: string): Promise<void> {
    const next = createHostedReplays(store, silent, 'next')
    await next.adopt()
    expect(next.running).toEqual([])
    const { value } = await readTask(store.keyValue, id)
    expect(value).toMatchObject({ state: 'paused', halted: 'wish', note: expect.stringContaining('by boss') })
    expect(await stage.keptOf('hosted')).toEqual([])
  }

  test('that an operator paused stays paused when its control service stops meanwhile', async () => {
    const { replays, id } = await startHosted()
    const paused = pause(id)
    await vi.waitFor(() => expect(replays.running[0]?.task.wish).toBeDefined(), PATIENT)
    await replays.drain()
    await paused
    await expectPaused(id)
  })

  test('that an operator pauses while its control service stops stays paused', async () => {
    const { replays, id } = await startHosted()
    const drained = replays.drain()
    await pause(id)
    await drained
    await expectPaused(id)
  })
})

describe('a replay that waits in RETRIES', () => {
  test('is sent again when somebody empties RETRIES, also after it was resumed', async () => {
    await stage.deadLetters([GOOD])
    await stage.endWorkers()
    const { connection, env } = stage
    const first = startCli(['replay', 'start', '--model', MODEL, ...FAST], { env, input: '' })
    const id = await taskOf(first)
    await vi.waitFor(async () => expect(await stage.countIn(STREAMS.features)).toBe(1), PATIENT)
    first.child.kill('SIGKILL')
    await first.ended
    await moveToRetries()
    const resumed = startCli(['replay', 'resume', id], { env, input: '' })
    await resumed.until('1 under way')
    await requestApi(connection, `STREAM.PURGE.${STREAMS.retries}`)
    await stage.startWorker()
    expect(await resumed.ended).toBe(0)
    expect((await readOutcomes(connection)).predictions.size).toBe(1)
  })

  /** As a worker does whose model fails: a copy that is due in an hour, and the event in FEATURES settled. */
  async function moveToRetries(): Promise<void> {
    const { connection } = stage
    const route = { pool: 'default', model: MODEL, lane: 'low' } as const
    const copy = await lastOfSubject(connection, STREAMS.features, subjects.feature(route))
    const headers = parseHeaderBlock(copy?.headerBlock ?? new Uint8Array())
    const token = readHeader(headers, HEADERS.token) ?? ''
    const own: HeaderEntry[] = [
      [HEADERS.schedule, `@at ${new Date(Date.now() + 3_600_000).toISOString()}`],
      [HEADERS.scheduleTarget, subjects.due(route, token)],
    ]
    const carried = [...headers].filter(([name]) => !name.startsWith('nats-'))
    const window = new PublishWindow(connection)
    const reply = await window.publish({
      subject: subjects.retry(route, token),
      headers: [...own, ...carried],
      body: copy?.body ?? new Uint8Array(),
    })
    expect(reply.kind).toBe('stored')
    window.close()
    await requestApi(connection, `STREAM.MSG.DELETE.${STREAMS.features}`, { seq: copy?.sequence })
  }
})
