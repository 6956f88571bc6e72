import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { keepRunning, readWriteError } from '../../services/cli/keep-broker.ts'
import { type EmbeddedBroker, startBroker } from '../../shared/sdk/broker/server.ts'
import type { PeltonError } from '../../shared/sdk/errors.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import { provision } from '../../shared/sdk/jetstream/provision.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { noSmallDisk, openSmallDisk, type SmallDisk } from '../kit/small-disk.ts'

const reason = await noSmallDisk()

describe.skipIf(reason !== undefined)(`a broker whose disk is full (skipped: ${reason ?? 'no'})`, () => {
  let disk: SmallDisk
  let broker: EmbeddedBroker
  let stopKeeping: () => void
  const notes: string[] = []
  const lost: PeltonError[] = []

  beforeAll(async () => {
    disk = await openSmallDisk(128)
    broker = await startBroker({ dataDir: `${disk.path}/broker` })
    stopKeeping = keepRunning(
      broker,
      (text) => notes.push(text),
      (error) => lost.push(error),
    )
  })

  afterAll(async () => {
    stopKeeping?.()
    await broker?.stop()
    await disk?.remove()
  })

  test('is restarted once there is room again, and has all it accepted', async () => {
    const connection = await connectBroker({ url: broker.url, name: 'test' })
    await provision(connection, { topology: { featuresMaxBytes: 64 * 1024 ** 2 } })
    const producer = await createProducer({ connection, source: 'disk', retryForMs: 1_000 })
    const { pid } = broker
    const payload = 'x'.repeat(64 * 1024)
    const accepted: number[] = []
    const publish = async (): Promise<void> => {
      const { sequence } = await producer.publish({ model: 'any', features: { payload } })
      accepted.push(sequence)
    }
    await publish()
    await disk.fill(512 * 1024)
    await expect(
      (async () => {
        for (;;) await publish()
      })(),
    ).rejects.toMatchObject({ code: 'broker-unavailable' })
    await expect.poll(() => notes.join('\n'), { timeout: 30_000 }).toMatch(/cannot write: .*no space left/)
    expect(await readWriteError(broker.monitorUrl)).toMatch(/no space left/)
    expect(broker.pid).toBe(pid)

    await disk.free()
    await expect.poll(() => notes.at(-1), { timeout: 60_000 }).toBe('the broker writes again')
    expect(broker.pid).not.toBe(pid)
    const before = accepted.length
    await expect
      .poll(() =>
        publish().then(
          () => accepted.length,
          () => before,
        ),
      )
      .toBe(before + 1)
    const stored = await connection.request('$JS.API.STREAM.INFO.FEATURES')
    const { state } = stored.json<{ state: { messages: number; first_seq: number } }>()
    expect(state.first_seq).toBe(accepted[0])
    expect(state.messages).toBeGreaterThanOrEqual(accepted.length)
    expect(lost).toEqual([])
    await producer.close()
    await connection.close()
  })
})
