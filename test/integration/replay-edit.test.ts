import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, vi } from 'vitest'
import { DEMO_MODELS, EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import { HEADERS, type HeaderEntry, readHeader } from '../../shared/sdk/contract/headers.ts'
import { payloadDigest } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { readOutcomes, readStream } from '../kit/outcomes.ts'
import { staged } from '../kit/staged.ts'
import { PATIENT } from '../kit/wait.ts'
import { runCli } from './cli-process.ts'
import { EXPIRED, FAST, GOOD, openReplayStage } from './replay-stage.ts'

const SURPLUS = JSON.stringify({ features: { ...EXAMPLE_FLIGHT, gate: 'A1' } })
const LACKING = JSON.stringify({ features: { origin: 'DTW' } })
const MEND = '[{"op":"remove","path":"/features/gate"}]'
const WITH_REPLAYS = { hasReplays: true }

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pelton-edit-'))
})

afterAll(() => rm(folder, { recursive: true, force: true }))

const test = staged(openStage)

async function openStage() {
  const stage = await openReplayStage()
  const worker = await stage.startWorker({}, { models: DEMO_MODELS }) // both versions: one test asks for the first
  return {
    ...stage,
    publish: (id: string, body: string, extra: readonly HeaderEntry[] = []) => stage.publish(id, body, extra),
    settled: () => vi.waitFor(async () => expect(await stage.countIn(STREAMS.features)).toBe(0), PATIENT),
    conflicts: () => worker.log.filter(({ msg }) => msg === 'the same id was used with another payload'),
  }
}

describe.concurrent('a replay with a patch', () => {
  test('mends what it applies to, says beforehand how many, and leaves the rest a dead letter', async ({
    stage,
  }) => {
    const { connection, env, publish, settled, countIn } = stage
    const mended = await publish('surplus', SURPLUS)
    const left = await publish('lacking', LACKING)
    await settled()
    const plan = await runCli(['replay', 'plan', '--patch', MEND], { env })
    expect(plan.out, plan.err).toMatch(/2 dead letters match, 1 would be sent/)
    expect(plan.out).toContain('1  left alone: patch[0] remove /features/gate: there is nothing at this path')
    expect(plan.out).toMatch(/before\n {2}\{.*"gate":"A1".*\nand after\n {2}\{(?!.*gate)/)
    expect(await countIn(STREAMS.deadLetters)).toBe(2)

    const file = join(folder, 'mend.json')
    await writeFile(file, MEND)
    const { code, err, json } = await runCli(
      ['replay', 'start', '--all', '--patch', file, '--json', ...FAST],
      { env },
    )
    expect(code, err).toBe(0)
    const [task] = json()
    expect(task).toMatchObject({
      state: 'done',
      options: { patch: MEND },
      counts: { predicted: 1, failed: 0 },
    })
    expect(Object.values(task.counts.skipped)).toEqual([1])
    const { predictions, deadLetters } = await readOutcomes(connection, WITH_REPLAYS)
    expect([...deadLetters.keys()]).toEqual([left])
    const headers = predictions.get(mended)?.headers ?? new Map()
    expect(readHeader(headers, HEADERS.inputDigest)).toBe(payloadDigest(Buffer.from(GOOD)))
    expect(readHeader(headers, HEADERS.originalDigest)).toBe(payloadDigest(Buffer.from(SURPLUS)))
  })

  test('is no conflict with the event as it was, however late that is handed out again', async ({
    stage,
  }) => {
    const { connection, env, publish, settled, conflicts } = stage
    const token = await publish('surplus', SURPLUS)
    await settled()
    await runCli(['replay', 'start', '--all', '--patch', MEND, ...FAST], { env })
    await publish('surplus', SURPLUS)
    await settled()
    expect(conflicts()).toEqual([])
    await publish('surplus', LACKING)
    await settled()
    await vi.waitFor(() => expect(conflicts()).toHaveLength(1), PATIENT)
    const { predictions, deadLetters, failures } = await readOutcomes(connection, WITH_REPLAYS)
    expect([predictions.has(token), deadLetters.size, failures.size]).toEqual([true, 0, 1])
  })

  test('that is wrong is refused with operation and member, before anything is touched', async ({
    stage,
  }) => {
    const { env } = stage
    const patch = '[{"op":"test","path":"/a","value":1},{"op":"replace","path":"b","value":1}]'
    const { code, err } = await runCli(['replay', 'start', '--all', '--patch', patch], { env })
    expect([code, err]).toEqual([expect.any(Number), expect.stringContaining('patch[1].path = "b"')])
    expect(code).not.toBe(0)
  })
})

describe.concurrent('a replay', () => {
  test('does not wait for an event that would be another: its id cannot be read', async ({ stage }) => {
    const { env, publish, settled, countIn } = stage
    await publish('%FF', GOOD)
    await settled()
    expect(await countIn(STREAMS.deadLetters)).toBe(1)
    const args = ['replay', 'start', '--reason', 'malformed', '--json', ...FAST]
    const { code, json, err } = await runCli(args, { env })
    expect(code, err).toBe(0)
    expect(Object.keys(json()[0].counts.skipped)).toEqual([expect.stringContaining('another event')])
    expect(await countIn(STREAMS.deadLetters)).toBe(1)
  })

  test('asks for the version its producer asked for, and not for the one that failed', async ({ stage }) => {
    const { connection, env, publish, settled } = stage
    const pinned = await publish('pinned', GOOD, [EXPIRED, [HEADERS.modelVersion, '1']])
    const free = await publish('free', GOOD, [EXPIRED])
    await settled()
    const { err } = await runCli(['replay', 'start', '--all', ...FAST], { env })
    expect(err).toContain('1 ask for a model version, and will again')
    const { predictions } = await readOutcomes(connection, WITH_REPLAYS)
    const versionOf = (token: string) =>
      readHeader(predictions.get(token)?.headers ?? new Map(), HEADERS.modelVersion)
    expect([versionOf(pinned), versionOf(free)]).toEqual(['1', '2'])
  })
})

describe.concurrent('a dead letter', () => {
  test('that was discarded does not come back when its event is handed out once more', async ({ stage }) => {
    const { env, publish, settled, countIn } = stage
    const token = await publish('bad', LACKING)
    await settled()
    const args = ['dead-letters', 'discard', token, '--because', 'x', '--yes']
    expect((await runCli(args, { env })).code).toBe(0)
    await publish('bad', LACKING)
    await settled()
    expect(await countIn(STREAMS.deadLetters)).toBe(0)
  })

  test('that nobody discarded is made anew: a worker may have ended before it stored it', async ({
    stage,
  }) => {
    const { connection, publish, settled, countIn } = stage
    await publish('bad', LACKING)
    await settled()
    const [letter] = await readStream(connection, STREAMS.deadLetters)
    await requestApi(connection, `STREAM.MSG.DELETE.${STREAMS.deadLetters}`, { seq: letter?.sequence })
    await publish('bad', LACKING)
    await settled()
    expect(await countIn(STREAMS.deadLetters)).toBe(1)
  })

  test('shows each of its failures: when, why, which attempt, which version, which replay', async ({
    stage,
  }) => {
    const { env, publish, settled } = stage
    const token = await publish('bad', LACKING)
    await settled()
    const { json } = await runCli(['replay', 'start', '--reason', 'schema-mismatch', '--json', ...FAST], {
      env,
    })
    const shown = await runCli(['dead-letters', 'show', token, '--json'], { env })
    expect(shown.json()[0].history).toMatchObject([
      { reason: 'schema-mismatch', attempt: 1 },
      { reason: 'schema-mismatch', attempt: 1, replay: json()[0].id },
    ])
    const { out } = await runCli(['dead-letters', 'show', token], { env })
    expect(out).toMatch(/History\n.*schema-mismatch {2}attempt 1.*\n.*schema-mismatch {2}attempt 1.*replay /)
  })
})
