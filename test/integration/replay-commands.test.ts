import { pino } from 'pino'
import { describe, expect, vi } from 'vitest'
import { createHostedReplays } from '../../services/control/hosting/hosted-replays.ts'
import { openStore } from '../../shared/operations/replay/open-store.ts'
import {
  encodeHeaderBlock,
  HEADERS,
  type HeaderEntry,
  readHeader,
} from '../../shared/sdk/contract/headers.ts'
import { COPY_HEADROOM_BYTES, REPLAY_HEADROOM_BYTES, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { readOutcomes } from '../kit/outcomes.ts'
import { staged } from '../kit/staged.ts'
import { PATIENT } from '../kit/wait.ts'
import { runCli } from './cli-process.ts'
import { BAD, FAST, GOOD, MODEL, openReplayStage, taskOf } from './replay-stage.ts'

const test = staged(openReplayStage)

const NOBODY = '20260131T120000-1f2e3d'

describe.concurrent('a replay that is not there', () => {
  test.for(['status', 'pause', 'cancel', 'resume'])(
    'is an answer to %s, as its help says',
    async (command, { stage }) => {
      const { code, err } = await runCli(['replay', command, NOBODY], stage)
      expect([code, err]).toEqual([1, expect.stringContaining('there is no such replay')])
      const help = await runCli(['replay', command, '--help'])
      expect(help.out.replaceAll(/\s+/g, ' ')).toMatch(/ 1 [^2]*there is no such replay/)
    },
  )
})

describe.concurrent('the start of a replay', () => {
  test.each([
    ['nothing in particular', [], 'nothing is chosen'],
    ['all, and of some of them', ['--all', '--model', MODEL], 'all are chosen, and some'],
  ])('of %s is refused before anything is asked of the broker', async (_what, args, why) => {
    const { code, err } = await runCli(['replay', 'start', ...args], {
      env: { PELTON_NATS_URL: 'nats://127.0.0.1:1' },
    })
    expect([code, err]).toEqual([2, expect.stringContaining(why)])
  })

  test('is refused by a control service that begins to stop while it is planned', async ({ stage }) => {
    await stage.startWorker()
    await stage.deadLetters([GOOD])
    const store = openStore(stage.connection)
    const replays = createHostedReplays(store, pino({ level: 'silent' }), 'stops')
    const refused = expect(replays.start({ filter: {} }, 'ops')).rejects.toMatchObject({ code: 'closed' })
    await replays.drain()
    await refused
    expect(await stage.countIn(STREAMS.deadLetters)).toBe(1)
    store.close()
  })
})

describe.concurrent('status --watch', () => {
  test('follows a replay of another process until it is done', async ({ stage }) => {
    const worker = await stage.startWorker()
    await stage.deadLetters(Array.from({ length: 60 }, () => GOOD))
    const replay = stage.start('replay', 'start', '--all', '--rate', '10', '--ramp', '0')
    const id = await taskOf(replay)
    await vi.waitFor(async () => expect(await stage.countIn(STREAMS.deadLetters)).toBeLessThan(60), PATIENT)
    worker.kill('SIGSTOP') // it is under way until everybody has looked
    const watch = stage.start('replay', 'status', id, '--watch')
    const lines = stage.start('replay', 'status', id, '--watch', '--json')
    await watch.until(' under way, ')
    await watch.until(' left')
    await lines.until('"etaMs"')
    worker.kill('SIGCONT')
    expect(await watch.ended).toBe(0)
    expect(watch.out()).toContain('done: every dead letter')
    expect(await replay.ended).toBe(0)
    expect(await lines.ended).toBe(0)
    const shown = lines
      .out()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(shown.some(({ pace }) => pace?.eventsPerSecond > 0 && pace.etaMs > 0)).toBe(true)
    expect(shown.at(-1)).toMatchObject({ state: 'done', counts: { predicted: 60 } })
    expect(shown.at(-1).pace).toBeUndefined()
  })

  test('tells that the process of a replay is gone, and ends with the replay', async ({ stage }) => {
    await stage.startWorker()
    await stage.deadLetters(Array.from({ length: 60 }, () => GOOD))
    const replay = stage.start('replay', 'start', '--all', '--rate', '10', '--ramp', '0')
    const id = await taskOf(replay)
    replay.child.kill('SIGKILL')
    await replay.ended
    const watch = stage.start('replay', 'status', id, '--watch')
    await watch.until(`its process is gone: pelton replay resume ${id}`)
    expect((await runCli(['replay', 'cancel', id], stage)).code).toBe(0)
    expect(await watch.ended).toBe(1)
  })
})

describe.concurrent('a dead letter', () => {
  test('that came of a replay names the one before', async ({ stage }) => {
    await stage.startWorker()
    const [token = ''] = await stage.deadLetters([BAD])
    await runCli(['replay', 'start', '--all', ...FAST], stage)
    const { deadLetters } = await readOutcomes(stage.connection, { hasReplays: true })
    const letter = deadLetters.get(token)
    expect(letter?.sequence).toBe(2)
    expect(readHeader(letter?.headers ?? new Map(), HEADERS.replayedLetter)).toBe('1')
  })

  test('is left alone where another payload of its id was predicted since its notice expired', async ({
    stage,
  }) => {
    await stage.startWorker()
    const [token = ''] = await stage.deadLetters([BAD])
    await requestApi(stage.connection, `STREAM.PURGE.${STREAMS.results}`)
    expect(await stage.publish('event-0', GOOD, [])).toBe(token)
    await vi.waitFor(
      async () =>
        expect((await readOutcomes(stage.connection, { hasReplays: true })).predictions.has(token)).toBe(
          true,
        ),
      PATIENT,
    )
    const { json, err } = await runCli(['replay', 'start', '--all', '--json', ...FAST], stage)
    expect(Object.keys(json()[0].counts.skipped), err).toEqual([expect.stringContaining('another payload')])
    expect(await stage.countIn(STREAMS.deadLetters)).toBe(1)
  })

  test('of an event as large as any may be is replayed', async ({ stage }) => {
    await stage.startWorker()
    const extra: readonly HeaderEntry[] = [[HEADERS.expiryTime, '2020-01-01T00:00:00Z']]
    const own: readonly HeaderEntry[] = [[HEADERS.id, 'large'], [HEADERS.source, 'test'], ...extra]
    const most = (stage.connection.info?.max_payload ?? 0) - COPY_HEADROOM_BYTES - REPLAY_HEADROOM_BYTES
    const body = GOOD.padEnd(most - encodeHeaderBlock(own).length)
    const token = await stage.publish('large', body, extra)
    await vi.waitFor(async () => expect(await stage.countIn(STREAMS.deadLetters)).toBe(1), PATIENT)
    const { json, err } = await runCli(['replay', 'start', '--all', '--json', ...FAST], stage)
    expect(json()[0], err).toMatchObject({ state: 'done', counts: { predicted: 1, skipped: {} } })
    expect((await readOutcomes(stage.connection, { hasReplays: true })).predictions.has(token)).toBe(true)
  })
})
