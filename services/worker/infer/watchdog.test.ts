import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { toTensors } from '../../../shared/models/event-reader.ts'
import { createInferenceThreads, type InferenceThreads } from '../../../shared/models/inference-threads.ts'
import { openRepository, type ServedModel } from '../../../shared/models/repository.ts'
import { deliveryOf, floats } from '../../../test/kit/deliveries.ts'
import { modelsFolder } from '../../../test/kit/models-folder.ts'
import { prepare } from '../prepare/prepare.ts'
import { type Batch, isConcluded, type Prepared } from '../prepare/prepared.ts'
import { watchRuns } from './watchdog.ts'

const SLOW = 'counts-up'
const TIMEOUT_MS = 20
let folder: Awaited<ReturnType<typeof modelsFolder>>
let slow: Prepared
let patient: Prepared
let threads: InferenceThreads
let told: ServedModel[]

beforeAll(async () => {
  folder = await modelsFolder([SLOW, 'identity-fp32'])
  await writeFile(
    join(folder.path, SLOW, 'manifest.yaml'),
    `limits:\n  timeoutMs: ${TIMEOUT_MS}\nretries:\n  maxAttempts: 2\n`,
  )
  const models = await openRepository({ folder: folder.path })
  expect(models.refused).toEqual([])
  // A run lasts as long as its row says: far longer than its limit, and than anybody needs to see it.
  const given = [
    { model: SLOW, inputs: [floats('x', [[3e5]])] },
    { model: 'identity-fp32', inputs: [floats('x', [[1, 2]])] },
  ]
  const passed = prepare(given.map(deliveryOf), models, 0)
  expect(passed.filter(isConcluded)).toEqual([])
  ;[slow, patient] = passed as [Prepared, Prepared]
  threads = createInferenceThreads({ threads: 1 })
})

afterAll(async () => {
  await threads.close()
  await folder.remove()
})

beforeEach(() => {
  told = []
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
})
afterEach(() => {
  vi.useRealTimers()
})

/** Runs the slow event, and works while its run has lasted longer than its model may take. */
async function whileItRuns(work: () => void): Promise<void> {
  const run = threads.run(slow.model, toTensors(slow.inputs))
  while ((threads.running[0]?.runningMs ?? 0) <= TIMEOUT_MS) await new Promise(setImmediate)
  work()
  await run
}

function watch(running: readonly Batch[]): () => void {
  return watchRuns(
    threads,
    () => running,
    (model) => void told.push(model),
  )
}

describe('watchRuns', () => {
  it('tells of a run that keeps its thread beyond the limit of its model, until it is stopped', async () => {
    const stop = watch([[patient], [slow]])
    await whileItRuns(() => {
      vi.advanceTimersByTime(1_000)
      expect(told).toEqual([slow.model])
      vi.advanceTimersByTime(250)
    })
    stop()
    expect(told).toEqual([slow.model, slow.model])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('says nothing of a run within its limit', async () => {
    const limits = { ...slow.model.manifest.limits, timeoutMs: 3_600_000 }
    const model = { ...slow.model, manifest: { ...slow.model.manifest, limits } }
    const stop = watch([[{ ...slow, model }]])
    await whileItRuns(() => void vi.advanceTimersByTime(10_000))
    stop()
    expect(told).toEqual([])
  })

  it('says nothing while nothing runs, and nothing once it is stopped', async () => {
    const stop = watch([[slow]])
    vi.advanceTimersByTime(10_000)
    stop()
    await whileItRuns(() => void vi.advanceTimersByTime(10_000))
    expect(told).toEqual([])
  })
})
