import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
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
import { runCli, startCli } from './cli-process.ts'
import { BAD, FAST, GOOD, MODEL, openReplayStage, PATIENT, type ReplayStage, taskOf } from './replay-stage.ts'

let stage: ReplayStage

beforeEach(async () => {
  stage = await openReplayStage()
})

afterEach(() => stage.close())

const NOBODY = '20260131T120000-1f2e3d'

describe('a replay that is not there', () => {
  test.each(['status', 'pause', 'cancel', 'resume'])(
    'is an answer to %s, as its help says',
    async (command) => {
      const { code, err } = await runCli(['replay', command, NOBODY], { env: stage.env })
      expect([code, err]).toEqual([1, expect.stringContaining('there is no such replay')])
      const help = await runCli(['replay', command, '--help'])
      expect(help.out.replaceAll(/\s+/g, ' ')).toMatch(/ 1 [^2]*there is no such replay/)
    },
  )
})

describe('the start of a replay', () => {
  test.each([
    ['nothing in particular', [], 'nothing is chosen'],
    ['all, and of some of them', ['--all', '--model', MODEL], 'all are chosen, and some'],
  ])('of %s is refused before anything is asked of the broker', async (_what, args, why) => {
    const { code, err } = await runCli(['replay', 'start', ...args], {
      env: { PELTON_NATS_URL: 'nats://127.0.0.1:1' },
    })
    expect([code, err]).toEqual([2, expect.stringContaining(why)])
  })

  test('is refused by a control service that begins to stop while it is planned', async () => {
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

describe('status --watch', () => {
  test('follows a replay of another process until it is done', async () => {
    await stage.startWorker()
    await stage.deadLetters(Array.from({ length: 60 }, () => GOOD))
    const { env } = stage
    const replay = startCli(['replay', 'start', '--all', '--rate', '10', '--ramp', '0'], { env, input: '' })
    const id = await taskOf(replay)
    const watch = startCli(['replay', 'status', id, '--watch'], { env, input: '' })
    const lines = startCli(['replay', 'status', id, '--watch', '--json'], { env, input: '' })
    await watch.until(' under way, ')
    await watch.until(' left')
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

  test('tells that the process of a replay is gone, and ends with the replay', async () => {
    await stage.startWorker()
    await stage.deadLetters(Array.from({ length: 60 }, () => GOOD))
    const { env } = stage
    const replay = startCli(['replay', 'start', '--all', '--rate', '10', '--ramp', '0'], { env, input: '' })
    const id = await taskOf(replay)
    replay.child.kill('SIGKILL')
    await replay.ended
    const watch = startCli(['replay', 'status', id, '--watch'], { env, input: '' })
    await watch.until(`its process is gone: pelton replay resume ${id}`)
    expect((await runCli(['replay', 'cancel', id], { env })).code).toBe(0)
    expect(await watch.ended).toBe(1)
  })
})

describe('a dead letter', () => {
  test('that came of a replay names the one before', async () => {
    await stage.startWorker()
    const [token = ''] = await stage.deadLetters([BAD])
    await runCli(['replay', 'start', '--all', ...FAST], { env: stage.env })
    const { deadLetters } = await readOutcomes(stage.connection)
    const letter = deadLetters.get(token)
    expect(letter?.sequence).toBe(2)
    expect(readHeader(letter?.headers ?? new Map(), HEADERS.replayedLetter)).toBe('1')
  })

  test('is left alone where another payload of its id was predicted since its notice expired', async () => {
    await stage.startWorker()
    const [token = ''] = await stage.deadLetters([BAD])
    await requestApi(stage.connection, `STREAM.PURGE.${STREAMS.results}`)
    expect(await stage.publish('event-0', GOOD, [])).toBe(token)
    await vi.waitFor(
      async () => expect((await readOutcomes(stage.connection)).predictions.has(token)).toBe(true),
      PATIENT,
    )
    const { json, err } = await runCli(['replay', 'start', '--all', '--json', ...FAST], { env: stage.env })
    expect(Object.keys(json()[0].counts.skipped), err).toEqual([expect.stringContaining('another payload')])
    expect(await stage.countIn(STREAMS.deadLetters)).toBe(1)
  })

  test('of an event as large as any may be is replayed', async () => {
    await stage.startWorker()
    const extra: readonly HeaderEntry[] = [[HEADERS.expiryTime, '2020-01-01T00:00:00Z']]
    const own: readonly HeaderEntry[] = [[HEADERS.id, 'large'], [HEADERS.source, 'test'], ...extra]
    const most = (stage.connection.info?.max_payload ?? 0) - COPY_HEADROOM_BYTES - REPLAY_HEADROOM_BYTES
    const body = GOOD.padEnd(most - encodeHeaderBlock(own).length)
    const token = await stage.publish('large', body, extra)
    await vi.waitFor(async () => expect(await stage.countIn(STREAMS.deadLetters)).toBe(1), PATIENT)
    const { json, err } = await runCli(['replay', 'start', '--all', '--json', ...FAST], { env: stage.env })
    expect(json()[0], err).toMatchObject({ state: 'done', counts: { predicted: 1, skipped: {} } })
    expect((await readOutcomes(stage.connection)).predictions.has(token)).toBe(true)
  })
})
