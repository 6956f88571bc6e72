import { headers, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { consumerInfo, requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { type Frame, frameBytes } from '../../shared/sdk/jetstream/frame.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { PullLane } from '../../shared/sdk/jetstream/pull-lane.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'

let broker: TestBroker
let connection: NatsConnection
let window: PublishWindow

beforeAll(async () => {
  broker = await startTestBroker()
  connection = await broker.connect()
  window = new PublishWindow(connection)
})
afterAll(async () => {
  window?.close()
  await broker?.stop()
})

const ROOMY = 1024 * 1024
/** No test waits this long: where a pull ends before, something other than its time ended it. */
const LONG_MS = 3_600_000

interface Lane {
  readonly lane: PullLane
  readonly stream: string
  /** Bodies of all messages handed over, in order. */
  readonly bodies: string[]
  readonly messages: Frame[]
  readonly receive: (message: Frame) => void
  publish(...bodies: string[]): Promise<void>
  waiting(): Promise<number | undefined>
}

let lanes = 0

async function openLane(at = connection, onMessage?: (message: Frame) => void): Promise<Lane> {
  const stream = `LANE_${lanes++}`
  const subject = `${stream.toLowerCase()}.a`
  await requestApi(at, `STREAM.CREATE.${stream}`, {
    name: stream,
    subjects: [subject],
    retention: 'workqueue',
  })
  const config = { durable_name: 'c', ack_policy: 'explicit', max_deliver: -1 }
  await requestApi(at, `CONSUMER.CREATE.${stream}.c`, { stream_name: stream, config })
  const messages: Frame[] = []
  const bodies: string[] = []
  const receive = (message: Frame): void => {
    messages.push(message)
    bodies.push(Buffer.from(message.data).toString())
    onMessage?.(message)
  }
  const lane = new PullLane(at, { stream, consumer: 'c' }, receive)
  const publisher = at === connection ? window : new PublishWindow(at)
  return {
    lane,
    stream,
    bodies,
    messages,
    receive,
    publish: async (...texts) => {
      for (const text of texts) {
        const reply = await publisher.publish({ subject, headers: [['x-a', '1']], body: Buffer.from(text) })
        expect(reply).toMatchObject({ kind: 'stored' })
      }
    },
    waiting: async () => {
      const info = (await consumerInfo(at, stream, 'c')) as { num_waiting?: number } | undefined
      return info?.num_waiting
    },
  }
}

describe('PullLane', () => {
  it('ends full as soon as it has what it asked for', async () => {
    const { lane, bodies, publish } = await openLane()
    await publish('1', '2', '3')
    const request = { batch: 2, maxBytes: ROOMY, idleMs: LONG_MS, lingerMs: LONG_MS }
    expect(await lane.pull(request)).toEqual({ received: 2, end: 'full' })
    expect(bodies).toEqual(['1', '2'])
    await lane.close()
  })

  it('takes what is there, and without a linger waits for nothing more', async () => {
    const { lane, bodies, publish } = await openLane()
    await publish('1', '2', '3')
    const request = { batch: 10, maxBytes: ROOMY, idleMs: LONG_MS, lingerMs: 0 }
    expect(await lane.pull(request)).toEqual({ received: 3, end: 'drained' })
    expect(bodies).toEqual(['1', '2', '3'])
    await lane.close()
  })

  it('waits idle for a first message', async () => {
    const { lane, bodies, publish, waiting } = await openLane()
    const pulled = lane.pull({ batch: 10, maxBytes: ROOMY, idleMs: LONG_MS, lingerMs: 0 })
    await vi.waitFor(async () => expect(await waiting()).toBe(1), { timeout: 60_000 })
    await publish('late')
    expect(await pulled).toEqual({ received: 1, end: 'drained' })
    expect(bodies).toEqual(['late'])
    await lane.close()
  })

  it('outlives many heartbeats while it waits', async () => {
    const { stream, publish, receive } = await openLane()
    const lane = new PullLane(connection, { stream, consumer: 'c', isPatient: false }, receive)
    const pulled = lane.pull({ batch: 1, maxBytes: ROOMY, idleMs: LONG_MS, lingerMs: 0 })
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    await publish('late')
    expect(await pulled).toEqual({ received: 1, end: 'full' })
    await lane.close()
  })

  it.each([
    ['a server alone', undefined, false],
    ['what is urgent', false, true],
    ['what is not', true, false],
  ])('asks for signs of life, or not: %s', async (_what, isPatient, isAsked) => {
    const { stream } = await openLane()
    const target = { stream, consumer: 'c', ...(isPatient !== undefined && { isPatient }) }
    const lane = new PullLane(connection, target, () => undefined)
    const asked: Record<string, unknown>[] = []
    const listening = connection.subscribe(`$JS.API.CONSUMER.MSG.NEXT.${stream}.c`, {
      callback: (_error, message) => void asked.push(message.json()),
    })
    await connection.flush()
    const pulled = lane.pull({ batch: 1, maxBytes: ROOMY, idleMs: 600, lingerMs: 0 })
    expect(await pulled).toEqual({ received: 0, end: 'drained' })
    await lane.close()
    listening.unsubscribe()
    expect(asked.map((body) => 'idle_heartbeat' in body)).toEqual([isAsked])
  })

  it('ends empty when nothing came in its time', async () => {
    const { lane, bodies } = await openLane()
    const request = { batch: 10, maxBytes: ROOMY, idleMs: 50, lingerMs: LONG_MS }
    expect(await lane.pull(request)).toEqual({ received: 0, end: 'drained' })
    expect(bodies).toEqual([])
    await lane.close()
  })

  it('waits its linger for the rest once some came, and ends full when the rest comes', async () => {
    const { lane, bodies, publish, waiting } = await openLane()
    await publish('1', '2')
    const pulled = lane.pull({ batch: 4, maxBytes: ROOMY, idleMs: LONG_MS, lingerMs: LONG_MS })
    await vi.waitFor(() => expect(bodies).toHaveLength(2), { timeout: 60_000 })
    await vi.waitFor(async () => expect(await waiting()).toBe(1), { timeout: 60_000 })
    await publish('3', '4')
    expect(await pulled).toEqual({ received: 4, end: 'full' })
    expect(bodies).toEqual(['1', '2', '3', '4'])
    await lane.close()
  })

  it('ends with what came when its linger is over', async () => {
    const { lane, publish } = await openLane()
    await publish('1', '2')
    const request = { batch: 4, maxBytes: ROOMY, idleMs: LONG_MS, lingerMs: 20 }
    expect(await lane.pull(request)).toEqual({ received: 2, end: 'drained' })
    await lane.close()
  })

  it('hands over a message whose pull has ended on this side', async () => {
    const { lane, bodies, publish, waiting } = await openLane()
    const pulled = lane.pull({ batch: 1, maxBytes: ROOMY, idleMs: LONG_MS, lingerMs: 0 })
    await vi.waitFor(async () => expect(await waiting()).toBe(1), { timeout: 60_000 })
    lane.cancel()
    expect(await pulled).toEqual({ received: 0, end: 'cancelled' })
    await publish('late')
    await vi.waitFor(() => expect(bodies).toEqual(['late']), { timeout: 60_000 })
    await publish('next')
    const request = { batch: 1, maxBytes: ROOMY, idleMs: LONG_MS, lingerMs: 0 }
    expect(await lane.pull(request)).toEqual({ received: 1, end: 'full' })
    expect(bodies).toEqual(['late', 'next'])
    await lane.close()
  })

  it('says that the next message does not fit, and takes it with more room', async () => {
    const { lane, bodies, publish } = await openLane()
    await publish('small', 'x'.repeat(5_000))
    const request = { batch: 10, maxBytes: 1_000, idleMs: LONG_MS, lingerMs: LONG_MS }
    expect(await lane.pull(request)).toEqual({ received: 1, end: 'too-large' })
    expect(await lane.pull(request)).toEqual({ received: 0, end: 'too-large' })
    expect(await lane.pull({ ...request, batch: 1, maxBytes: 6_000 })).toEqual({ received: 1, end: 'full' })
    expect(bodies[1]).toHaveLength(5_000)
    await lane.close()
  })

  it('waits for the messages that the end of their pull has overtaken, as on a replicated stream', async () => {
    const link = await broker.connect()
    const bodies: string[] = []
    const lane = new PullLane(connection, { stream: 'NONE', consumer: 'c' }, (message) => {
      bodies.push(Buffer.from(message.data).toString())
    })
    // A leader that hands out once others have its messages, and ends the pull before: written down, because no test can
    // make a cluster do it at will.
    const pulls: [status: string, left: number, then: string[]][] = [
      ['Message Size Exceeds MaxBytes', 8, ['a', 'b']],
      ['Batch Completed', 0, ['c', 'd']],
    ]
    link.subscribe('$JS.API.CONSUMER.MSG.NEXT.NONE.c', {
      callback: (_error, { reply = '' }) => {
        const [status = '', left, then = []] = pulls.shift() ?? []
        const block = headers(409, status)
        block.set('Nats-Pending-Messages', String(left))
        link.publish(reply, '', { headers: block })
        for (const body of then) link.publish(reply, body, { reply: 'an.acknowledgement' })
      },
    })
    await link.flush()
    const request = { maxBytes: ROOMY, idleMs: LONG_MS, lingerMs: 0 }
    expect(await lane.pull({ batch: 10, ...request })).toEqual({ received: 2, end: 'too-large' })
    expect(bodies).toEqual(['a', 'b'])
    expect(await lane.pull({ batch: 2, ...request })).toEqual({ received: 2, end: 'full' })
    expect(bodies).toEqual(['a', 'b', 'c', 'd'])
    await lane.close()
  })

  it('counts both phases against the bytes it asked for', async () => {
    const { lane, bodies, publish, waiting } = await openLane()
    await publish('x'.repeat(3_000))
    const pulled = lane.pull({ batch: 10, maxBytes: 5_000, idleMs: LONG_MS, lingerMs: LONG_MS })
    await vi.waitFor(() => expect(bodies).toHaveLength(1), { timeout: 60_000 })
    await vi.waitFor(async () => expect(await waiting()).toBe(1), { timeout: 60_000 })
    await publish('x'.repeat(3_000))
    expect(await pulled).toEqual({ received: 1, end: 'too-large' })
    await lane.close()
  })

  it('is told of the bytes of a message exactly as the broker counts them', async () => {
    const { lane, messages, publish } = await openLane()
    await publish('x'.repeat(500), 'x'.repeat(500))
    const request = { batch: 1, idleMs: LONG_MS, lingerMs: 0 }
    await lane.pull({ ...request, maxBytes: ROOMY })
    const size = frameBytes(messages[0] as Frame)
    expect(await lane.pull({ ...request, maxBytes: size - 1 })).toEqual({ received: 0, end: 'too-large' })
    expect(await lane.pull({ ...request, maxBytes: size })).toEqual({ received: 1, end: 'full' })
    await lane.close()
  })

  it('says that its consumer does not exist, or has been deleted', async () => {
    const absent = new PullLane(connection, { stream: 'NOWHERE', consumer: 'c' }, () => {})
    const request = { batch: 1, maxBytes: ROOMY, idleMs: LONG_MS, lingerMs: 0 }
    expect(await absent.pull(request)).toEqual({ received: 0, end: 'unavailable' })
    await absent.close()
    const { lane, stream, waiting } = await openLane()
    const pulled = lane.pull(request)
    await vi.waitFor(async () => expect(await waiting()).toBe(1), { timeout: 60_000 })
    await requestApi(connection, `CONSUMER.DELETE.${stream}.c`)
    expect(await pulled).toEqual({ received: 0, end: 'unavailable' })
    await lane.close()
  })

  it('hands over what is on its way when it closes, and pulls no more', async () => {
    const { lane, bodies, stream, publish, waiting } = await openLane()
    await publish(...Array.from({ length: 50 }, (_, index) => String(index)))
    const pulled = lane.pull({ batch: 100, maxBytes: ROOMY, idleMs: LONG_MS, lingerMs: LONG_MS })
    await Promise.all([lane.close(), lane.close()])
    await lane.close()
    expect(await pulled).toMatchObject({ end: 'cancelled' })
    const info = await consumerInfo(connection, stream, 'c')
    expect(bodies).toHaveLength(info?.num_ack_pending ?? -1)
    expect(bodies.length + (info?.num_pending ?? 0)).toBe(50)
    const again = { batch: 1, maxBytes: ROOMY, idleMs: LONG_MS, lingerMs: 0 }
    expect(await lane.pull(again)).toEqual({ received: 0, end: 'cancelled' })
    expect(await waiting()).toBe(0)
  })

  it('withdraws a pull that waits when it closes: what comes later is not handed out', async () => {
    const { lane, bodies, stream, publish, waiting } = await openLane()
    const pulled = lane.pull({ batch: 1, maxBytes: ROOMY, idleMs: LONG_MS, lingerMs: 0 })
    await vi.waitFor(async () => expect(await waiting()).toBe(1), { timeout: 60_000 })
    await lane.close()
    expect(await pulled).toEqual({ received: 0, end: 'cancelled' })
    await publish('late')
    const info = await consumerInfo(connection, stream, 'c')
    expect({ pending: info?.num_pending, held: info?.num_ack_pending }).toEqual({ pending: 1, held: 0 })
    expect(bodies).toEqual([])
  })

  it('opens no second phase when it is closed by the first message', async () => {
    let closing: Promise<void> | undefined
    const opened: Lane = await openLane(connection, () => {
      closing ??= opened.lane.close()
    })
    await opened.publish('1')
    const pulled = opened.lane.pull({ batch: 2, maxBytes: ROOMY, idleMs: LONG_MS, lingerMs: LONG_MS })
    expect(await pulled).toMatchObject({ end: 'cancelled' })
    await closing
    expect(opened.bodies).toEqual(['1'])
    expect(await opened.waiting()).toBe(0)
  })

  it('ends when its connection is closed, and closes then', async () => {
    const own = await broker.connect()
    const { lane } = await openLane(own)
    await own.close()
    const request = { batch: 1, maxBytes: ROOMY, idleMs: LONG_MS, lingerMs: 0 }
    expect(await lane.pull(request)).toEqual({ received: 0, end: 'lost' })
    await lane.close()
  })
})

describe('PullLane, when the broker is killed', () => {
  it('is lost, and pulls again after the restart: everything is handed over', async () => {
    const own = await startTestBroker()
    try {
      const link = await own.connect()
      const { bodies, publish, waiting, stream, receive } = await openLane(link)
      const lane = new PullLane(link, { stream, consumer: 'c', isPatient: false }, receive)
      const request = { batch: 5, maxBytes: ROOMY, idleMs: LONG_MS, lingerMs: 0 }
      const pulled = lane.pull(request)
      await vi.waitFor(async () => expect(await waiting()).toBe(1), { timeout: 60_000 })
      await own.kill()
      expect(await pulled).toEqual({ received: 0, end: 'lost' })
      expect(await lane.pull(request)).toEqual({ received: 0, end: 'lost' })
      await own.restart()
      await vi.waitFor(async () => expect(await streamInfo(link, stream)).toBeDefined(), { timeout: 60_000 })
      await publish('1', '2')
      await vi.waitFor(async () => expect(await lane.pull(request)).toMatchObject({ end: 'drained' }), {
        timeout: 60_000,
      })
      expect(bodies).toEqual(['1', '2'])
      await lane.close()
    } finally {
      await own.stop()
    }
  })

  it('closes while the broker is away', async () => {
    const own = await startTestBroker()
    try {
      const link = await own.connect()
      const { lane } = await openLane(link)
      const pulled = lane.pull({ batch: 5, maxBytes: ROOMY, idleMs: LONG_MS, lingerMs: 0 })
      await own.kill()
      await lane.close()
      expect(await pulled).toMatchObject({ received: 0 })
    } finally {
      await own.stop()
    }
  })
})
