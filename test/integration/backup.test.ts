import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadFlights } from '../../services/demo/flights.ts'
import { DEMO_MODEL } from '../../services/demo/models.ts'
import { audit } from '../../shared/operations/audit/audit.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { latestModels } from '../kit/models-folder.ts'
import { readOutcomes } from '../kit/outcomes.ts'
import { startWorkerProcess } from '../kit/worker-process.ts'

const EVENTS = 300

describe('a copy of the data folder of a broker that was stopped (docs/backup.md)', () => {
  let folder: string
  const brokers: TestBroker[] = []

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pelton-backup-'))
  })

  afterEach(async () => {
    await Promise.all(brokers.splice(0).map((broker) => broker.stop()))
    await rm(folder, { recursive: true, force: true })
  })

  async function start(name: string): Promise<TestBroker> {
    const broker = await startTestBroker({ dataDir: join(folder, name) })
    brokers.push(broker)
    return broker
  }

  async function publish(broker: TestBroker, from: number, to: number): Promise<void> {
    const producer = await createProducer({ connection: await broker.connect(), source: 'backup' })
    const flights = await loadFlights({ count: EVENTS })
    const published = flights
      .slice(from, to)
      .map(({ id, features }) => producer.publish({ model: DEMO_MODEL, id, features: { ...features } }))
    await Promise.all(published)
    await producer.close()
  }

  /** Lets a worker answer everything that waits; returns the answers by token. */
  async function answerAll(broker: TestBroker) {
    const connection = await broker.connect()
    const worker = await startWorkerProcess({ url: broker.url, models: latestModels() })
    await expect
      .poll(async () => (await streamInfo(connection, STREAMS.features))?.state.messages, { timeout: 60_000 })
      .toBe(0)
    worker.kill()
    expect(await worker.ended).toBe(0)
    const { report } = await audit(connection, {
      deep: true,
      full: true,
      signal: new AbortController().signal,
    })
    const { predictions } = await readOutcomes(connection)
    return { report, answers: new Map([...predictions].map(([token, { body }]) => [token, answerIn(body)])) }
  }

  test('goes on where it was: every event has its one outcome, the same as in the original', async () => {
    const first = await start('original')
    await first.provision()
    await publish(first, 0, EVENTS / 3)
    const before = await answerAll(first)
    await publish(first, EVENTS / 3, EVENTS)
    await first.stop()
    await cp(join(folder, 'original'), join(folder, 'copy'), { recursive: true })

    const original = await answerAll(await start('original'))
    const restored = await start('copy')
    await publish(restored, 0, EVENTS / 3) // a producer that is not sure sends again
    const copy = await answerAll(restored)

    expect(before.answers.size).toBe(EVENTS / 3)
    expect(original.report).toMatchObject({ clean: true, sequences: EVENTS })
    expect(copy.report).toMatchObject({ clean: true, lost: [] })
    expect(copy.answers.size).toBe(EVENTS)
    expect(copy.answers).toEqual(original.answers)
  })
})

/** The outputs of a prediction: its times differ from one run to the next. */
function answerIn(body: Uint8Array): unknown {
  return (JSON.parse(new TextDecoder().decode(body)) as { readonly outputs: unknown }).outputs
}
