import { describe, expect, vi } from 'vitest'
import { WATCH_KEY } from '../../shared/operations/watch-record/record.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STORES, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { staged } from '../kit/staged.ts'
import { PATIENT } from '../kit/wait.ts'
import { runCli } from './cli-process.ts'
import { alertKinds, lookedAt, metricOf, openControlStage } from './control-stage.ts'

const WELL = 'the watch finds nothing wrong'
const CONSUMER = 'worker-default-normal'

const test = staged(openStage)

async function openStage() {
  const stage = await openControlStage({})
  const run = (...args: readonly string[]) => runCli(args, { env: { PELTON_NATS_URL: stage.broker.url } })
  /** The level of what doctor says of the watch, and its text. */
  const doctor = async (): Promise<readonly [string, string]> => {
    const lines = (await run('doctor', '--json')).json()
    const { level, text } = lines.find(({ check }) => check === 'watch')
    return [level, text]
  }
  return { ...stage, run, doctor, status: async () => (await run('status')).out }
}

describe.concurrent('a watch that writes nothing down', () => {
  test('is told by status and doctor while its only control service stands still, and no more after', async ({
    stage,
  }) => {
    const { control, status, doctor } = stage
    const only = await control({ PELTON_CONTROL_NAME: 'c1' })
    await vi.waitFor(async () => expect(await status()).toContain(WELL), PATIENT)
    expect(await doctor()).toEqual(['ok', expect.stringMatching(/^control service c1 watches, last at 20/)])
    only.kill('SIGSTOP')
    const silent = 'the watch is silent: control service c1 has written nothing down since 20'
    await vi.waitFor(async () => expect(await status()).toContain(silent), PATIENT)
    expect(await status()).not.toContain(WELL)
    expect(await doctor()).toEqual(['warn', expect.stringContaining(silent)])
    only.kill('SIGCONT')
    await vi.waitFor(async () => expect(await status()).toContain(WELL), PATIENT)
    expect(await doctor()).toEqual(['ok', expect.any(String)])
  })

  test('is taken over by another control service, and then told no more', async ({ stage }) => {
    const { control, status } = stage
    const first = await control({ PELTON_CONTROL_NAME: 'c1' })
    await vi.waitFor(async () => expect(await lookedAt(first)).not.toBe(''), PATIENT)
    first.kill('SIGSTOP')
    await vi.waitFor(async () => expect(await status()).toContain('the watch is silent'), PATIENT)
    const second = await control({ PELTON_CONTROL_NAME: 'c2' })
    await vi.waitFor(async () => expect(await status()).toContain(WELL), PATIENT)
    expect((await second.call('GET', '/v1/watch')).json).toMatchObject({ watcher: 'c2', isThisOne: true })
    first.kill('SIGCONT')
  })

  test('is told by the control service that runs and cannot look, until it can', async ({ stage }) => {
    const { broker, connection, control } = stage
    const process = await control()
    await vi.waitFor(async () => expect(await lookedAt(process)).not.toBe(''), PATIENT)
    expect(await metricOf(process, 'pelton_watch_alerts', { kind: 'unwatched' })).toBe(0)
    for (const stream of [STREAMS.features, STREAMS.retries])
      await requestApi(connection, `STREAM.DELETE.${stream}`)
    await vi.waitFor(async () => expect(await alertKinds(process)).toContain('unwatched'), PATIENT)
    expect(await metricOf(process, 'pelton_watch_alerts', { kind: 'unwatched' })).toBe(1)
    expect((await process.call('GET', '/v1/status')).json.alerts).toBeGreaterThan(0)
    await vi.waitFor(
      () =>
        expect(process.log).toContainEqual(
          expect.objectContaining({ alert: 'unwatched', msg: expect.stringContaining('nothing down for') }),
        ),
      PATIENT,
    )
    await broker.provision()
    await vi.waitFor(async () => expect(await alertKinds(process)).toEqual([]), PATIENT)
    expect(await metricOf(process, 'pelton_watch_alerts', { kind: 'unwatched' })).toBe(0)
    const over = expect.objectContaining({ alert: 'unwatched', msg: 'is over' })
    await vi.waitFor(() => expect(process.log).toContainEqual(over), PATIENT)
  })

  test('whose record is deleted is told at once, and written again by the next look', async ({ stage }) => {
    const { connection, control, status, doctor } = stage
    const process = await control()
    await vi.waitFor(async () => expect(await status()).toContain(WELL), PATIENT)
    process.kill('SIGSTOP')
    await requestApi(connection, `STREAM.PURGE.${STORES.replays}`, {
      filter: subjects.replayRecord(WATCH_KEY),
    })
    expect(await status()).toContain('no control service watches: start `pelton control`')
    expect(await doctor()).toEqual(['warn', 'no control service watches: start `pelton control`'])
    process.kill('SIGCONT')
    await vi.waitFor(async () => expect(await status()).toContain(WELL), PATIENT)
  })
})

describe.concurrent('a consumer that somebody paused', () => {
  test('is an alert, a metric and a line of status, until it is resumed', async ({ stage }) => {
    const { connection, control, status } = stage
    const process = await control()
    await vi.waitFor(async () => expect(await lookedAt(process)).not.toBe(''), PATIENT)
    const labels = { stream_name: STREAMS.features, consumer_name: CONSUMER }
    const until = new Date(Date.now() + 3_600_000).toISOString()
    await requestApi(connection, `CONSUMER.PAUSE.${STREAMS.features}.${CONSUMER}`, { pause_until: until })
    await vi.waitFor(async () => expect(await alertKinds(process)).toEqual(['paused-consumer']), PATIENT)
    expect((await process.call('GET', '/v1/watch')).json.alerts[0]).toMatchObject({
      about: CONSUMER,
      text: expect.stringContaining('paused it until 20'),
      remedy: `Resume it: \`nats consumer resume ${STREAMS.features} ${CONSUMER}\`.`,
    })
    expect(await metricOf(process, 'pelton_consumer_paused', labels)).toBe(1)
    const told = (await status()).split('\n').filter((line) => line.includes('paused'))
    expect(told).toEqual([expect.stringMatching(`^${CONSUMER} is paused until`)])
    await requestApi(connection, `CONSUMER.PAUSE.${STREAMS.features}.${CONSUMER}`, {})
    await vi.waitFor(async () => expect(await alertKinds(process)).toEqual([]), PATIENT)
    expect(await metricOf(process, 'pelton_consumer_paused', labels)).toBe(0)
    expect(await status()).toContain(WELL)
  })
})
