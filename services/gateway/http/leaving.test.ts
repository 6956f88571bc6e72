import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { type FastifyInstance, type FastifyReply, fastify } from 'fastify'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../../../test/kit/wait.ts'
import type { CallerSignal } from '../core/request.ts'
import { leavingSignal } from './leaving.ts'

let app: FastifyInstance
let clients: Socket[]
let signals: CallerSignal[]
let held: FastifyReply[]
let sockets: Set<Socket>

beforeEach(async () => {
  app = fastify({ forceCloseConnections: true })
  clients = []
  signals = []
  held = []
  sockets = new Set()
  app.get('/now', (request, reply) => {
    signals.push(leavingSignal(request, reply))
    sockets.add(request.raw.socket)
    return reply.send('now')
  })
  app.get('/held', async (request, reply) => {
    signals.push(leavingSignal(request, reply))
    held.push(reply)
    return reply.hijack()
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
})

afterEach(async () => {
  for (const client of clients) client.destroy()
  await app.close()
})

async function open(): Promise<Socket> {
  const { port } = app.server.address() as AddressInfo
  const client = connect(port, '127.0.0.1')
  clients.push(client)
  await once(client, 'connect')
  client.on('error', () => undefined)
  return client
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
const arrived = (count: number): Promise<true> =>
  eventually(`${count} requests`, () => signals.length === count)

describe('leavingSignal', () => {
  test('is aborted when the client leaves before its answer', async () => {
    const client = await open()
    client.write(get('/held'))
    await arrived(1)
    expect(signals[0]?.aborted).toBe(false)
    client.destroy()
    await eventually('the signal', () => signals[0]?.aborted)
  })

  test('is aborted for every request of the connection, also those whose answers wait for another', async () => {
    const client = await open()
    client.write(get('/held').repeat(20))
    await arrived(20)
    client.destroy()
    await eventually('all signals', () => signals.every(({ aborted }) => aborted))
  })

  test('is not aborted by what comes after the answer', async () => {
    const client = await open()
    client.write(get('/now'))
    await once(client, 'data')
    client.destroy()
    const [socket] = sockets
    await eventually('the server to see it', () => socket?.closed)
    expect(signals[0]?.aborted).toBe(false)
  })

  test('leaves nothing behind on a connection that lives on', async () => {
    const client = await open()
    for (let index = 0; index < 50; index++) {
      client.write(get('/now'))
      await once(client, 'data')
    }
    const [socket] = sockets
    expect(sockets.size).toBe(1)
    const before = socket?.listenerCount('close')
    client.write(get('/now'))
    await once(client, 'data')
    expect(socket?.listenerCount('close')).toBe(before)
    client.write(get('/held'))
    await arrived(52)
    client.destroy()
    await eventually('the last signal', () => signals[51]?.aborted)
    expect(signals.filter(({ aborted }) => aborted)).toHaveLength(1)
  })

  test('is aborted from the first where the client is gone already', async () => {
    const late = fastify({ forceCloseConnections: true })
    late.addHook('onRequest', async (request) => {
      if (!request.raw.socket.destroyed) await once(request.raw.socket, 'close')
    })
    late.get('/', async (request, reply) => {
      signals.push(leavingSignal(request, reply))
      return reply.hijack()
    })
    await late.listen({ host: '127.0.0.1', port: 0 })
    try {
      const other = connect((late.server.address() as AddressInfo).port, '127.0.0.1')
      clients.push(other)
      await once(other, 'connect')
      const seen = once(late.server, 'request')
      other.write(get('/'))
      await seen
      other.destroy()
      await arrived(1)
      expect(signals[0]?.aborted).toBe(true)
    } finally {
      await late.close()
    }
  })
})
