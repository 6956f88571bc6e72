import { pino } from 'pino'
import { describe, expect, vi } from 'vitest'
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
import { staged } from '../kit/staged.ts'
import { PATIENT } from '../kit/wait.ts'
import { runCli } from './cli-process.ts'
import { lookedAt, openControlStage } from './control-stage.ts'
import { BAD, FAST, GOOD, MODEL, type ReplayStage, taskOf } from './replay-stage.ts'

const test = staged(openStage)

type Stage = Awaited<ReturnType<typeof openStage>>

async function openStage() {
  const stage = await openControlStage()
  await stage.startWorker()
  return stage
}

/** Replays dead letters while no worker runs, and cancels that: the copies stay in FEATURES. */
async function cancelledUnderWay(stage: ReplayStage, count: number): Promise<string> {
  await stage.endWorkers()
  const cli = stage.start('replay', 'start', '--model', MODEL, ...FAST)
  const id = await taskOf(cli)
  await vi.waitFor(async () => expect(await stage.countIn(STREAMS.features)).toBe(count), PATIENT)
  const cancelled = await runCli(['replay', 'cancel', id], stage)
  expect([cancelled.code, cancelled.out]).toEqual([0, expect.stringContaining(`${count} still without`)])
  expect(await cli.ended).toBe(1)
  return id
}

const discard = (stage: ReplayStage, ...which: string[]) =>
  runCli(['dead-letters', 'discard', ...which, '--because', 'x', '--yes'], stage)

describe.concurrent('a replay that is cancelled under way', () => {
  test('keeps what is on its way from being discarded until it has ended', async ({ stage }) => {
    const [good = '', bad = ''] = await stage.deadLetters([GOOD, BAD])
    const id = await cancelledUnderWay(stage, 2)
    const early = await discard(stage, good, bad)
    expect([early.code, early.out]).toEqual([1, '0 discarded, 0 gone meanwhile, 2 held by others\n'])
    expect(early.err.split(`replay ${id} of ops has it on its way`)).toHaveLength(3)
    const again = await runCli(['replay', 'start', '--model', MODEL, '--json', ...FAST], stage)
    expect(Object.entries(again.json()[0].counts.skipped)).toEqual([
      [expect.stringContaining('on its way'), 2],
    ])

    await stage.startWorker()
    await vi.waitFor(async () => expect(await stage.countIn(STREAMS.features)).toBe(0), PATIENT)
    const late = await discard(stage, '--model', MODEL)
    expect([late.code, late.out], late.err).toEqual([0, '1 discarded, 1 gone meanwhile, 0 held by others\n'])
    const { predictions, deadLetters, ledger } = await readOutcomes(stage.connection, { hasReplays: true })
    expect([[...predictions.keys()], deadLetters.size]).toEqual([[good], 0])
    const ends = [...ledger.values()].flat()
    expect(ends.filter((end) => end === 'discarded')).toHaveLength(1)
    expect(ends.filter((end) => end === 'replayed')).toHaveLength(1)
    expect(await stage.keptOf('held')).toEqual([])
    const audit = await runCli(['audit', '--deep'], stage)
    expect(audit.code, audit.out).toBe(0)
  })

  test('leaves nothing behind where a control service watches', async ({ stage }) => {
    await stage.deadLetters([GOOD, BAD])
    await cancelledUnderWay(stage, 2)
    const control = await stage.control()
    const first = await lookedAt(control)
    await vi.waitFor(async () => expect(await lookedAt(control)).not.toBe(first), PATIENT)
    expect(await stage.keptOf('held')).toHaveLength(2)
    await stage.startWorker()
    await vi.waitFor(async () => expect(await stage.keptOf('held')).toEqual([]), PATIENT)
    await vi.waitFor(async () => expect(await stage.countIn(STREAMS.deadLetters)).toBe(1), PATIENT)
  })

  test('gives back what is nowhere any more', async ({ stage }) => {
    const [token = ''] = await stage.deadLetters([GOOD])
    await cancelledUnderWay(stage, 1)
    await requestApi(stage.connection, `STREAM.PURGE.${STREAMS.features}`)
    expect((await discard(stage, token)).out).toContain('1 discarded')
  })
})

describe.concurrent('a hosted replay', () => {
  const silent = pino({ level: 'silent' })

  async function startHosted(stage: Stage) {
    const store = openStore(stage.connection)
    await stage.deadLetters([GOOD])
    await stage.endWorkers()
    const replays = createHostedReplays(store, silent, 'first')
    const { task } = await replays.start({ filter: {}, options: { rampSeconds: 0 } }, 'ops')
    await vi.waitFor(async () => expect(await stage.countIn(STREAMS.features)).toBe(1), PATIENT)
    return { store, replays, id: task?.id ?? '' }
  }

  const pause = (store: OpsStore, id: string) =>
    halt(store, id, 'paused', { by: 'boss', signal: new AbortController().signal })

  async function expectPaused(stage: Stage, store: OpsStore & { close(): void }, id: string): Promise<void> {
    const next = createHostedReplays(store, silent, 'next')
    await next.adopt()
    expect(next.running).toEqual([])
    const { value } = await readTask(store.keyValue, id)
    expect(value).toMatchObject({ state: 'paused', halted: 'wish', note: expect.stringContaining('by boss') })
    expect(await stage.keptOf('hosted')).toEqual([])
    store.close()
  }

  test('that an operator paused stays paused when its control service stops meanwhile', async ({ stage }) => {
    const { store, replays, id } = await startHosted(stage)
    const paused = pause(store, id)
    await vi.waitFor(() => expect(replays.running[0]?.task.wish).toBeDefined(), PATIENT)
    await replays.drain()
    await paused
    await expectPaused(stage, store, id)
  })

  test('that an operator pauses while its control service stops stays paused', async ({ stage }) => {
    const { store, replays, id } = await startHosted(stage)
    const drained = replays.drain()
    await pause(store, id)
    await drained
    await expectPaused(stage, store, id)
  })
})

describe.concurrent('a replay that waits in RETRIES', () => {
  test('is sent again when somebody empties RETRIES, also after it was resumed', async ({ stage }) => {
    await stage.deadLetters([GOOD])
    await stage.endWorkers()
    const { connection } = stage
    const first = stage.start('replay', 'start', '--model', MODEL, ...FAST)
    const id = await taskOf(first)
    await vi.waitFor(async () => expect(await stage.countIn(STREAMS.features)).toBe(1), PATIENT)
    first.child.kill('SIGKILL')
    await first.ended
    await moveToRetries(stage)
    const resumed = stage.start('replay', 'resume', id)
    await resumed.until('1 under way')
    await requestApi(connection, `STREAM.PURGE.${STREAMS.retries}`)
    await stage.startWorker()
    expect(await resumed.ended).toBe(0)
    expect((await readOutcomes(connection, { hasReplays: true })).predictions.size).toBe(1)
  })

  /** As a worker does whose model fails: a copy that is due in an hour, and the event in FEATURES settled. */
  async function moveToRetries({ connection }: Stage): Promise<void> {
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
