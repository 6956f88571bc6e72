import { expect, it, onTestFinished } from 'vitest'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { featureConsumer } from '../../../shared/sdk/contract/topology.ts'
import type { Frame } from '../../../shared/sdk/jetstream/frame.ts'
import { PullLane } from '../../../shared/sdk/jetstream/pull-lane.ts'
import { startTestBroker } from '../../../test/kit/broker.ts'
import { publishEvent } from '../../../test/kit/pipeline.ts'
import { readDeliveries } from './delivery.ts'

it('a large delivery has its body in a buffer that no other shares', async () => {
  const broker = await startTestBroker()
  onTestFinished(() => broker.stop())
  await broker.provision()
  const connection = await broker.connect()
  const sizes = [70_000, 100, 300_000, 65_000, 66_000, 500_000, 80_000, 10, 900_000]
  for (const [index, size] of sizes.entries())
    await publishEvent(connection, {
      id: `${index}`,
      body: `${index}`.repeat(size),
      headers: { 'x-long': 'h'.repeat(index * 100) },
    })
  const messages: Frame[] = []
  const { stream, durable_name: consumer } = featureConsumer('default', 'normal')
  const lane = new PullLane(connection, { stream, consumer }, (message) => messages.push(message))
  for (let pulls = 0; messages.length < sizes.length && pulls < 100; pulls++)
    await lane.pull({ batch: sizes.length - messages.length, maxBytes: 50e6, idleMs: 1_000, lingerMs: 100 })
  await lane.close()
  const deliveries = readDeliveries(
    messages.map((message) => ({ message, sentSince: 7 })),
    new Map(),
  )
  expect(deliveries.map(({ event }) => event.headers.get(HEADERS.id))).toEqual(
    sizes.map((_, index) => `${index}`),
  )
  expect(new Set(deliveries.map(({ sentSince }) => sentSince))).toEqual(new Set([7]))
  const isLarge = sizes.map((size, index) => size + index * 100 > 65_300)
  expect(deliveries.map((delivery) => delivery.isLarge === true)).toEqual(isLarge)
  for (const [index, { body, event, isLarge: isAside }] of deliveries.entries()) {
    const others = deliveries.filter((_, other) => other !== index)
    if (isAside) for (const other of others) expect(other.body.buffer).not.toBe(body.buffer)
    expect(event.body.length).toBe(isAside ? 0 : sizes[index])
    expect(body.every((byte) => byte === 48 + index)).toBe(true)
    expect(body.length).toBe(sizes[index])
  }
})
