import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { type AddressInfo, connect as connectSocket, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectNats, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { startBroker } from '../../shared/sdk/broker/server.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { fingerprintOf } from '../../shared/sdk/jetstream/client-inside.ts'
import { createOrdinaryPath, type DataPath, dataPathOf } from '../../shared/sdk/jetstream/data-path.ts'
import { createDirectPath, goDirect } from '../../shared/sdk/jetstream/direct-path.ts'
import type { Frame } from '../../shared/sdk/jetstream/frame.ts'
import { Framer } from '../../shared/sdk/jetstream/framer.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { openTcpProxy } from '../kit/tcp-proxy.ts'
import { eventually } from '../kit/wait.ts'

let broker: TestBroker
const opened: NatsConnection[] = []

beforeAll(async () => {
  broker = await startTestBroker({ config: 'max_payload: 1MB' })
})
afterEach(async () => {
  await Promise.all(opened.splice(0).map((connection) => connection.close()))
})
afterAll(() => broker?.stop())

/** A connection of the client alone. */
async function plain(servers = broker.url): Promise<NatsConnection> {
  const connection = await connectNats({ servers, reconnectTimeWait: 50, maxReconnectAttempts: -1 })
  opened.push(connection)
  return connection
}

/** One with a direct path. */
async function direct(url = broker.url): Promise<NatsConnection> {
  const connection = await plain(url)
  goDirect(connection)
  return connection
}

function isDirect(connection: NatsConnection): boolean {
  return (connection as unknown as { protocol: { parser: unknown } }).protocol.parser instanceof Framer
}

function collect(path: DataPath, subject: string): Frame[] {
  const frames: Frame[] = []
  path.subscribe(subject, { onFrame: (frame) => void frames.push(frame) })
  return frames
}

const bodies = (frames: readonly Frame[]): string[] => frames.map(({ data }) => Buffer.from(data).toString())
const body = (text: string): { readonly body: Buffer } => ({ body: Buffer.from(text) })
const headerBlock = Buffer.from('NATS/1.0\r\na: b\r\n\r\n')

describe('a connection that Pelton opens', () => {
  it('goes by the direct path, one handed in by its client, and the switch turns it off', async () => {
    const [own, off, handedIn] = [
      await broker.connect(),
      await broker.connect({ dataPath: 'client' }),
      await plain(),
    ]
    await broker.provision()
    const producers = await Promise.all([
      createProducer({ url: broker.url, source: 'test' }),
      createProducer({ url: broker.url, source: 'test', dataPath: 'client' }),
      createProducer({ connection: handedIn, source: 'test' }),
    ])
    expect([own, off].map(isDirect)).toEqual([true, false])
    expect(producers.map(({ connection }) => isDirect(connection))).toEqual([true, false, false])
    await Promise.all(producers.map((producer) => producer.close()))
    expect(dataPathOf(own)).toBe(dataPathOf(own))
  })

  it('goes by its client where that is not the one that is known, and the process says so once', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    try {
      const [one, two] = [await plain(), await plain()]
      goDirect(one, 'of another version')
      goDirect(two, 'of another version')
      expect([one, two].map(isDirect)).toEqual([false, false])
      expect(warn.mock.calls).toEqual([[expect.stringContaining('version'), { code: 'PELTON_DATA_PATH' }]])
      const frames = collect(dataPathOf(one), 'unknown.client')
      dataPathOf(one).publish('unknown.client', body('1'))
      await one.flush()
      expect(bodies(frames)).toEqual(['1'])
    } finally {
      warn.mockRestore()
    }
  })

  it('knows the client by all of its code that matters', async () => {
    const connection = await plain()
    const protocol = (connection as unknown as { protocol: { parser: object } }).protocol
    const known = fingerprintOf(connection)
    protocol.parser = new (class Parser {})()
    expect(fingerprintOf(connection)).not.toBe(known)
    expect(createDirectPath(connection)).toBeUndefined()
  })
})

describe('what is published', () => {
  it('arrives to the byte, with and without headers and reply, also where the client has to write it', async () => {
    const connection = await direct()
    const path = dataPathOf(connection)
    const frames = collect(path, 'bytes.>')
    const theClients = collect(createOrdinaryPath(connection), 'bytes.>')
    const all = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    for (const subject of ['bytes.a', 'bytes.modèle', 'bytes.{}']) {
      path.publish(subject, { body: all })
      path.publish(subject, { body: all, reply: 'a.reply' })
      path.publish(subject, { body: all, headerBlock })
      path.publish(subject, { body: new Uint8Array(), headerBlock, reply: 'une.réponse' })
      path.publish(subject, { body: new Uint8Array(), reply: '' })
    }
    await connection.flush()
    const shown = (of: readonly Frame[]): unknown[] =>
      of.map((frame) => [
        frame.subject,
        frame.reply,
        ...[frame.headerBlock, frame.data].map((part) => [...part]),
      ])
    expect(frames).toHaveLength(15)
    expect(shown(frames)).toEqual(shown(theClients))
    expect(frames[3]).toMatchObject({ subject: 'bytes.a', reply: 'une.réponse' })
    expect(connection.stats()).toMatchObject({ outMsgs: 15, inMsgs: 30, outBytes: 3 * (3 * 256 + 2 * 18) })
  })

  it('keeps its order with what the client sends', async () => {
    const connection = await direct()
    const path = dataPathOf(connection)
    const frames = collect(path, 'order')
    for (let index = 0; index < 300; index += 3) {
      path.publish('order', body(`${index}`))
      connection.publish('order', `${index + 1}`)
      path.publish('order', body(`${index + 2}`))
      if (index % 30 === 0) await Promise.resolve()
      if (index % 70 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await connection.flush()
    expect(bodies(frames)).toEqual(Array.from({ length: 300 }, (_, index) => `${index}`))
  })

  it.each(['flush', 'drain'] as const)('is covered by a %s that follows', async (covering) => {
    const [connection, other] = [await direct(), await plain()]
    const frames = collect(dataPathOf(other), 'covered')
    await other.flush()
    for (let index = 0; index < 1_000; index++) dataPathOf(connection).publish('covered', body(`${index}`))
    await connection[covering]()
    // The broker has them all: nothing of this process is needed any more.
    await other.flush()
    expect(frames).toHaveLength(1_000)
  })

  it('while it drains is covered as well, and after that refused as the client refuses it', async () => {
    const [connection, other] = [await direct(), await plain()]
    const [path, frames] = [dataPathOf(connection), collect(dataPathOf(other), 'while.draining')]
    let answered = 0
    path.subscribe('asked', { onFrame: () => path.publish('while.draining', body(`${answered++}`)) })
    for (let index = 0; index < 50; index++) path.publish('asked', body(''))
    await connection.drain()
    await other.flush()
    expect([answered, frames.length]).toEqual([50, 50])
    const refused = (publish: () => void): unknown => {
      try {
        return publish()
      } catch (thrown) {
        return (thrown as Error).name
      }
    }
    const byClient = refused(() => connection.publish('a', 'x'))
    expect(byClient).toBe('ClosedConnectionError')
    expect(refused(() => path.publish('a', body('x')))).toBe(byClient)
  })

  it('is sent before a close', async () => {
    const [connection, other] = [await direct(), await plain()]
    const frames = collect(dataPathOf(other), 'closed.behind')
    await other.flush()
    dataPathOf(connection).publish('closed.behind', body('1'))
    await connection.close()
    await eventually('what was published before the close', () => frames.length === 1)
  })

  it('is refused beyond max_payload, and for a subject that is none, as the client does', async () => {
    const connection = await direct()
    const path = dataPathOf(connection)
    const most = connection.info?.max_payload ?? 0
    const frames = collect(path, 'largest')
    const attempts = [
      ['largest', { body: Buffer.alloc(most + 1) }],
      ['largest', { body: Buffer.alloc(most - headerBlock.length + 1), headerBlock }],
      ['two words', body('')],
      ['', body('')],
      ['a', { ...body(''), reply: 'two words' }],
    ] as const
    for (const [subject, sent] of attempts) {
      const thrownBy = (by: DataPath): unknown => {
        try {
          return by.publish(subject, sent)
        } catch (thrown) {
          return String(thrown)
        }
      }
      expect(thrownBy(path)).toEqual(expect.any(String))
      expect(thrownBy(path)).toBe(thrownBy(createOrdinaryPath(connection)))
    }
    path.publish('largest', { body: Buffer.alloc(most - headerBlock.length, 'x'), headerBlock })
    await connection.flush()
    expect(frames.map(({ data, headerBlock: block }) => data.length + block.length)).toEqual([most])
  })

  it('waits in bounds for a socket that does not drain, and all of it arrives once it does', async () => {
    const proxy = await openTcpProxy(broker.port)
    const [connection, other] = [await direct(`127.0.0.1:${proxy.port}`), await plain()]
    try {
      await requestApi(other, 'STREAM.CREATE.STALLED', { name: 'STALLED', subjects: ['stalled.>'] })
      const window = new PublishWindow(connection, { maxInFlight: 16, timeoutMs: 60_000 })
      await connection.flush()
      proxy.cut('to-target')
      const replies = Array.from({ length: 200 }, (_, index) =>
        window.publish({
          subject: `stalled.${index}`,
          headers: [],
          body: Buffer.alloc(500_000, index % 256),
        }),
      )
      const { socket } = (connection as unknown as { protocol: { transport: { socket: Socket } } }).protocol
        .transport
      await eventually('the window to be full', () => window.pending === 200)
      await new Promise((resolve) => setTimeout(resolve, 500))
      expect(socket.writableLength).toBeLessThan(17 * 500_000)
      proxy.heal()
      expect((await Promise.all(replies)).filter(({ kind }) => kind !== 'stored')).toEqual([])
      expect((await streamInfo(other, 'STALLED'))?.state.messages).toBe(200)
      window.close()
    } finally {
      await requestApi(other, 'STREAM.DELETE.STALLED', {})
      await connection.close()
      await proxy.close()
    }
  })
})

describe('what arrives', () => {
  it('is exact: 10 000 messages, small ones and of 100 KB, both ways at once', async () => {
    const [sender, receiver] = [await direct(), await direct()]
    const sent = (index: number): Buffer => {
      const length = index % 4 === 0 ? 100_000 + index : index % 200
      return Buffer.alloc(length, createHash('sha256').update(`${index}`).digest())
    }
    const wrong: number[] = []
    let next = 0
    dataPathOf(receiver).subscribe('exact.*', {
      onFrame: ({ subject, reply, data, headerBlock: block }) => {
        const isAsSent = subject === `exact.${next}` && sent(next).equals(data) && headerBlock.equals(block)
        if (!isAsSent) wrong.push(next)
        next++
        dataPathOf(receiver).publish(reply, { body: data.subarray(0, 8) })
      },
    })
    await receiver.flush()
    let answers = 0
    dataPathOf(sender).subscribe('answers.*', {
      onFrame: ({ subject, data }) => {
        if (subject !== `answers.${answers}` || !sent(answers).subarray(0, 8).equals(data))
          wrong.push(answers)
        answers++
        if (published < 10_000) publish()
      },
    })
    let published = 0
    const publish = (): void => {
      const index = published++
      dataPathOf(sender).publish(`exact.${index}`, {
        body: sent(index),
        headerBlock,
        reply: `answers.${index}`,
      })
    }
    for (let index = 0; index < 100; index++) publish()
    await eventually('all answers', () => answers === 10_000, { seen: () => ({ next, answers, wrong }) })
    expect([next, wrong]).toEqual([10_000, []])
  })

  it('stops with an unsubscribe, and a drain hears the last of it', async () => {
    const connection = await direct()
    const path = dataPathOf(connection)
    const heard: string[] = []
    const first = path.subscribe('ending', { onFrame: () => void heard.push('first') })
    const second = path.subscribe('ending', {
      onFrame: () => {
        heard.push('second')
        first.unsubscribe()
      },
    })
    first.unsubscribe()
    for (let index = 0; index < 3; index++) path.publish('ending', body(''))
    await second.drain()
    expect(heard).toEqual(['second', 'second', 'second'])
    expect([first.isClosed, second.isClosed]).toEqual([true, true])
  })

  it('is told apart from a subscription that is refused', async () => {
    const users = '{ user: u, password: p, permissions: { subscribe: { deny: "secret" } } }'
    const strict = await startBroker({
      config: `accounts { app { jetstream: enabled, users: [ ${users} ] } }`,
    })
    try {
      const connection = await connectNats({ servers: strict.url, user: 'u', pass: 'p' })
      goDirect(connection)
      const refusals: string[] = []
      const subscription = dataPathOf(connection).subscribe('secret', {
        onFrame: () => undefined,
        onRefused: ({ message }) => void refusals.push(message),
      })
      const others = collect(dataPathOf(connection), 'open')
      dataPathOf(connection).publish('open', body('1'))
      await connection.flush()
      expect(refusals).toEqual([expect.stringMatching(/permissions violation/i)])
      expect(subscription.isClosed).toBe(true)
      expect(bodies(others)).toEqual(['1'])
      await connection.close()
    } finally {
      await strict.stop()
    }
  })
})

describe('a reconnect', () => {
  it('in the middle of a message forgets its half, and the path goes on; a plain connection is left alone', async () => {
    const relay = await openRelay(broker.port)
    const connection = await direct(`127.0.0.1:${relay.port}`)
    const frames = collect(dataPathOf(connection), 'halves')
    const other = await plain()
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
    const [connection, other] = [await direct(`127.0.0.1:${proxy.port}`), await plain()]
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

  it('sends nothing of what was published while it was away before the last dial', async () => {
    const own = await startBroker()
    const [connection, path] = await (async () => {
      const opening = await direct(own.url)
      return [opening, dataPathOf(opening)] as const
    })()
    const frames = collect(path, 'away')
    await connection.flush()
    await own.kill()
    await eventually('the client to know', () => isAway(connection))
    path.publish('away', body('lost'))
    await new Promise((resolve) => setImmediate(resolve))
    await eventually('a dial in vain', () => dials(connection) > 1)
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
      const config = `tls { ${tls}${when === 'first' ? ', handshake_first: auto' : ''} }`
      const secure = await startBroker({ config })
      try {
        const connection = await connectNats({
          servers: `localhost:${secure.port}`,
          tls: { ca: await readFile(join(folder, 'cert.pem'), 'utf8'), handshakeFirst: when === 'first' },
          ...{ reconnectTimeWait: 50, maxReconnectAttempts: -1 },
        })
        goDirect(connection)
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
          () => !isAway(connection) && connection.info !== undefined,
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

interface Insides {
  readonly protocol: {
    readonly connected: boolean
    readonly servers: { getCurrentServer(): { reconnects: number } }
  }
}

function isAway(connection: NatsConnection): boolean {
  return !(connection as unknown as Insides).protocol.connected
}

function dials(connection: NatsConnection): number {
  return (connection as unknown as Insides).protocol.servers.getCurrentServer().reconnects
}

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
