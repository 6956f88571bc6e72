import { expect, it, vi } from 'vitest'
import type { InferenceThreads } from '../../shared/models/inference-threads.ts'
import { type Lane, subjects } from '../../shared/sdk/contract/subjects.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { floats } from '../../test/kit/deliveries.ts'
import { openBacklog, openWorkerHere, type Sent } from '../../test/kit/worker-here.ts'

const MODEL = 'identity-fp32'
const EVENTS = 200
const HELD_ROWS = 64
/** What one thread has: a run under way, and one behind it. */
const PLACES = 2
const MARK = 9

function event(lane: Lane, value: number): Sent {
  const body = Buffer.from(JSON.stringify({ inputs: [floats('x', [[value, value]])] }))
  return { subject: subjects.feature({ pool: 'default', model: MODEL, lane }), body }
}

/** A model so slow that each run ends when the test says so. */
function slow(threads: InferenceThreads) {
  const run = threads.run.bind(threads)
  const runs: { readonly isMarked: boolean; readonly end: () => void }[] = []
  let isOver = false
  vi.spyOn(threads, 'run').mockImplementation(async (...given) => {
    const [, inputs] = given
    const isMarked = inputs.some(({ data }) => Array.from<unknown>(data as ArrayLike<unknown>).includes(MARK))
    await new Promise<void>((resolve) => {
      runs.push({ isMarked, end: resolve })
      if (isOver) resolve()
    })
    return run(...given)
  })
  const endAll = (): void => {
    isOver = true
    for (const { end } of runs) end()
  }
  return { runs, endAll }
}

it.each([
  ['low', ['low']],
  ['normal', ['normal']],
  ['normal and low', ['normal', 'low']],
] as const)(
  'an event of high is in the first run that begins after it, in a worker full of %s',
  async (_name, lanes) => {
    const backlog = lanes.flatMap((lane) => Array.from({ length: EVENTS }, () => event(lane, 1)))
    const { broker, connection } = await openBacklog(backlog)
    let model: ReturnType<typeof slow> | undefined
    const { worker, close } = await openWorkerHere(broker, MODEL, {
      capacityOf: (maxMessageBytes) => ({ rows: HELD_ROWS, bytes: 16 * maxMessageBytes }),
      own: (threads) => {
        model = slow(threads)
        return { threads }
      },
    })
    const { runs, endAll } = model as ReturnType<typeof slow>
    const running = worker.run()
    const most = lanes.some((lane) => lane === 'normal') ? (HELD_ROWS * 7) / 8 : (HELD_ROWS * 3) / 4
    await expect.poll(() => [runs.length, worker.load.events], { timeout: 60_000 }).toEqual([PLACES, most])

    const window = new PublishWindow(connection)
    await window.publish({ ...event('high', MARK), headers: [] })
    window.close()
    // There is room for it, though what waits in the lanes below would fill the worker many times over.
    await expect.poll(() => worker.load.events, { timeout: 60_000 }).toBe(most + 1)
    expect(runs).toHaveLength(PLACES)
    runs[0]?.end()
    await expect.poll(() => runs.length, { timeout: 60_000 }).toBeGreaterThan(PLACES)
    expect(runs[PLACES]?.isMarked).toBe(true)

    endAll()
    await expect.poll(() => worker.counts.predicted, { timeout: 60_000 }).toBe(backlog.length + 1)
    await worker.stop()
    await running
    await close()
  },
)
