import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { type AddressInfo, connect as connectSocket, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startBroker } from '../../shared/sdk/broker/server.ts'
import { createOrdinaryPath, dataPathOf, type Sent } from '../../shared/sdk/jetstream/data-path.ts'
import type { Frame } from '../../shared/sdk/jetstream/frame.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { PullLane } from '../../shared/sdk/jetstream/pull-lane.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { openTcpProxy } from '../kit/tcp-proxy.ts'
import { eventually } from '../kit/wait.ts'
import {
  bodies,
  body,
  closeOpened,
  collect,
  direct,
  headerBlock,
  insideOf,
  isDirect,
  plain,
} from './data-path-connections.ts'

let broker: TestBroker

beforeAll(async () => {
  broker = await startTestBroker()
})
afterEach(closeOpened)
afterAll(() => broker?.stop())

describe('a reconnect', () => {
  it('in the middle of a message forgets its half, and the path goes on; a plain connection is left alone', async () => {
    const relay = await openRelay(broker.port)
    const connection = await direct(`127.0.0.1:${relay.port}`)
    const frames = collect(dataPathOf(connection), 'halves')
    const other = await plain(broker.url)
    await connection.flush()
    for (let round = 0; round < 20; round++) {
      frames.length = 0
      // Somewhere in the control line, the headers, the body, or the line end of the second message.
      const message = Buffer.concat([
        Buffer.from('x'.repeat(round % 2 === 0 ? 40 : 200_000)),
        Buffer.from('end'),
      ])
      const first = 'HMSG halves 1 18 21\r\n'.length + 21 + 2
      relay.resetAfter(first + [3, 21, 30, 45, 90, message.length + 40][round % 6]!)
      createOrdinaryPath(other).publish('halves', { body: Buffer.from('one'), headerBlock })
      createOrdinaryPath(other).publish('halves', { body: message, headerBlock })
      await eventually('the connection to be back', () => relay.connections === round + 2)
      await eventually('the path to go on', async () => {
        dataPathOf(connection).publish('halves', body('after'))
        await connection.flush().catch(() => undefined)
        return bodies(frames).includes('after')
      })
      const whole = bodies(frames).filter((text) => text !== 'after')
      expect([[], ['one'], ['one', message.toString()]]).toContainEqual(whole)
    }
    expect([connection, other].map(isDirect)).toEqual([true, false])
    const theOthers = collect(dataPathOf(other), 'of.another')
    other.publish('of.another', 'x')
    await other.flush()
    expect(bodies(theOthers)).toEqual(['x'])
    await connection.close()
    await relay.close()
  })

  it('leaves what was waiting unknown; an answer to it that comes later is nobody’s', async () => {
    const proxy = await openTcpProxy(broker.port)
    const [connection, other] = [await direct(`127.0.0.1:${proxy.port}`), await plain(broker.url)]
    const asked: string[] = []
    createOrdinaryPath(other).subscribe('late.*', { onFrame: ({ reply }) => void asked.push(reply) })
    await other.flush()
    const window = new PublishWindow(connection, { timeoutMs: 60_000 })
    const before = window.publish({ subject: 'late.1', headers: [], body: Buffer.from('') })
    await eventually('the first to be asked', () => asked.length === 1)
    proxy.reset()
    expect(await before).toMatchObject({ kind: 'unknown' })
    other.publish(asked[0] ?? '', '{"stream":"S","seq":1}')
    const after = window.publish({ subject: 'late.2', headers: [], body: Buffer.from('') })
    await eventually('the second to be asked', () => asked.length === 2)
    other.publish(asked[1] ?? '', '{"stream":"S","seq":2}')
    expect(await after).toEqual({ kind: 'stored', sequence: 2, duplicate: false })
    expect(isDirect(connection)).toBe(true)
    window.close()
    await connection.close()
    await proxy.close()
  })

  it('ends a pull; what the broker says of the old one later ends no other', async () => {
    const proxy = await openTcpProxy(broker.port)
    const [connection, other] = [await direct(`127.0.0.1:${proxy.port}`), await plain(broker.url)]
    const consumer = createOrdinaryPath(other)
    const asked: string[] = []
    consumer.subscribe('$JS.API.CONSUMER.MSG.NEXT.S.C', { onFrame: ({ reply }) => void asked.push(reply) })
    await other.flush()
    const frames: Frame[] = []
    const lane = new PullLane(connection, { stream: 'S', consumer: 'C' }, (frame) => void frames.push(frame))
    const wanted = { batch: 10, maxBytes: 1_000_000, idleMs: 60_000, lingerMs: 0 }
    const before = lane.pull(wanted)
    await eventually('the first pull', () => asked.length === 1)
    proxy.reset()
    expect(await before).toEqual({ received: 0, end: 'lost' })
    const after = lane.pull(wanted)
    const [old = '', open = ''] = await eventually('the second pull', () => asked.length === 2 && asked)
    const status = (text: string): Sent => ({
      ...body(''),
      headerBlock: Buffer.from(`NATS/1.0 ${text}\r\n\r\n`),
    })
    consumer.publish(old, status('408 Request Timeout'))
    consumer.publish(open, { ...body('event'), reply: 'its.acknowledgement' })
    consumer.publish(open, status('404 No Messages'))
    expect(await after).toEqual({ received: 1, end: 'drained' })
    expect(bodies(frames)).toEqual(['event'])
    await lane.close()
    await connection.close()
    await proxy.close()
  })

  it('sends nothing of what was published while it was away before the last dial', async () => {
    const own = await startBroker()
    const [connection, path] = await (async () => {
      const opening = await direct(own.url)
      return [opening, dataPathOf(opening)] as const
    })()
    const frames = collect(path, 'away')
    await connection.flush()
    await own.kill()
    await eventually('the client to know', () => !insideOf(connection).connected)
    path.publish('away', body('lost'))
    await new Promise((resolve) => setImmediate(resolve))
    await eventually('a dial in vain', () => insideOf(connection).servers.getCurrentServer().reconnects > 1)
    await own.restart()
    await eventually('the path to go on', async () => {
      path.publish('away', body('after'))
      await connection.flush().catch(() => undefined)
      return bodies(frames).includes('after')
    })
    expect(bodies(frames)).not.toContain('lost')
    await connection.close()
    await own.stop()
  })
})

describe.skipIf(spawnSync('openssl', ['version']).status !== 0)('TLS', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pelton-path-'))
    const files = ['-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')]
    const subject = ['-subj', '/CN=localhost', '-days', '2', '-addext', 'subjectAltName=DNS:localhost']
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...files, ...subject], {
      stdio: 'ignore',
    })
  })
  afterAll(() => rm(folder, { recursive: true }))

  it.each(['first', 'later'])(
    '%s: the path carries large and small, through a restart of the broker',
    async (when) => {
      const tls = `cert_file: "${join(folder, 'cert.pem')}", key_file: "${join(folder, 'key.pem')}"`
      // The server waits so long for the client's first word: a busy client would be late for the 50 ms of `auto`.
      const config = `tls { ${tls}${when === 'first' ? ', handshake_first: "5s"' : ''} }`
      const secure = await startBroker({ config })
      try {
        const connection = await direct(`localhost:${secure.port}`, {
          tls: { ca: await readFile(join(folder, 'cert.pem'), 'utf8'), handshakeFirst: when === 'first' },
        })
        const path = dataPathOf(connection)
        const frames = collect(path, 'secure')
        const publish = (): void => {
          for (let index = 0; index < 200; index++)
            path.publish('secure', {
              body: Buffer.alloc(index % 10 === 0 ? 200_000 : index, index),
              headerBlock,
            })
        }
        const isExact = (): boolean =>
          frames.every(({ data }, index) => data.every((byte) => byte === index % 200))
        publish()
        await connection.flush()
        expect([frames.length, isExact()]).toEqual([200, true])
        await secure.restart()
        frames.length = 0
        await eventually(
          'the connection to be back',
          () => insideOf(connection).connected && connection.info !== undefined,
        )
        await eventually('a flush', () =>
          connection.flush().then(
            () => true,
            () => false,
          ),
        )
        publish()
        await connection.flush()
        expect([frames.length, isExact(), isDirect(connection)]).toEqual([200, true, true])
        await connection.close()
      } finally {
        await secure.stop()
      }
    },
  )
})

/** A wire whose end is a reset after exactly so many bytes from the server. */
async function openRelay(targetPort: number) {
  let left = Number.POSITIVE_INFINITY
  let connections = 0
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (client) => {
    connections++
    const target = connectSocket({ port: targetPort, host: '127.0.0.1', noDelay: true })
    for (const [one, two] of [
      [client, target],
      [target, client],
    ] as const) {
      sockets.add(one)
      one.on('error', () => two.destroy())
      one.on('close', () => {
        sockets.delete(one)
        two.destroy()
      })
    }
    client.on('data', (bytes) => target.write(bytes))
    target.on('data', (bytes) => {
      const passed = bytes.subarray(0, Math.min(left, bytes.length))
      left -= passed.length
      if (left > 0) client.write(passed)
      else {
        left = Number.POSITIVE_INFINITY
        client.end(passed, () => target.destroy())
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return connections
    },
    resetAfter: (bytes: number) => {
      left = bytes
    },
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
