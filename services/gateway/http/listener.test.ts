import { Agent, get, request as send } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync, gzipSync } from 'node:zlib'
import { pino } from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import { eventually } from '../../../test/kit/wait.ts'
import { Refusal } from '../core/refusal.ts'
import { addRequestGate, type GatewayListener, type ListenerOptions, openListener } from './listener.ts'

const log = pino({ level: 'silent' })
const opened: GatewayListener[] = []
const agents: Agent[] = []

/** A listener whose routes echo what reached them. */
async function open(options: Partial<ListenerOptions> = {}, add?: (listener: GatewayListener) => void) {
  const listener = openListener({ host: '127.0.0.1', port: 0, log, ...options })
  opened.push(listener)
  listener.app.post('/v2/echo', ({ body, headers }, reply) =>
    reply.type(headers['content-type'] ?? 'application/octet-stream').send(body as Buffer),
  )
  listener.app.get('/v2/large', () => ({ text: 'a'.repeat(5_000) }))
  listener.app.get('/livez', () => ({}))
  add?.(listener)
  const address = await listener.listen()
  return { listener, address, port: Number(new URL(address).port) }
}

/** All that comes back over a socket until the other side ends it. */
function raw(port: number, text: string | Buffer): Promise<string> {
  return new Promise((resolve) => {
    let came = ''
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    socket.on('data', (piece) => {
      came += piece
    })
    socket.on('error', (error) => resolve(`${came}${String(error)}`)).on('close', () => resolve(came))
  })
}

afterEach(async () => {
  for (const agent of agents.splice(0)) agent.destroy()
  await Promise.all(opened.splice(0).map((each) => each.close()))
})

describe('bodies', () => {
  test.each([
    ['application/json'],
    ['text/plain'],
    ['application/octet-stream; charset=none'],
    ['application/x-www-form-urlencoded'],
    ['json'],
    [undefined],
  ])('reach routes as bytes whatever their type is: %s', async (type) => {
    const { address } = await open()
    const body = Buffer.from([0, 255, 1, 254])
    const headers = { ...(type !== undefined && { 'content-type': type }) }
    const answer = await fetch(`${address}/v2/echo`, { method: 'POST', body, headers })
    expect([answer.status, Buffer.from(await answer.arrayBuffer())]).toEqual([200, body])
  })

  test('in many pieces are whole', async () => {
    const { address } = await open()
    const pieces = Array.from({ length: 300 }, (_, index) => Buffer.alloc(index, index))
    const stream = new ReadableStream({
      start(controller) {
        for (const piece of pieces.slice(1)) controller.enqueue(piece)
        controller.close()
      },
    })
    const given = { method: 'POST', body: stream, duplex: 'half' } as RequestInit
    const answer = await fetch(`${address}/v2/echo`, given)
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(Buffer.concat(pieces))
  })

  test('compressed reach routes decompressed; large answers are compressed for who likes that', async () => {
    const { port, listener } = await open()
    const body = Buffer.from('b'.repeat(4_000))
    const packed = gzipSync(body)
    const answer = await raw(
      port,
      Buffer.concat([
        Buffer.from(
          `POST /v2/echo HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Type: text/plain\r\nAccept-Encoding: gzip\r\nConnection: close\r\nContent-Length: ${packed.length}\r\n\r\n`,
        ),
        packed,
      ]),
    )
    expect(answer).toMatch(/content-encoding: gzip/i)
    expect(answer).toMatch(/vary: Accept-Encoding/i)
    expect(listener.heldBytes).toBe(0)
    const injected = await listener.app.inject({ url: '/v2/large', headers: { 'accept-encoding': 'gzip' } })
    expect(gunzipSync(injected.rawPayload).toString()).toBe(JSON.stringify({ text: 'a'.repeat(5_000) }))
  })

  test.each([
    ['length', `Content-Length: 101\r\n\r\n`],
    ['chunks', `Transfer-Encoding: chunked\r\n\r\n65\r\n${'x'.repeat(101)}\r\n0\r\n\r\n`],
    ['compressed length', `Content-Encoding: gzip\r\nContent-Length: 51\r\n\r\n`],
  ])('larger than they may be are refused, and end the connection: %s', async (_name, rest) => {
    const { port } = await open({ limits: { bodyBytes: 100, compressedBytes: 50 } })
    const answer = await raw(port, `POST /v2/echo HTTP/1.1\r\nHost: localhost\r\n${rest}`)
    expect(answer).toMatch(/^HTTP\/1\.1 413 .*connection: close.*"code":"too-large"/is)
  })

  test('in too many pieces are refused', async () => {
    const { port } = await open({ limits: { bodyPieces: 10 } })
    const answer = await raw(
      port,
      `POST /v2/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\na\r\n'.repeat(11)}`,
    )
    expect(answer).toMatch(/^HTTP\/1\.1 413 .*too-many-pieces/s)
  })

  test('of all requests together have a bound, and are let go with their answers', async () => {
    const { address, listener } = await open({ limits: { heldBytes: 1_000 } }, ({ app }) => {
      app.post('/v2/wait', () => new Promise(() => undefined))
    })
    const leaving = new AbortController()
    const { signal } = leaving
    const waits = fetch(`${address}/v2/wait`, { method: 'POST', body: 'x'.repeat(900), signal }).catch(
      () => 'left',
    )
    await eventually('the body to be held', () => listener.heldBytes === 900)
    const refused = await fetch(`${address}/v2/echo`, { method: 'POST', body: 'x'.repeat(101) })
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([
      503,
      expect.stringMatching(/^[12]$/),
    ])
    expect((await fetch(`${address}/v2/echo`, { method: 'POST', body: 'x'.repeat(100) })).status).toBe(200)
    leaving.abort()
    expect(await waits).toBe('left')
    await eventually('the body to be let go', () => listener.heldBytes === 0)
  })

  test('nobody wants are not read: the connection ends, and the answer arrives', async () => {
    const { port } = await open()
    const body = 'x'.repeat(300_000)
    const start = `Host: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    const next = 'GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n'
    for (const line of ['POST /nowhere HTTP/1.1', 'GET /v2/large HTTP/1.1', 'DELETE /v2/echo HTTP/1.1']) {
      const answer = await raw(port, `${line}\r\n${start}${next}`)
      expect(answer).toMatch(/^HTTP\/1\.1 [24]\d\d .*connection: close/is)
      expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1)
    }
  })

  test('are asked for only where the request is taken (100-continue)', async () => {
    const { port } = await open()
    const head = 'Host: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n'
    const taken = await raw(port, `POST /v2/echo HTTP/1.1\r\nConnection: close\r\n${head}\r\nab`)
    expect(taken).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /)
    const refused = await raw(port, `POST /v2/nowhere HTTP/1.1\r\n${head}\r\n`)
    expect(refused).toMatch(/^HTTP\/1\.1 404 .*connection: close/is)
    const large = await raw(port, `POST /v2/echo HTTP/1.1\r\n${head.replace(': 2', ': 2000000')}\r\n`)
    expect(large).toMatch(/^HTTP\/1\.1 413 /)
    const other = await raw(port, `POST /v2/echo HTTP/1.1\r\n${head.replace('100-continue', 'a-cake')}\r\n`)
    expect(other).toMatch(/^HTTP\/1\.1 417 /)
  })
})

describe('gates', () => {
  test('refuse before the body is read, where they are', async () => {
    let isReady = false
    const { address } = await open({}, ({ app }) => {
      app.register(async (guarded) => {
        addRequestGate(guarded, () => {
          if (!isReady) throw new Refusal(503, 'not ready', 'the broker is away', { retryAfterSeconds: 5 })
        })
        guarded.post('/v2/guarded', () => ({}))
      })
    })
    const call = () => fetch(`${address}/v2/guarded`, { method: 'POST', body: 'x' })
    const refused = await call()
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5'])
    expect((await fetch(`${address}/livez`)).status).toBe(200)
    isReady = true
    expect((await call()).status).toBe(200)
  })
})

describe('names and origins', () => {
  test('who calls by another name is refused, but for probes', async () => {
    const { port } = await open()
    const call = (path: string, host: string) =>
      raw(port, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
    expect(await call('/v2/large', 'evil.example')).toMatch(/^HTTP\/1\.1 421 /)
    expect(await call('/livez', '10.0.0.7')).toMatch(/^HTTP\/1\.1 200 /)
    expect(await call('/v2/large', '127.0.0.1:80')).toMatch(/^HTTP\/1\.1 200 /)
  })

  test('pages of other origins send nothing, and see nothing', async () => {
    const { address } = await open({ corsOrigins: ['https://pages.example'] })
    const from = (origin: string, method = 'POST') =>
      fetch(`${address}/v2/echo`, { method, ...(method === 'POST' && { body: 'x' }), headers: { origin } })
    expect((await from('https://evil.example')).status).toBe(403)
    expect((await from('null')).status).toBe(403)
    expect((await from(address)).status).toBe(200)
    const allowed = await from('https://pages.example')
    expect([
      allowed.status,
      allowed.headers.get('access-control-allow-origin'),
      allowed.headers.get('vary'),
    ]).toEqual([200, 'https://pages.example', 'Origin'])
    const other = await from('https://evil.example', 'GET')
    expect([other.status, other.headers.get('access-control-allow-origin')]).toEqual([405, null])
  })

  test('a browser is told what a page of an allowed origin may send', async () => {
    const { address } = await open({ corsOrigins: ['https://pages.example'] })
    const ask = (origin: string) =>
      fetch(`${address}/v2/echo`, {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'authorization, content-type',
        },
      })
    const allowed = await ask('https://pages.example')
    expect([allowed.status, allowed.headers.get('access-control-allow-headers')]).toEqual([
      204,
      'authorization, content-type',
    ])
    expect([(await ask('https://evil.example')).status]).toEqual([405])
  })

  test.each(['*', 'https://*.example', 'https://pages.example/', 'pages.example', 'file:///x'])(
    '%s is no origin',
    (origin) => {
      expect(() => openListener({ host: '127.0.0.1', port: 0, log, corsOrigins: [origin] })).toThrow(
        expect.objectContaining({ code: 'invalid-configuration' }),
      )
    },
  )
})

describe('answers', () => {
  test('of HEAD have no body; unknown methods say what is taken', async () => {
    const { address } = await open()
    const head = await fetch(`${address}/v2/large`, { method: 'HEAD' })
    expect([head.status, await head.text(), head.headers.get('vary')]).toEqual([200, '', 'Accept-Encoding'])
    const wrong = await fetch(`${address}/v2/echo`, { method: 'PUT', body: 'x' })
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'POST'])
  })

  test('a port that is taken says which setting to change', async () => {
    const { port } = await open()
    const second = openListener({ host: '127.0.0.1', port, log })
    opened.push(second)
    await expect(second.listen()).rejects.toMatchObject({
      code: 'invalid-configuration',
      message: expect.stringContaining('PELTON_GATEWAY_PORT'),
    })
  })

  test('are the last ones where a connection has had its number of requests', async () => {
    const { port } = await open({ limits: { requestsPerConnection: 2 } })
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    agents.push(agent)
    const call = (): Promise<string | undefined> =>
      new Promise((resolve, reject) => {
        get({ port, agent, path: '/livez', host: '127.0.0.1' }, (response) => {
          response.resume().on('end', () => resolve(response.headers.connection))
        }).on('error', reject)
      })
    expect([await call(), await call(), await call()]).toEqual(['keep-alive', 'close', 'keep-alive'])
  })

  test.each([
    ['more requests than it may, and half of another', 3, '', ['200', '200', '429']],
    ['two requests, and half of a head', 2, '', ['200', '200']],
    ['a request, and half of a body', 1, 'Content-Length: 9\r\n\r\nab', ['200']],
    ['a request, and a body that is none', 1, 'Transfer-Encoding: chunked\r\n\r\n1\r\na\r\nz\r\n', ['200']],
  ])('who sends %s gets the answers that are owed, and is let go', async (_what, count, rest, statuses) => {
    let answer = (): void => undefined
    const waiting = new Promise<void>((resolve) => {
      answer = resolve
    })
    const limits = { headersMs: 100, requestMs: 200, requestsAtOnce: 2 }
    const { port } = await open({ limits }, ({ app }) => app.get('/v2/wait', () => waiting.then(() => ({}))))
    const one = 'GET /v2/wait HTTP/1.1\r\nHost: localhost\r\n\r\n'
    const came = raw(port, `${one.repeat(count)}POST /v2/echo HTTP/1.1\r\nHost: localhost\r\n${rest}`)
    // What is overdue is looked for meanwhile.
    await sleep(1_500)
    answer()
    expect([...(await came).matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status)).toEqual(statuses)
  })

  test('a tunnel that is refused and reset is no trouble', async () => {
    const { port, listener, address } = await open()
    const socket = connect(port, '127.0.0.1', () => socket.write('CONNECT a.example:1 HTTP/1.1\r\n\r\n'))
    await new Promise((resolve) => socket.once('data', resolve))
    socket.resetAndDestroy()
    await eventually('it to be gone', () => listener.connections === 0)
    expect((await fetch(`${address}/livez`)).status).toBe(200)
  })

  test('come from both addresses of localhost, malformed requests included', async () => {
    const { port, listener } = await open({ host: 'localhost' })
    for (const { address } of listener.app.addresses() as AddressInfo[]) {
      const answer = await new Promise<string>((resolve) => {
        const socket = connect(port, address, () => socket.write('NONSENSE\r\n\r\n'))
        socket.once('data', (piece) => resolve(String(piece)))
      })
      expect(answer).toMatch(/^HTTP\/1\.1 400 .*"error":/s)
    }
  })

  test('a close while a client waits cuts it, and ends', async () => {
    const { listener, port } = await open({}, ({ app }) => {
      app.get('/v2/wait', () => new Promise(() => undefined))
    })
    const cut = new Promise<Error>((resolve) => {
      send({ port, host: '127.0.0.1', path: '/v2/wait' }).on('error', resolve).end()
    })
    await eventually('the connection', () => listener.connections === 1)
    await listener.close()
    expect((await cut).message).toMatch(/socket hang up|ECONNRESET/)
    expect(listener.connections).toBe(0)
  })
})
