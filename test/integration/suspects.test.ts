import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import type { WorkerProcess } from '../kit/worker-process.ts'

const MODEL = 'loops-by-input'
let pipeline: Pipeline
let folder: Awaited<ReturnType<typeof modelsFolder>>
let worker: WorkerProcess | undefined
let stopped: boolean
/** Whether the worker is to be killed, which may be said before it is known to be ready. */
let isDoomed: boolean
let supervised: Promise<void>

beforeEach(async () => {
  stopped = false
  folder = await modelsFolder([MODEL, 'identity-fp32'])
  await writeFile(
    join(folder.path, MODEL, 'manifest.yaml'),
    'limits:\n  timeoutMs: 1000\nretries:\n  maxAttempts: 2\n',
  )
  pipeline = await openPipeline({ topology: { ackWaitMs: 1_500 }, models: folder.path })
})

afterEach(async () => {
  stopped = true
  worker?.kill('SIGKILL')
  await supervised
  await pipeline.close()
  await folder.remove()
})

/** Starts the worker again whenever it ends, as a supervisor does. */
async function supervise(): Promise<void> {
  while (!stopped) {
    isDoomed = false
    worker = await pipeline.startWorker()
    if (isDoomed || stopped) worker.kill('SIGKILL')
    await worker.ended
  }
}

const publish = (model: string, id: string, value: number, attempt = 1): Promise<string> =>
  pipeline.publish({
    model,
    id,
    body: { inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [value, 1] }] },
    headers: { [HEADERS.attempt]: String(attempt) },
  })

describe('suspects', () => {
  test('an event whose run never ends is dead-lettered as timed-out, and everything around it is predicted', async () => {
    const tokens: string[] = []
    for (let index = 0; index < 100; index++) {
      tokens.push(await publish(MODEL, `good-${index}`, index % 5))
      tokens.push(await publish('identity-fp32', `other-${index}`, index))
    }
    const culprit = await publish(MODEL, 'endless', 1e18)
    for (let index = 100; index < 150; index++) tokens.push(await publish(MODEL, `good-${index}`, index % 5))
    supervised = supervise()
    const outcomes = await pipeline.settled([...tokens, culprit])
    expect(new Set(outcomes.predictions.keys())).toEqual(new Set(tokens))
    expect([...outcomes.deadLetters.keys()]).toEqual([culprit])
    expect(readHeader(outcomes.deadLetters.get(culprit)!.headers, HEADERS.deadLetterReason)).toBe('timed-out')
  })

  test('an event that ends its worker each time is dead-lettered as worker-crashed without running again', async () => {
    const tokens: string[] = []
    for (let index = 0; index < 50; index++)
      tokens.push(await publish('identity-fp32', `good-${index}`, index))
    // It runs for longer than anything takes to kill its worker, and may.
    await writeFile(
      join(folder.path, MODEL, 'manifest.yaml'),
      'limits:\n  timeoutMs: 600000\nretries:\n  maxAttempts: 3\n',
    )
    const poison = await publish(MODEL, 'poison', 1e18, 2) // a suspect from its first delivery
    // Stands for native code that crashes on this event: the worker is killed each time it is about to run it.
    let runs = 0
    pipeline.connection.subscribe(subjects.startMark(poison), {
      callback: (_error, message) => {
        if (message.data.length === 0) return
        runs++
        isDoomed = true
        worker?.kill('SIGKILL')
      },
    })
    await pipeline.connection.flush()
    supervised = supervise()
    const outcomes = await pipeline.settled([...tokens, poison])
    expect([...outcomes.deadLetters.keys()]).toEqual([poison])
    expect(readHeader(outcomes.deadLetters.get(poison)!.headers, HEADERS.deadLetterReason)).toBe(
      'worker-crashed',
    )
    expect(new Set(outcomes.predictions.keys())).toEqual(new Set(tokens))
    expect(runs).toBe(1 + 3) // once with others, three times alone
  })
})
