import { monitorEventLoopDelay } from 'node:perf_hooks'
import { afterAll, describe, expect, test } from 'vitest'
import { DEMO_MODELS } from '../../services/demo/models.ts'
import { bareOutputs, closeBareModels } from './kit/bare-model.ts'
import { EVENTS, openStage, type StagedEvent } from './kit/stage.ts'
import { flightEvents } from './kit/stage-events.ts'
import { stageModels } from './kit/stage-models.ts'

afterAll(closeBareModels)

const MODEL = 'counts-up'
const RUN_MS = 750
const ACK_WAIT_MS = 2_000

/** An event whose run takes `turns` rounds of a loop. */
function counting(id: string, turns: number): StagedEvent {
  return {
    model: MODEL,
    id,
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1], data: Float32Array.of(turns) }],
  }
}

/** How many rounds take `RUN_MS` on this machine now: a run alone is timed. */
async function turnsOfSlowRun(models: string): Promise<number> {
  const turns = 100_000
  await bareOutputs(models, '1', counting('warm-up', 10))
  const began = performance.now()
  await bareOutputs(models, '1', counting('calibration', turns))
  return Math.round((turns * RUN_MS) / (performance.now() - began))
}

describe('a model that takes longer than the broker waits', () => {
  test('heartbeats keep its events: nothing is delivered twice', async () => {
    const models = await stageModels({ [MODEL]: 'batching:\n  maxRows: 256\n' })
    const turns = await turnsOfSlowRun(models)
    const slow = [0, 1, 2, 3].map((index) => counting('', turns + 10 * index))
    const events = Array.from({ length: EVENTS }, (_, index) =>
      index % 64 === 0
        ? { ...slow[(index / 64) % 4]!, id: `slow-${index}` }
        : counting(`fast-${index}`, index % 50),
    )
    const stage = await openStage(`model: ${RUN_MS} ms a run, ack_wait ${ACK_WAIT_MS / 1_000} s`, {
      models,
      workers: 2,
      events,
      ackWaitMs: ACK_WAIT_MS,
      worker: () => ({ env: { PELTON_HELD_ROWS: '1024' } }),
    })
    // What this process waits for the processor, workers wait too: a heartbeat can only be as punctual as the machine.
    const delay = monitorEventLoopDelay()
    delay.enable()
    await stage.feed.run('at once')
    await stage.drained()
    delay.disable()
    const starvedMs = delay.max / 1e6
    const { redeliveries } = await stage.conclude({
      note: `processor withheld for ${Math.round(starvedMs)} ms at most`,
    })
    if (starvedMs < ACK_WAIT_MS / 3) expect(redeliveries).toBe(0)
    expect(stage.fleet.ends).toEqual([])
  })
})

describe('a model that never ends', () => {
  test('its event is dead-lettered as timed-out, and the model beside it goes on answering', async () => {
    const models = await stageModels({ [MODEL]: 'limits:\n  timeoutMs: 1000\nretries:\n  maxAttempts: 2\n' })
    const stage = await openStage('model: never ends, beside a healthy one', {
      models,
      workers: 2,
      events: EVENTS,
    })
    const publishing = stage.feed.run({ perSecond: EVENTS / 15 })
    await stage.feed.reached(0.1)
    const hanging = stage.addFeed([
      ...Array.from({ length: 20 }, (_, index) => counting(`counts-${index}`, index)),
      counting('endless', 1e18),
    ])
    await hanging.run('at once')
    await publishing
    const { answersById } = await stage.conclude({
      endings: (id) => (id === 'endless' ? 'timed-out' : 'prediction'),
      note: `${stage.fleet.ends.length} processes ended by their watchdog`,
    })
    const culprit = answersById.get('endless')!
    const meanwhile = [...answersById.values()].filter(
      ({ acceptedAt, storedAt }) => acceptedAt > culprit.acceptedAt && storedAt < culprit.storedAt,
    )
    expect(meanwhile.length, 'healthy events taken and answered while the other model hung').toBeGreaterThan(
      0,
    )
    expect(new Set(stage.fleet.ends)).toEqual(new Set(['SIGKILL']))
  })
})

describe('a worker with few file descriptors', () => {
  test('64 are enough', async () => {
    const stage = await openStage('worker: 64 file descriptors', {
      models: DEMO_MODELS,
      workers: 2,
      events: await flightEvents(EVENTS),
      // Compiled, Node's own loader opens up to a hundred modules at once, before Pelton runs: that start needs 128.
      worker: () => ({ ulimit: '-n 64', isFromSource: true }),
    })
    await stage.feed.run({ perSecond: EVENTS / 2 })
    const { redeliveries } = await stage.conclude()
    expect(redeliveries).toBe(0)
    expect(stage.fleet.ends).toEqual([])
  })
})
