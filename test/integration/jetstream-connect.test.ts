import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectNats, headers as createHeaders, type Msg } from '@nats-io/transport-node'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { startBroker } from '../../shared/sdk/broker/server.ts'
import {
  decodeAttribute,
  encodeAttribute,
  encodeHeaderBlock,
  type HeaderEntry,
  sanitizeHeaderValue,
} from '../../shared/sdk/contract/headers.ts'
import type { PeltonError } from '../../shared/sdk/errors.ts'
import { lastOfSubject, requestApi } from '../../shared/sdk/jetstream/api.ts'
import { createBrokerClock } from '../../shared/sdk/jetstream/broker-clock.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import { frameOf, readFrameHeaders } from '../../shared/sdk/jetstream/frame.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { parseHeaderBlock } from '../../shared/sdk/jetstream/stored-message.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'

let broker: TestBroker

beforeAll(async () => {
  broker = await startTestBroker()
})
afterAll(() => broker?.stop())

/** A port nobody listens on. */
async function closedPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

describe('connectBroker', () => {
  it('says that nobody answers, where, and hides the password', async () => {
    const url = `nats://me:hunter2@127.0.0.1:${await closedPort()}`
    const refused = connectBroker({ url, name: 'test', timeoutMs: 2_000 })
    await expect(refused).rejects.toMatchObject({
      code: 'broker-unavailable',
      details: { field: 'PELTON_NATS_URL', value: expect.stringContaining('//***@127.0.0.1') },
    })
    await expect(refused).rejects.not.toThrow('hunter2')
  })

  it('says that JetStream is off', async () => {
    const config = 'accounts { plain { users: [{ user: a, password: b }] } }'
    const plain = await startBroker({ config })
    try {
      await expect(
        connectBroker({ url: plain.url, name: 'test', user: 'a', password: 'b' }),
      ).rejects.toMatchObject({
        code: 'broker-unavailable',
        details: { remedy: expect.stringContaining('JetStream') },
      })
    } finally {
      await plain.stop()
    }
  })

  it('hands over user and password, and says which may be wrong', async () => {
    const closed = await startBroker({
      config: 'accounts { app { jetstream: enabled, users: [{ user: app, password: right }] } }',
    })
    try {
      const right = await connectBroker({ url: closed.url, name: 'test', user: 'app', password: 'right' })
      await right.close()
      await expect(
        connectBroker({ url: closed.url, name: 'test', user: 'app', password: 'wrong' }),
      ).rejects.toMatchObject({
        code: 'broker-unavailable',
        details: { remedy: 'Check PELTON_NATS_USER and PELTON_NATS_PASSWORD.' },
      })
    } finally {
      await closed.stop()
    }
  })

  it('takes the first of several addresses that answers', async () => {
    const url = `nats://127.0.0.1:${await closedPort()}, ${broker.url}`
    const connection = await broker.connect({ url })
    expect(connection.isClosed()).toBe(false)
  })

  it('refuses a server that is older than Pelton needs', async () => {
    const old = await startOldServer('2.10.27')
    try {
      await expect(connectBroker({ url: old.url, name: 'test' })).rejects.toMatchObject({
        code: 'broker-too-old',
        message: expect.stringContaining('2.10.27'),
        details: { field: 'PELTON_NATS_URL', remedy: expect.stringContaining('embedded') },
      })
      await expect(createProducer({ url: old.url, source: 'test' })).rejects.toMatchObject({
        code: 'broker-too-old',
        message: expect.not.stringContaining('PELTON_'),
        details: { field: 'url' },
      })
    } finally {
      await old.close()
    }
  })
})

/** As much of the NATS protocol as it takes to say which version answers. */
async function startOldServer(version: string): Promise<{ readonly url: string; close(): Promise<void> }> {
  const info = { server_id: 'old', version, proto: 1, headers: true, max_payload: 1_048_576, jetstream: true }
  const server = createServer((socket) => {
    socket.on('error', () => {}).on('data', (data) => data.includes('PING') && socket.write('PONG\r\n'))
    socket.write(`INFO ${JSON.stringify(info)}\r\n`)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `nats://127.0.0.1:${address.port}`,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

describe('createBrokerClock', () => {
  it('tells the time of the broker, learns it again, and passes on what it was told', async () => {
    const connection = await broker.connect()
    await requestApi(connection, 'STREAM.CREATE.CLOCK', { name: 'CLOCK', subjects: ['clock'] })
    const infos: number[] = []
    const clock = await createBrokerClock(connection, 'CLOCK', {
      intervalMs: 20,
      onInfo: ({ ts }) => infos.push(Date.parse(ts)),
    })
    try {
      expect(infos).toHaveLength(1)
      // The broker runs on this machine: both clocks are one.
      expect(Math.abs(clock.skewMs)).toBeLessThan(5_000)
      expect(clock.now()).toBeGreaterThanOrEqual((infos[0] ?? Number.POSITIVE_INFINITY) - 1)
      await vi.waitFor(() => expect(infos.length).toBeGreaterThan(3), { timeout: 60_000 })
    } finally {
      clock.close()
    }
  })

  it('goes by the broker, not by the clock of this machine', async () => {
    const connection = await broker.connect()
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 })
    const clock = await createBrokerClock(connection, 'CLOCK')
    try {
      expect(clock.skewMs).toBeGreaterThan(3_590_000)
      expect(Date.now() - clock.now()).toBeGreaterThan(3_590_000)
    } finally {
      clock.close()
      vi.useRealTimers()
    }
  })

  it('keeps its time while the broker is away', async () => {
    const own = await startTestBroker()
    try {
      const connection = await own.connect()
      await requestApi(connection, 'STREAM.CREATE.CLOCK', { name: 'CLOCK', subjects: ['clock'] })
      let learnt = 0
      const clock = await createBrokerClock(connection, 'CLOCK', { intervalMs: 20, onInfo: () => learnt++ })
      await own.kill()
      const before = clock.now()
      expect(clock.now()).toBeGreaterThanOrEqual(before)
      await own.restart()
      const known = learnt
      await vi.waitFor(() => expect(learnt).toBeGreaterThan(known), { timeout: 60_000 })
      clock.close()
    } finally {
      await own.stop()
    }
  })
})

describe('what is in the way of a connection', () => {
  const refused = (url: string, options: object = {}): Promise<PeltonError> =>
    connectBroker({ url, name: 'test', timeoutMs: 5_000, ...options }).then(
      () => expect.fail('it connected'),
      (thrown: PeltonError) => thrown,
    )

  it('is named, with what helps: credentials', async () => {
    const guarded = await startTestBroker({ config: 'authorization { user: a, password: right }' })
    try {
      const error = await refused(guarded.url, { user: 'a', password: 'wrong' })
      expect(error.description).toMatch(/no connection to the broker: .*authorization violation/i)
      expect(error.details.remedy).toContain('PELTON_NATS_USER')
      expect(error.description).not.toContain('wrong')
    } finally {
      await guarded.stop()
    }
  })

  it('is named, with what helps: an address', async () => {
    const error = await refused('nats://127.0.0.1:1')
    expect(error).toMatchObject({ code: 'broker-unavailable', details: { field: 'PELTON_NATS_URL' } })
    expect(error.description).toMatch(/ECONNREFUSED.*Check the address, and that the broker runs/)
  })

  it.skipIf(spawnSync('openssl', ['version']).status !== 0)(
    'is named, with what helps: a certificate',
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'pelton-tls-'))
      const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
      const subject = ['-subj', '/CN=localhost', '-days', '2', '-addext', 'subjectAltName=DNS:localhost']
      execFileSync(
        'openssl',
        ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, ...subject],
        { stdio: 'ignore' },
      )
      const secure = await startTestBroker({ config: `tls { cert_file: "${cert}", key_file: "${key}" }` })
      try {
        const error = await refused(`tls://localhost:${secure.port}`)
        expect(error.description).toMatch(
          /no connection to the broker: .*authority that is not known.*self-signed/i,
        )
        expect(error.details.remedy).toContain('PELTON_NATS_TLS_CA')
      } finally {
        await secure.stop()
        await rm(folder, { recursive: true })
      }
    },
  )
})

describe('a header block', () => {
  it('is read the same by the client, by the stream, and by us', async () => {
    const connection = await broker.connect()
    await requestApi(connection, 'STREAM.CREATE.HEADERS', { name: 'HEADERS', subjects: ['headers'] })
    const window = new PublishWindow(connection)
    const arrived: Msg[] = []
    connection.subscribe('headers', { callback: (_error, message) => void arrived.push(message) })
    const name = fc.stringMatching(/^x-[!-9;-~]{1,12}$/)
    const value = fc.oneof(
      fc.string({ unit: 'binary' }).map((text) => sanitizeHeaderValue(text)),
      fc.string({ unit: 'binary' }).map(encodeAttribute),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(name, value), { maxLength: 12 }), async (entries: HeaderEntry[]) => {
        arrived.length = 0
        const expected = parseHeaderBlock(encodeHeaderBlock(entries))
        const reply = await window.publish({
          subject: 'headers',
          headers: entries,
          body: Buffer.from('body'),
        })
        expect(reply).toMatchObject({ kind: 'stored' })
        const stored = await lastOfSubject(connection, 'HEADERS', 'headers')
        expect(parseHeaderBlock(stored?.headerBlock ?? new Uint8Array())).toEqual(expected)
        await connection.flush()
        expect(arrived).toHaveLength(1)
        expect(readFrameHeaders(frameOf(arrived[0] as Msg))).toEqual(expected)
        for (const [key] of entries) {
          const first = entries.find(([other]) => other === key)?.[1]
          expect(arrived[0]?.headers?.values(key)[0] ?? '').toBe(first)
        }
      }),
      { numRuns: 200 },
    )
    window.close()
  })

  it('carries any attribute there and back', async () => {
    const connection = await connectNats({ servers: broker.url })
    const heard = connection.subscribe('attributes')[Symbol.asyncIterator]()
    const texts = fc.sample(fc.string({ unit: 'binary' }), { numRuns: 100, seed: 7 })
    for (const text of texts) {
      const block = createHeaders()
      block.append('ce-id', encodeAttribute(text))
      connection.publish('attributes', '', { headers: block })
    }
    for (const text of texts) {
      const next = await heard.next()
      const headers = readFrameHeaders(frameOf(next.value as Msg))
      expect(decodeAttribute(headers.get('ce-id') ?? '')).toBe(text.toWellFormed())
    }
    await connection.close()
  })
})
