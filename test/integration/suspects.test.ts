import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { headers, type NatsConnection } from '@nats-io/transport-node'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { type Outcomes, readOutcomes } from '../kit/outcomes.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'

const MODEL = 'loops-by-input'
let broker: TestBroker
let connection: NatsConnection
let folder: Awaited<ReturnType<typeof modelsFolder>>
let worker: WorkerProcess | undefined
let stopped: boolean
let supervised: Promise<void>

beforeEach(async () => {
  stopped = false
  folder = await modelsFolder([MODEL, 'identity-fp32'])
  await writeFile(
    join(folder.path, MODEL, 'manifest.yaml'),
    'limits:\n  timeoutMs: 1000\nretries:\n  maxAttempts: 2\n',
  )
  broker = await startTestBroker()
  connection = await broker.connect()
  await broker.provision({ topology: { ackWaitMs: 1_500 } })
})

afterEach(async () => {
  stopped = true
  worker?.kill('SIGKILL')
  await supervised
  await broker.stop()
  await folder.remove()
})

/** Starts the worker again whenever it ends, as a supervisor does. */
async function supervise(): Promise<void> {
  while (!stopped) {
    worker = await startWorkerProcess({ url: broker.url, models: folder.path })
    await worker.ended
  }
}

async function publish(model: string, id: string, value: number, attempt = 1): Promise<string> {
  const block = headers()
  block.set('ce-id', id)
  block.set('ce-source', 'test')
  block.set(HEADERS.attempt, String(attempt))
  const body = JSON.stringify({ inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [value, 1] }] })
  await connection.request(subjects.feature({ pool: 'default', model, lane: 'normal' }), body, {
    headers: block,
    timeout: 5_000,
  })
  return eventToken(model, 'test', id)
}

async function settled(count: number): Promise<Outcomes> {
  for (;;) {
    const outcomes = await readOutcomes(connection)
    if (outcomes.waiting === 0 && outcomes.predictions.size + outcomes.failures.size >= count) return outcomes
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

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
    const outcomes = await settled(tokens.length + 1)
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
    connection.subscribe(subjects.startMark(poison), {
      callback: (_error, message) => {
        if (message.data.length === 0) return
        runs++
        worker?.kill('SIGKILL')
      },
    })
    await connection.flush()
    supervised = supervise()
    const outcomes = await settled(tokens.length + 1)
    expect([...outcomes.deadLetters.keys()]).toEqual([poison])
    expect(readHeader(outcomes.deadLetters.get(poison)!.headers, HEADERS.deadLetterReason)).toBe(
      'worker-crashed',
    )
    expect(new Set(outcomes.predictions.keys())).toEqual(new Set(tokens))
    expect(runs).toBe(1 + 3) // once with others, three times alone
  })
})
