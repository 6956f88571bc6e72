import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { DEMO_MODEL } from '../../services/demo/models.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { startControl } from '../integration/control-process.ts'
import { startTestBroker } from '../kit/broker.ts'
import { noSmallDisk, openSmallDisk } from '../kit/small-disk.ts'
import { closeBareModels } from './kit/bare-model.ts'
import { deliveringConsumers } from './kit/records.ts'
import { EVENTS, IS_FULL, openStage, type Stage, type StagedEvent } from './kit/stage.ts'
import { flightEvents } from './kit/stage-events.ts'

const TIMES = IS_FULL ? 8 : 2
/** Long enough for `TIMES` faults to happen while events come. */
const PER_SECOND = EVENTS / (2.5 * TIMES)
const PATIENT = { timeout: 600_000, interval: 50 }
const noDisk = await noSmallDisk()
const MEGABYTE = 1024 * 1024

afterAll(closeBareModels)

describe('a single broker', () => {
  test('killed with kill -9 under load, and started again on its store', async () => {
    const stage = await openStage('broker: kill -9, restart on the same store')
    const publishing = stage.feed.run({ perSecond: PER_SECOND })
    for (let time = 0; time < TIMES; time++) {
      await sleep(500 + 500 * stage.random())
      await stage.broker.kill()
      await sleep(1_000 * stage.random())
      await stage.broker.restart()
      stage.faultEnded()
    }
    await publishing
    await stage.conclude({ note: `${TIMES} times; ${toldOf(stage)}` })
    expect(stage.fleet.ends).toEqual([]) // no worker had to be started again
  })

  test('restarted while the producer publishes as fast as it can', async () => {
    const stage = await openStage('broker: restart in bursts of publishing')
    for (let time = 0; time < TIMES; time++) {
      stage.feed.send(Math.ceil(EVENTS / TIMES))
      await sleep(100 * stage.random())
      await stage.broker.restart()
      stage.faultEnded()
      await sleep(300 * stage.random())
    }
    await stage.conclude({ note: `${TIMES} times; ${toldOf(stage)}` })
    expect(stage.fleet.ends).toEqual([])
  })

  test.skipIf(noDisk !== undefined)(
    `whose disk is full, then freed${noDisk ? ` [${noDisk}]` : ''}`,
    async () => {
      const disk = await openSmallDisk(96)
      onTestFinished(() => disk.remove())
      const broker = await startTestBroker({ dataDir: disk.path })
      onTestFinished(() => broker.stop())
      const topology = { featuresMaxBytes: 16 * MEGABYTE }
      const stage = await openStage('broker: disk full, freed, restarted', { broker, topology })
      // Acknowledgements that the full disk took, but not the removal of their events, leave orphans: control's work.
      const control = await startControl({ url: broker.url, dataDir: disk.path })
      onTestFinished(async () => {
        control.kill()
        await control.ended
      })
      stage.feed.send(Math.ceil(EVENTS / 5))
      await stage.feed.reached(0.1)
      await disk.fill()
      // On a machine that is slow by now, too, most events come to a disk that is full.
      const publishing = stage.feed.run({ perSecond: EVENTS / 4 })
      await vi.waitFor(() => expect(stops(stage) + stage.feed.refusals.size).toBeGreaterThan(0), PATIENT)
      await disk.free()
      await sleep(IS_FULL ? 10_000 : 1_000)
      // The streams stay closed to writes until the server starts again: that is the runbook, and a supervisor's work.
      const before = (await streamInfo(stage.connection, STREAMS.results))?.state.last_seq ?? 0
      await broker.restart()
      stage.faultEnded()
      await publishing
      await stage.drained()
      const orphans = control.log
        .filter(({ alert, count }) => alert === 'orphans' && count !== undefined)
        .reduce((most, { count }) => Math.max(most, Number(count)), 0)
      const note = `${before} results stored until then; ${toldOf(stage)}; ${orphans} orphans revived`
      await stage.conclude({ note })
      expect(stage.fleet.ends).toEqual([])
    },
  )
})

describe('a stream at its limit', () => {
  test('RESULTS refuses: workers stop pulling, and go on by themselves', async () => {
    const stage = await openStage('RESULTS refuses, then takes again')
    await refuses(stage, STREAMS.results, { discard: 'new', max_msgs: Math.ceil(EVENTS / 10) })
  })

  test('LEDGER refuses: workers stop pulling, and go on by themselves', async () => {
    const stage = await openStage('LEDGER refuses, then takes again')
    await refuses(stage, STREAMS.ledger, { discard: 'new', max_msgs: 2 })
  })

  test('DEADLETTERS is full: workers stop pulling, and go on by themselves', async () => {
    const events = (await flightEvents(EVENTS)).map((event, index) =>
      index % 5 === 0 ? spoilt(event) : event,
    )
    const stage = await openStage('DEADLETTERS full, then room again', { events })
    const limit = { max_msgs: Math.ceil(EVENTS / 50) }
    await refuses(stage, STREAMS.deadLetters, limit, (id) =>
      id.startsWith(SPOILT) ? 'schema-mismatch' : 'prediction',
    )
  })

  test('FEATURES is full: the producer is refused and comes again', async () => {
    const topology = { featuresMaxMessages: 50 }
    const stage = await openStage('FEATURES full (10077), producer comes again', {
      topology,
      workers: 2,
      // The limit is the scenario: each refusal is told to the feed, not repeated inside the producer.
      producer: { retryForMs: 1 },
    })
    await stage.feed.run('at once')
    stage.faultEnded()
    await stage.drained()
    const findings = await stage.conclude({ note: toldOf(stage) })
    expect(stage.feed.refusals.get('stream-full')).toBeGreaterThan(0)
    expect(findings.predictions).toBe(EVENTS)
  })
})

const SPOILT = 'spoilt-'

/** A flight without its features: a dead letter before any work. */
function spoilt({ id }: StagedEvent): StagedEvent {
  return { model: DEMO_MODEL, id: SPOILT + id, features: { distance: 1 } }
}

/**
 * Lets a stream refuse until every worker has said that it stops pulling, sees that they do, and lifts the limit.
 * Nobody tells the workers.
 */
async function refuses(
  stage: Stage,
  stream: string,
  limit: Readonly<Record<string, unknown>>,
  endings: (id: string) => 'prediction' | 'schema-mismatch' = () => 'prediction',
): Promise<void> {
  const lift = await changeStream(stage, stream, limit)
  await stage.feed.run('at once')
  await vi.waitFor(() => expect(stops(stage)).toBeGreaterThanOrEqual(stage.fleet.workers.length), PATIENT)
  const waiting = await vi.waitFor(async () => {
    const before = await handedOut(stage)
    await sleep(1_000)
    const after = await handedOut(stage)
    expect(after.deliveries).toBe(before.deliveries)
    return after
  }, PATIENT)
  expect(waiting.pending).toBeGreaterThan(0)
  await lift()
  stage.faultEnded()
  await stage.conclude({ endings, note: `${waiting.held} held and ${waiting.pending} waiting meanwhile` })
  expect(stage.fleet.ends).toEqual([])
}

/** Changes a stream's configuration; returns how to change it back. */
async function changeStream(
  { connection }: Stage,
  stream: string,
  change: Readonly<Record<string, unknown>>,
): Promise<() => Promise<void>> {
  const config = (await streamInfo(connection, stream))?.config
  await requestApi(connection, `STREAM.UPDATE.${stream}`, { ...config, ...change })
  return async () => {
    await requestApi(connection, `STREAM.UPDATE.${stream}`, config)
  }
}

/** Workers that have said that they stop pulling. */
function stops({ fleet }: Stage): number {
  return new Set(
    fleet
      .logLines()
      .filter(({ msg }) => String(msg).startsWith('pulling stops'))
      .map(({ worker }) => worker),
  ).size
}

async function handedOut({ connection }: Stage) {
  const consumers = await deliveringConsumers(connection)
  const sum = (of: (one: (typeof consumers)[number]) => number): number =>
    consumers.reduce((total, one) => total + of(one), 0)
  return {
    deliveries: sum(({ delivered }) => delivered.consumer_seq),
    held: sum(({ num_ack_pending }) => num_ack_pending),
    pending: sum(({ num_pending }) => num_pending),
  }
}

function toldOf({ feed }: Stage): string {
  const told = [...feed.refusals].map(([code, times]) => `${times} × ${code}`).join(', ')
  return told === '' ? 'the producer noticed nothing' : `the producer was told ${told}`
}
