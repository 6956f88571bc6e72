import { afterAll, describe, expect, test } from 'vitest'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { runCli, startCli } from '../integration/cli-process.ts'
import { readOutcomes, readStream } from '../kit/outcomes.ts'
import { eventually } from '../kit/wait.ts'
import { closeBareModels } from './kit/bare-model.ts'
import { EVENTS, IS_FULL, openStage, type Stage, type StagedEvent } from './kit/stage.ts'
import { flightEvents } from './kit/stage-events.ts'

/** Further events that go on while an operator acts. */
const LIVE = Math.ceil(EVENTS / 4)
const LIVE_PER_SECOND = IS_FULL ? 250 : 75
const REPLAY = ['--rate', IS_FULL ? '1000' : '300', '--ramp', '1', '--json']
const PASSED = new Date(0)
/** Every fiftieth event is about this person. */
const PERSON = 'person-4711'

afterAll(closeBareModels)

interface Scene {
  readonly stage: Stage
  readonly env: NodeJS.ProcessEnv
  /** Ids of the events that became dead letters because their deadline had passed: a replay predicts them. */
  readonly late: ReadonlySet<string>
  /** Ids of those that fail each time. */
  readonly broken: ReadonlySet<string>
  readonly letters: number
}

/** Dead letters of a scenario, and live events for later. */
async function openScene(fault: string, brokenEvery = 0): Promise<Scene> {
  const flights = await flightEvents(EVENTS + LIVE)
  const dying = flights.slice(0, EVENTS).map((event, index): StagedEvent => {
    const isBroken = brokenEvery > 0 && index % brokenEvery === 0
    const about = index % 50 === 1 ? { ...event, subject: PERSON } : event
    return isBroken ? { ...about, features: { origin: 'DTW' } } : { ...about, expiresAt: PASSED }
  })
  const stage = await openStage(fault, { events: dying })
  stage.feed.send(EVENTS)
  await stage.feed.done
  await untilIn(stage, STREAMS.deadLetters, (count) => count === EVENTS)
  await untilIn(stage, STREAMS.features, (count) => count === 0)
  const idsOf = (isLate: boolean): Set<string> =>
    new Set(dying.filter(({ expiresAt }) => (expiresAt !== undefined) === isLate).map(({ id }) => id))
  const env = { PELTON_NATS_URL: stage.broker.url, USER: 'ops' }
  return { stage, env, late: idsOf(true), broken: idsOf(false), letters: EVENTS }
}

async function liveEvents({ stage }: Scene): Promise<void> {
  const flights = await flightEvents(EVENTS + LIVE)
  await stage.addFeed(flights.slice(EVENTS)).run({ perSecond: LIVE_PER_SECOND })
}

/** Waits until a stream holds a number of messages that will do. */
async function untilIn(stage: Stage, stream: string, isEnough: (count: number) => boolean): Promise<void> {
  const count = (): Promise<number> => messagesIn(stage, stream)
  await eventually(`${stream} to hold as many as it should`, async () => isEnough(await count()), {
    limitMs: 600_000,
    seen: count,
  })
}

async function messagesIn({ connection }: Stage, stream: string): Promise<number> {
  return (await streamInfo(connection, stream))?.state.messages ?? 0
}

async function storedIn({ connection }: Stage, stream: string): Promise<number> {
  return (await streamInfo(connection, stream))?.state.last_seq ?? 0
}

/** Dead letters that are gone: how far a replay or a discard has come. */
async function reached({ stage, letters }: Scene, share: number): Promise<void> {
  await untilIn(stage, STREAMS.deadLetters, (count) => count <= letters * (1 - share))
}

function idOfTask(text: string): string {
  return /task (\S+)/.exec(text)?.[1] ?? ''
}

/** Each event that fails again is a new dead letter that names the replay and remembers the failure before. */
async function expectLinked(scene: Scene, task: string): Promise<void> {
  const { deadLetters } = await readOutcomes(scene.stage.connection, { hasReplays: true })
  expect(deadLetters.size).toBe(scene.broken.size)
  for (const { headers } of deadLetters.values()) {
    expect(readHeader(headers, HEADERS.replay)).toBe(task)
    expect(Number(readHeader(headers, HEADERS.supersedes))).toBeGreaterThan(0)
    expect(readHeader(headers, HEADERS.history)?.split('; ')).toHaveLength(2)
  }
}

describe('an operator', () => {
  test('replays dead letters under live load', async () => {
    const scene = await openScene('operator: replay under live load', 10)
    const { stage, env, late, broken, letters } = scene
    const live = liveEvents(scene)
    const args = ['replay', 'start', '--all', '--model-version', '2', ...REPLAY]
    const { code, err, json } = await runCli(args, { env })
    expect(code, err).toBe(0)
    const [task] = json()
    expect(task).toMatchObject({ state: 'done', counts: { predicted: late.size, failed: broken.size } })
    await live
    await expectLinked(scene, task.id)
    await stage.conclude({
      endings: (id) => (broken.has(id) ? 'schema-mismatch' : 'prediction'),
      isReplayed: (id) => late.has(id) || broken.has(id),
      note: `${letters} replayed beside ${LIVE} live events`,
    })
    expect(await storedIn(stage, STREAMS.features)).toBe(2 * letters + LIVE)
  })

  test('replays while workers are killed', async () => {
    const scene = await openScene('operator: replay while workers are killed')
    const { stage, env, late, letters } = scene
    const kills = IS_FULL ? 20 : 4
    const live = liveEvents(scene)
    const replay = startCli(['replay', 'start', '--all', ...REPLAY], { env, input: '' })
    await replay.until('task ')
    for (let kill = 1; kill <= kills; kill++) {
      await reached(scene, (0.8 * kill) / kills)
      await stage.fleet.end('SIGKILL')
    }
    stage.faultEnded()
    expect(await replay.ended, replay.err()).toBe(0)
    expect(JSON.parse(replay.out())).toMatchObject({ counts: { predicted: letters, failed: 0 } })
    await live
    await stage.conclude({ isReplayed: (id) => late.has(id), note: `${kills} kills` })
    expect(await storedIn(stage, STREAMS.features)).toBe(2 * letters + LIVE)
  })

  test('resumes a replay whose process was killed', async () => {
    const scene = await openScene('operator: replay process killed and resumed')
    const { stage, env, late, letters } = scene
    const kills = IS_FULL ? 8 : 2
    const live = liveEvents(scene)
    let replay = startCli(['replay', 'start', '--all', ...REPLAY], { env, input: '' })
    await replay.until('task ')
    const task = idOfTask(replay.err())
    for (let kill = 1; kill <= kills; kill++) {
      await reached(scene, (0.8 * kill) / kills)
      replay.child.kill('SIGKILL')
      await replay.ended
      replay = startCli(['replay', 'resume', task, '--json'], { env, input: '' })
    }
    stage.faultEnded()
    expect(await replay.ended, replay.err()).toBe(0)
    expect(JSON.parse(replay.out()), replay.out()).toMatchObject({
      state: 'done',
      counts: { predicted: letters },
    })
    await live
    await stage.conclude({ isReplayed: (id) => late.has(id), note: `${kills} kills of the replay` })
    expect(await storedIn(stage, STREAMS.features)).toBe(2 * letters + LIVE)
  })

  test('empties FEATURES in the middle of a replay, and signs it off', async () => {
    const scene = await openScene('operator: FEATURES emptied in mid-replay')
    const { stage, env, late, letters } = scene
    for (const worker of stage.fleet.workers) process.kill(worker.pid, 'SIGSTOP')
    const replay = startCli(['replay', 'start', '--all', ...REPLAY], { env, input: '' })
    await replay.until('task ')
    await untilIn(stage, STREAMS.features, (count) => count >= 200)
    const first = letters + 1
    const last = await storedIn(stage, STREAMS.features)
    await requestApi(stage.connection, `STREAM.PURGE.${STREAMS.features}`, { seq: last + 1 })
    for (const worker of stage.fleet.workers) process.kill(worker.pid, 'SIGCONT')
    stage.faultEnded()
    expect(await replay.ended, replay.err()).toBe(0)
    expect(JSON.parse(replay.out())).toMatchObject({ state: 'done', counts: { predicted: letters } })
    // What had been handed out before has its outcome all the same; the audit names the rest.
    const found = await runCli(['audit', '--full', '--json'], { env })
    const lost: [number, number][] = found.json()[0].lost
    expect(Math.min(...lost.flat())).toBeGreaterThanOrEqual(first)
    expect(Math.max(...lost.flat())).toBeLessThanOrEqual(last)
    const ranges = lost.map((range) => range.join('-')).join(',')
    const purged = ['audit', '--full', '--json', '--purged', ranges, '--reason', 'a test']
    const audited = await runCli(purged, { env })
    expect(audited.code, audited.out + audited.err).toBe(0)
    await stage.conclude({ isReplayed: (id) => late.has(id), note: `${last - letters} removed` })
  })

  test('discards and purges in the middle of a replay and of live load', async () => {
    const scene = await openScene('operator: discard and purge in mid-replay')
    const { stage, env, letters } = scene
    const live = liveEvents(scene)
    // Slow: the replay must not be done before the commands have begun.
    const slow = ['--rate', String(Math.ceil(letters / 100)), '--ramp', '0', '--json']
    const replay = startCli(['replay', 'start', '--all', ...slow], { env, input: '' })
    await replay.until('task ')
    await reached(scene, 0.02)
    const given = ['--because', 'a test', '--yes']
    const [newest] = (await readStream(stage.connection, STREAMS.deadLetters)).slice(-1)
    const one = newest?.subject.split('.').at(-1) ?? ''
    const named = await runCli(['dead-letters', 'discard', one, ...given], { env })
    const purge = await runCli(['dead-letters', 'purge', '--subject', PERSON, ...given], { env })
    const rest = await runCli(['dead-letters', 'discard', '--reason', 'deadline-exceeded', ...given], { env })
    expect(await replay.ended, replay.err()).toBe(0)
    await live
    await untilIn(stage, STREAMS.features, (count) => count === 0)
    const { counts } = JSON.parse(replay.out())
    const countOf = ({ out }: typeof named): number =>
      Number(/^([\d,]+) /.exec(out)?.[1]?.replaceAll(',', ''))
    const removed = [named, purge, rest].map(countOf)
    const total = removed.reduce((sum, count) => sum + count, 0)
    expect(counts.predicted + total, named.err + purge.err + rest.err).toBe(letters)
    expect(Math.min(...removed)).toBeGreaterThan(0)
    const { predictions, deadLetters, ledger, waiting } = await readOutcomes(stage.connection, {
      hasReplays: true,
    })
    expect([predictions.size, deadLetters.size, waiting]).toEqual([counts.predicted + LIVE, 0, 0])
    const acts = [...ledger.values()].flat().filter((how) => how === 'discarded' || how === 'purged')
    expect(acts.length).toBe(total)
    expect(predictions.has(one)).toBe(false)
    const audited = await runCli(['audit', '--deep'], { env })
    expect(audited.code, audited.out + audited.err).toBe(0)
  })
})
