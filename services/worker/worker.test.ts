import { expect, it, vi } from 'vitest'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { floats } from '../../test/kit/deliveries.ts'
import { openBacklog, openWorkerHere } from '../../test/kit/worker-here.ts'

const MODEL = 'identity-fp32'
const EVENTS = 300
const HELD_ROWS = 50

it('a worker that nobody looks at knows the backlog of its pool, and drains it', async () => {
  const subject = subjects.feature({ pool: 'default', model: MODEL, lane: 'high' })
  const body = Buffer.from(JSON.stringify({ inputs: [floats('x', [[1, 2]])] }))
  const { broker } = await openBacklog(Array.from({ length: EVENTS }, () => ({ subject, body })))
  let open = (): void => undefined
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const { worker, close } = await openWorkerHere(broker, MODEL, {
    capacityOf: (maxMessageBytes) => ({ rows: HELD_ROWS, bytes: 8 * maxMessageBytes }),
    own: (threads) => {
      const run = threads.run.bind(threads)
      vi.spyOn(threads, 'run').mockImplementation((...given) => gate.then(() => run(...given)))
      return { threads }
    },
  })
  expect(worker.backlog.read(performance.now())).toEqual([])
  const running = worker.run()

  // Nothing runs yet: it holds what it has room for, and sees the rest wait.
  const high = () => worker.backlog.read(performance.now()).find(({ lane }) => lane === 'high')
  await expect.poll(() => (high()?.rows ?? 0) + worker.load.events, { timeout: 30_000 }).toBe(EVENTS)
  await expect.poll(() => worker.load.rows, { timeout: 30_000 }).toBe(HELD_ROWS)
  expect(high()?.rows).toBeGreaterThanOrEqual(EVENTS - HELD_ROWS)

  open()
  await expect.poll(() => worker.counts.predicted, { timeout: 60_000 }).toBe(EVENTS)
  await expect.poll(high, { timeout: 30_000 }).toEqual({ lane: 'high', rows: 0, seconds: 0 })
  await worker.stop()
  await running
  await close()
  expect(worker.load).toMatchObject({ events: 0, rows: 0, bytes: 0 })
})
