import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { eventually } from '../kit/wait.ts'
import { closeBareModels } from './kit/bare-model.ts'
import { EVENTS, IS_FULL, openStage, type Stage } from './kit/stage.ts'

const WORKERS = Number(process.env.PELTON_FAULTS_WORKERS ?? (IS_FULL ? 8 : 3))
const KILLS = Number(process.env.PELTON_FAULTS_KILLS ?? (IS_FULL ? 30 : 5))

/** Longest time between two ends. */
const PAUSE_MS = IS_FULL ? 2_000 : 300

afterAll(closeBareModels)

/** A burst of events, and the signal while they are pulled, run and settled; again and again, while others are up. */
async function endInMidBatch(stage: Stage, signal: NodeJS.Signals, times: number): Promise<void> {
  const { feed, fleet, random } = stage
  for (let time = 0; time < times; time++) {
    // A worker takes some seconds to start: with none left, the scenario would only measure that.
    await eventually('two workers to be up', () => fleet.workers.length >= 2, {
      seen: () => fleet.workers.length,
    })
    feed.send(Math.ceil(EVENTS / times))
    await sleep(200 * random())
    await fleet.end(signal)
    await sleep(PAUSE_MS * random())
  }
  stage.faultEnded()
}

describe('a worker that ends', () => {
  test('by kill -9 in mid-batch', async () => {
    const stage = await openStage('worker: kill -9 in mid-batch', { workers: WORKERS })
    await endInMidBatch(stage, 'SIGKILL', KILLS)
    const { redeliveries } = await stage.conclude({ note: `${KILLS} kills of ${WORKERS} workers` })
    expect(stage.fleet.ends.filter((how) => how === 'SIGKILL').length).toBe(KILLS)
    expect(redeliveries).toBeGreaterThan(0)
  })

  test('by SIGSEGV in native code', async () => {
    const times = IS_FULL ? 10 : 2
    const stage = await openStage('worker: SIGSEGV in native code')
    await endInMidBatch(stage, 'SIGSEGV', times)
    await stage.conclude({ note: `${times} times` })
    expect(stage.fleet.ends.filter((how) => how === 'SIGSEGV').length).toBe(times)
  })

  test('by SIGTERM under load', async () => {
    const times = IS_FULL ? 10 : 2
    const stage = await openStage('worker: SIGTERM under load')
    await endInMidBatch(stage, 'SIGTERM', times)
    await stage.conclude({ note: `${times} times, each drained and exited 0` })
    expect(stage.fleet.ends).toEqual(Array(times).fill(0))
  })

  test('in a rolling restart of all', async () => {
    const stage = await openStage('worker: rolling restart of all', { workers: IS_FULL ? 6 : 3 })
    const { feed, fleet } = stage
    const publishing = feed.run({ perSecond: EVENTS / (IS_FULL ? 40 : 4) })
    for (const worker of [...fleet.workers]) {
      await fleet.end('SIGTERM', worker)
      await fleet.whole()
    }
    stage.faultEnded()
    await publishing
    const { redeliveries } = await stage.conclude({ note: 'one after the other, each drained and exited 0' })
    expect(
      fleet.ends.every((how) => how === 0),
      String(fleet.ends),
    ).toBe(true)
    expect(redeliveries).toBeLessThan(EVENTS)
  })
})
