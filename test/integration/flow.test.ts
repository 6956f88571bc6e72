import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { Ran } from '../../shared/models/inference-threads.ts'
import { openPoolModels } from '../../shared/operations/models/pool-models.ts'
import { decodeFlow, type Flow, type FlowGate } from '../../shared/sdk/contract/flow.ts'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { floats } from '../kit/deliveries.ts'
import { hearFlow } from '../kit/flow.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'
import { openBacklog, openWorkerHere } from '../kit/worker-here.ts'

const QUICK = 'identity-fp32'
/** Counts up to its input, one run after the other. */
const SLOW = 'counts-up'

const GATES: readonly FlowGate[] = [
  { limit: 'breaker', lanes: ['low'], value: 0.5, measured: 0.75, retryAfterMs: 1_000 },
]

const counting = (to: number): string => JSON.stringify({ inputs: [floats('x', [[to]])] })

/** The flow that docs/protocol.md shows. */
async function exampleOfPage(): Promise<Flow> {
  const page = await readFile(new URL('../../docs/protocol.md', import.meta.url), 'utf8')
  const [, text = ''] = /^```json flow\n(.*?)^```$/ms.exec(page) ?? []
  const flow = decodeFlow(Buffer.from(text))
  if (flow === undefined) throw new Error(`no flow is shown: ${text}`)
  return flow
}

async function openSlowPipeline(): Promise<Pipeline & { readonly models: string }> {
  const folder = await modelsFolder([SLOW])
  await writeFile(
    join(folder.path, SLOW, 'manifest.yaml'),
    'batching: { maxRows: 1 }\nlimits: { timeoutMs: 600000 }\n',
  )
  const pipeline = await openPipeline({ models: folder.path })
  onTestFinished(async () => {
    await pipeline.close()
    await folder.remove()
  })
  return { ...pipeline, models: folder.path }
}

describe('the flow of a model', () => {
  test('says what waits, what is held, what it drains and why nothing is let in', async () => {
    const [events, heldRows] = [300, 50]
    const subject = subjects.feature({ pool: 'default', model: QUICK, lane: 'high' })
    const body = Buffer.from(JSON.stringify({ inputs: [floats('x', [[1, 2]])] }))
    const { broker, connection } = await openBacklog(
      Array.from({ length: events }, () => ({ subject, body })),
    )
    const heard = (await hearFlow(connection))(QUICK)
    let open = (): void => undefined
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const { worker, close } = await openWorkerHere(broker, QUICK, {
      capacityOf: (maxMessageBytes) => ({ rows: heldRows, bytes: 8 * maxMessageBytes }),
      manifest: 'admission: { mode: observe, maxBacklogSecondsLow: 9 }\nslo: { deadlineMs: 700 }',
      own: (threads) => {
        const run = threads.run.bind(threads)
        vi.spyOn(threads, 'run').mockImplementation((...given) => gate.then(() => run(...given)))
        return { threads, gatesOf: (model) => (model === QUICK ? GATES : []) }
      },
    })
    const running = worker.run()
    const full = await eventually(
      'it to hold what it may',
      () => heard.find(({ held, waiting }) => held.high === heldRows && waiting.high === events - heldRows),
      { seen: () => heard.at(-1) },
    )
    expect(full).toMatchObject({
      ...{ by: 'worker', name: 'w1', everyMs: 55, drainRows: 0, rowsPerEvent: 1, heavy: [] },
      waiting: { normal: 0, low: 0 },
      held: { normal: 0, low: 0 },
      deadlineMs: { high: 700, normal: 700, low: 700 },
      ...{ mode: 'observe', maxBacklogSeconds: { high: 3_600, normal: 3_600, low: 9 }, gates: GATES },
    })
    expect(Object.keys(full)).toEqual(Object.keys(await exampleOfPage()))
    open()
    await eventually('nothing to wait', () => {
      const last = heard.at(-1)
      return last !== undefined && last.held.high + last.waiting.high === 0 && last.drainRows > 0
    })
    for (const { waiting, held } of heard) expect(waiting.high + held.high).toBeLessThanOrEqual(events)
    await worker.stop()
    await running
    await close()
  })

  test('says why nothing is let in as soon as the pool knows, though nothing comes', async () => {
    const { broker, connection } = await openBacklog([])
    const heard = (await hearFlow(connection))(QUICK)
    const { worker, close } = await openWorkerHere(broker, QUICK, {
      capacityOf: (maxMessageBytes) => ({ rows: 10, bytes: 8 * maxMessageBytes }),
      own: () => ({ gatesOf: (model) => (model === QUICK ? GATES : []) }),
    })
    const running = worker.run()
    const pool = await openPoolModels(connection, { pool: 'default' })
    await pool.update(QUICK, (record) => ({ ...record, apart: { since: 1, inARow: 0 } }))
    await pool.close()
    await eventually('a word', () => heard.length > 0)
    expect(heard[0]).toMatchObject({ gates: GATES, drainRows: 0 })
    await worker.stop()
    await running
    await close()
  })

  test('says as many rows a second as run while it is behind, and no more than its runs can give', async () => {
    const subject = subjects.feature({ pool: 'default', model: SLOW, lane: 'normal' })
    const body = Buffer.from(counting(5_000))
    const { broker, connection } = await openBacklog(Array.from({ length: 200 }, () => ({ subject, body })))
    const heard = (await hearFlow(connection))(SLOW)
    const runs: (Ran & { readonly atMs: number })[] = []
    const { worker, close } = await openWorkerHere(broker, SLOW, {
      capacityOf: (maxMessageBytes) => ({ rows: 20, bytes: 8 * maxMessageBytes }),
      manifest: 'batching: { maxRows: 1 }\nlimits: { timeoutMs: 600000 }\n',
      own: (threads) => {
        threads.onRan((ran) => runs.push({ ...ran, atMs: performance.now() }))
        return { threads }
      },
    })
    const running = worker.run()
    await eventually('half of them to run', () => runs.length >= 100)
    const [from, since] = [runs.length, heard.length]
    await eventually('most of them to run', () => runs.length >= 180)
    const spoken = heard.slice(since)
    const some = runs.slice(from)
    expect(spoken.length).toBeGreaterThan(0)
    const throughput = (1_000 * (some.length - 1)) / ((some.at(-1)?.atMs ?? 0) - (some[0]?.atMs ?? 0))
    const most = Math.max(...runs.map(({ rows, runMs }) => (1_000 * rows) / runMs))
    const drains = spoken.map(({ drainRows }) => drainRows)
    const mean = drains.reduce((sum, rows) => sum + rows, 0) / drains.length
    expect(mean).toBeGreaterThan(throughput / 2)
    expect(Math.max(...drains)).toBeLessThanOrEqual(2 * most)
    await worker.stop()
    await running
    await close()
  })

  test.each([1, 3])('is said 20 times a second at most, by a pool of %i', async (count) => {
    const pipeline = await openSlowPipeline()
    const body = counting(1_000_000)
    await Promise.all(
      Array.from({ length: 600 }, (_, index) => pipeline.publish({ id: `${index}`, body, model: SLOW })),
    )
    const heard = (await hearFlow(pipeline.connection))(SLOW)
    const names = Array.from({ length: count }, (_, index) => `w${index}`)
    const env = (name: string) => ({ PELTON_WORKER: name, PELTON_THREADS: '1', PELTON_HELD_ROWS: '32' })
    await Promise.all(names.map((name) => pipeline.startWorker(env(name))))
    const isSlowedDown = (name: string): boolean =>
      heard.findLast((flow) => flow.name === name)?.everyMs === 55 * count
    await eventually('each to know how many they are', () => names.every(isSlowedDown), {
      seen: () => heard.slice(-5),
    })
    const since = heard.length
    await eventually('some more words', () => heard.length > since + 60)
    const times = heard.slice(since).map(({ at }) => at)
    const seconds = (Math.max(...times) - Math.min(...times)) / 1_000
    expect(times.length).toBeLessThanOrEqual(20 * seconds + count)
    expect(new Set(heard.slice(since).map(({ name }) => name))).toEqual(new Set(names))
  })

  test('has the mode that an operator set, short deadlines, and ends with a word in which nothing waits', async () => {
    const pipeline = await openPipeline({ prefix: 'staging' })
    onTestFinished(() => pipeline.close())
    const model = 'flight-delay'
    const heard = (await hearFlow(pipeline.connection, 'staging.pelton.flow.*.*'))(model)
    await pipeline.startWorker()
    const deadlineMs = 3_600_000
    const until = { [HEADERS.expiryTime]: new Date(Date.now() + deadlineMs).toISOString() }
    for (const id of ['1', '2', '3']) await pipeline.publish({ id, headers: until, lane: 'low' })
    const first = await eventually('a deadline', () => heard.find((flow) => flow.deadlineMs.low > 0))
    expect(first.deadlineMs).toMatchObject({ high: 0, normal: 0 })
    expect(first.deadlineMs.low).toBeGreaterThan(deadlineMs / 2)
    expect(first.deadlineMs.low).toBeLessThan(2 * deadlineMs)
    expect(first.mode).toBe('enforce')
    const pool = await openPoolModels(pipeline.connection, { pool: 'default' })
    await pool.update(model, (record) => ({ ...record, admission: { mode: 'off', by: 'ops', at: 1 } }))
    await pool.close()
    await pipeline.publish({ id: '4' })
    await eventually('the mode', () => heard.at(-1)?.mode === 'off')
    await eventually('silence', async () => {
      const words = heard.length
      await sleep(3_000)
      return heard.length === words
    })
    const nothing = { high: 0, normal: 0, low: 0 }
    expect(heard.at(-1)).toMatchObject({ waiting: nothing, held: nothing, heavy: [] })
  })
})
