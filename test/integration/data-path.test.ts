import { createHash } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { startBroker } from '../../shared/sdk/broker/server.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { fingerprintOf } from '../../shared/sdk/jetstream/client-inside.ts'
import { createOrdinaryPath, dataPathOf } from '../../shared/sdk/jetstream/data-path.ts'
import { createDirectPath, goDirect } from '../../shared/sdk/jetstream/direct-path.ts'
import type { Frame } from '../../shared/sdk/jetstream/frame.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
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
  thrownBy,
} from './data-path-connections.ts'

let broker: TestBroker

beforeAll(async () => {
  broker = await startTestBroker({ config: 'max_payload: 1MB' })
})
afterEach(closeOpened)
afterAll(() => broker?.stop())

describe('a connection that Pelton opens', () => {
  it('goes by the direct path, one handed in by its client, and the switch turns it off', async () => {
    const [own, off, handedIn] = [
      await broker.connect(),
      await broker.connect({ dataPath: 'client' }),
      await plain(broker.url),
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
      const [one, two] = [await plain(broker.url), await plain(broker.url)]
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
    const connection = await plain(broker.url)
    const protocol = insideOf(connection) as { parser: unknown }
    const known = fingerprintOf(connection)
    protocol.parser = new (class Parser {})()
    expect(fingerprintOf(connection)).not.toBe(known)
    expect(createDirectPath(connection)).toBeUndefined()
  })
})

describe('what is published', () => {
  it('arrives to the byte, with and without headers and reply, also where the client has to write it', async () => {
    const connection = await direct(broker.url)
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
    const connection = await direct(broker.url)
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
    const [connection, other] = [await direct(broker.url), await plain(broker.url)]
    const frames = collect(dataPathOf(other), 'covered')
    await other.flush()
    for (let index = 0; index < 1_000; index++) dataPathOf(connection).publish('covered', body(`${index}`))
    await connection[covering]()
    // The broker has them all: nothing of this process is needed any more.
    await other.flush()
    expect(frames).toHaveLength(1_000)
  })

  it('while it drains is covered as well, and after that refused as the client refuses it', async () => {
    const [connection, other] = [await direct(broker.url), await plain(broker.url)]
    const [path, frames] = [dataPathOf(connection), collect(dataPathOf(other), 'while.draining')]
    await other.flush()
    let answered = 0
    path.subscribe('asked', { onFrame: () => path.publish('while.draining', body(`${answered++}`)) })
    for (let index = 0; index < 50; index++) path.publish('asked', body(''))
    await connection.drain()
    await other.flush()
    expect([answered, frames.length]).toEqual([50, 50])
    const refused = (publish: () => void): unknown => thrownBy(publish)?.name
    const byClient = refused(() => connection.publish('a', 'x'))
    expect(byClient).toBe('ClosedConnectionError')
    expect(refused(() => path.publish('a', body('x')))).toBe(byClient)
  })

  it('is sent before a close', async () => {
    const [connection, other] = [await direct(broker.url), await plain(broker.url)]
    const frames = collect(dataPathOf(other), 'closed.behind')
    await other.flush()
    dataPathOf(connection).publish('closed.behind', body('1'))
    await connection.close()
    await eventually('what was published before the close', () => frames.length === 1)
  })

  it('is refused beyond max_payload, and for a subject that is none, as the client does', async () => {
    const connection = await direct(broker.url)
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
      const refusal = thrownBy(() => path.publish(subject, sent))
      expect(refusal).toBeInstanceOf(Error)
      expect(refusal).toEqual(thrownBy(() => createOrdinaryPath(connection).publish(subject, sent)))
    }
    path.publish('largest', { body: Buffer.alloc(most - headerBlock.length, 'x'), headerBlock })
    await connection.flush()
    expect(frames.map(({ data, headerBlock: block }) => data.length + block.length)).toEqual([most])
  })

  it('waits in bounds for a socket that does not drain, and all of it arrives once it does', async () => {
    const proxy = await openTcpProxy(broker.port)
    const [connection, other] = [await direct(`127.0.0.1:${proxy.port}`), await plain(broker.url)]
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
      const { socket } = insideOf(connection).transport
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
    const [sender, receiver] = [await direct(broker.url), await direct(broker.url)]
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
    const connection = await direct(broker.url)
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
      const connection = await direct(strict.url, { user: 'u', pass: 'p' })
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
