import type { NatsConnection } from '@nats-io/transport-node'
import { afterEach, expect, it } from 'vitest'
import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import { deliveryOf } from '../../../test/kit/deliveries.ts'
import type { Delivery } from './delivery.ts'
import { HeldDeliveries } from './held.ts'
import { Room } from './room.ts'

let held: HeldDeliveries
afterEach(() => held.close())

/** Deliveries in the hands of a worker with room for 80 rows. Nothing is sent: they are only counted. */
function hold(...lanes: readonly Lane[]) {
  const room = new Room({ rows: 80, bytes: 1_000_000 })
  held = new HeldDeliveries({ isClosed: () => true } as NatsConnection, room, 60_000)
  const deliveries = lanes.map((lane): Delivery => {
    const delivery = deliveryOf({ model: 'm' })
    return { ...delivery, event: { ...delivery.event, route: { ...delivery.event.route, lane } } }
  })
  for (const { rows, sizeBytes } of deliveries) room.take(rows, sizeBytes)
  held.add(deliveries)
  return { room, deliveries }
}

it('rows found in events of a lane take nothing of what it leaves to those above it, however many they are', () => {
  const { room, deliveries } = hold('low', 'low', 'normal', 'high')
  for (const delivery of deliveries) held.countRows(delivery, 50_000)
  expect(deliveries.map(({ rows }) => rows)).toEqual([57, 1, 11, 11])
  expect(room.rows).toBe(80)
  for (const delivery of deliveries) held.acknowledge(delivery)
  expect([room.rows, room.freeRowsFor('high')]).toEqual([0, 80])
})

it('rows of an event that fit are counted as they are', () => {
  const { room, deliveries } = hold('low')
  held.countRows(deliveries[0] as Delivery, 7)
  expect([deliveries[0]?.rows, room.rows]).toEqual([7, 7])
})
