import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { request as secureRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PeerCertificate, TLSSocket } from 'node:tls'
import { pino } from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import {
  type GatewayListener,
  type ListenerOptions,
  openListener,
} from '../../services/gateway/http/listener.ts'
import { createAuthority } from '../kit/certificates.ts'
import { eventually } from '../kit/wait.ts'

const log = pino({ level: 'silent' })
const opened: GatewayListener[] = []
const agents: Agent[] = []
const folders: string[] = []
/** Bodies that reached a route. */
const taken = new Set<string>()
/** Of requests that are answered at the end of a test. */
const ends: (() => void)[] = []

async function open(options: Partial<ListenerOptions> = {}) {
  const listener = openListener({ host: '127.0.0.1', port: 0, log, ...options })
  opened.push(listener)
  listener.app.post('/v2/echo', async ({ body }, reply) => {
    taken.add(String(body))
    await sleep(Math.random() * 20)
    return reply.send(body as Buffer)
  })
  let asked = 0
  listener.app.get('/v2/slow', () => {
    asked += 1
    return sleep(500, { isDone: true })
  })
  // Until the test is over.
  listener.app.get('/v2/never', () => new Promise<void>((resolve) => ends.push(resolve)))
  const untilAsked = () => eventually('the request', () => asked > 0)
  return { listener, untilAsked, port: Number(new URL(await listener.listen()).port) }
}

function openAgent(maxSockets: number): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets })
  agents.push(agent)
  return agent
}

afterEach(async () => {
  for (const end of ends.splice(0)) end()
  for (const agent of agents.splice(0)) agent.destroy()
  await Promise.all(opened.splice(0).map((each) => each.close()))
  await Promise.all(folders.splice(0).map((each) => rm(each, { recursive: true })))
})

interface Answered {
  readonly status: number
  readonly body: string
  readonly connection: string | undefined
}

/** A request as a client without any retries sends it. */
function call(port: number, agent: Agent, body?: string, path = '/v2/echo'): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const method = body === undefined ? 'GET' : 'POST'
    const sent = request({ port, agent, host: '127.0.0.1', method, path }, (answer) => {
      let came = ''
      answer.on('data', (piece) => {
        came += piece
      })
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, body: came, connection: answer.headers.connection }),
      )
      answer.on('error', reject)
    })
    sent.on('error', (error) => reject(Object.assign(error, { isFresh: !sent.reusedSocket })))
    sent.end(body)
  })
}

describe('a listener that drains', () => {
  test('answers what is under way, says that it was the last, and takes no new connection', async () => {
    const { listener, port, untilAsked } = await open()
    const agent = openAgent(1)
    const slow = call(port, agent, undefined, '/v2/slow')
    await untilAsked()
    const drained = listener.drain(60_000)
    expect(await slow).toEqual({ status: 200, body: '{"isDone":true}', connection: 'close' })
    await drained
    expect(listener.connections).toBe(0)
    await expect(call(port, openAgent(1), 'x')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  test('cuts what is not over in time', async () => {
    const { listener, port } = await open()
    const never = call(port, openAgent(1), undefined, '/v2/never')
    await eventually('the request', () => ends.length === 1)
    await Promise.all([listener.drain(50), expect(never).rejects.toThrow('socket hang up')])
  })

  test('closes what is idle', async () => {
    const { listener, port } = await open()
    const agent = openAgent(1)
    expect((await call(port, agent, 'x')).connection).toBe('keep-alive')
    await listener.drain(60_000)
    expect(listener.connections).toBe(0)
  })
})

test('two listeners restarted in turn under 50 kept connections each: nothing but connects fails', async () => {
  const gateways = [await open(), await open()]
  const ports = gateways.map(({ port }) => port)
  const pools = gateways.map(() => openAgent(50))
  const failures: unknown[] = []
  let answered = 0
  let isOver = false
  /** Tries the other one only where it could not even connect. */
  const callAny = async (text: string, first: number): Promise<void> => {
    for (let tries = 0; ; tries += 1) {
      const which = (first + tries) % 2
      try {
        const answer = await call(ports[which]!, pools[which]!, text)
        if (answer.status === 200 && answer.body === text) answered += 1
        else failures.push(answer)
        return
      } catch (error) {
        if (isUnconnected(error, text) && tries < 4) continue
        failures.push(error)
        return
      }
    }
  }
  const clients = Array.from({ length: 100 }, async (_, index) => {
    for (let number = 0; !isOver; number += 1) await callAny(`${index} ${number}`, index)
  })
  const restart = async (which: number): Promise<void> => {
    const before = answered
    await eventually('answers', () => answered > before + 1_000)
    await gateways[which]!.listener.drain(60_000)
    await gateways[which]!.listener.close()
    gateways[which] = await open({ port: ports[which]! })
  }
  for (const which of [0, 1, 0, 1]) await restart(which)
  isOver = true
  await Promise.all(clients)
  expect(failures).toEqual([])
  expect(answered).toBeGreaterThan(4_000)
})

/**
 * Whether there was no connection: it was refused, or the port was closed while it was still waiting there to be taken,
 * which resets it.
 */
function isUnconnected(error: unknown, body: string): boolean {
  const { code, isFresh } = error as { readonly code?: string; readonly isFresh?: boolean }
  return code === 'ECONNREFUSED' || (code === 'ECONNRESET' && isFresh === true && !taken.has(body))
}

describe('TLS', () => {
  /** Which certificate the server showed, or why there was no answer. */
  function ask(port: number, options: { ca: Buffer; cert?: Buffer; key?: Buffer }): Promise<string> {
    return new Promise((resolve) => {
      const sent = secureRequest(
        { port, host: '127.0.0.1', path: '/v2/slow', agent: false, ...options },
        (answer) => {
          const shown: PeerCertificate = (answer.socket as TLSSocket).getPeerCertificate()
          answer.resume().on('end', () => resolve(`${answer.statusCode} ${shown.subject.CN}`))
        },
      )
      sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message)).end()
    })
  }

  async function prepare() {
    const folder = await mkdtemp(join(tmpdir(), 'pelton-listener-'))
    folders.push(folder)
    const authority = await createAuthority(folder)
    const { cert, key } = await authority.issue('first')
    return { folder, authority, certFile: cert, keyFile: key, ca: await readFile(authority.file) }
  }

  test('uses new certificates once they are there; unusable ones change nothing', async () => {
    const { authority, certFile, keyFile, ca } = await prepare()
    const { port } = await open({ tls: { certFile, keyFile, reloadMs: 20 } })
    expect(await ask(port, { ca })).toBe('200 first')
    await writeFile(`${certFile}.new`, 'half a certificate')
    await rename(`${certFile}.new`, certFile)
    await sleep(100)
    expect(await ask(port, { ca })).toBe('200 first')
    const second = await authority.issue('second')
    await rename(second.key, keyFile)
    await rename(second.cert, certFile)
    await eventually('the new certificate', async () => (await ask(port, { ca })) === '200 second')
  })

  test('mutual: who has no certificate of the authority gets nothing', async () => {
    const { authority, certFile, keyFile, ca } = await prepare()
    const { port, listener } = await open({ tls: { certFile, keyFile, caFile: authority.file } })
    const own = await authority.issue('client')
    const identity = { cert: await readFile(own.cert), key: await readFile(own.key) }
    expect(await ask(port, { ca, ...identity })).toBe('200 first')
    expect(await ask(port, { ca })).not.toMatch(/200/)
    // Bytes that are no TLS are no trouble either.
    await expect(call(port, openAgent(1), 'x')).rejects.toThrow()
    expect(await ask(port, { ca, ...identity })).toBe('200 first')
    await eventually('connections to be gone', () => listener.connections === 0)
  })

  test.each([
    ['a file that is not there', 'PELTON_GATEWAY_TLS_KEY', (key: string) => `${key}.not`],
    [
      'what is no key',
      'PELTON_GATEWAY_TLS_CERT, PELTON_GATEWAY_TLS_KEY',
      (key: string) => key.replace('.key', '.pem'),
    ],
  ])('%s is said by name', async (_name, field, other) => {
    const { certFile, keyFile } = await prepare()
    const listener = openListener({
      host: '127.0.0.1',
      port: 0,
      log,
      tls: { certFile, keyFile: other(keyFile) },
    })
    opened.push(listener)
    await expect(listener.listen()).rejects.toMatchObject({
      code: 'invalid-configuration',
      details: { field },
    })
  })

  test('drains as without', async () => {
    const { certFile, keyFile, ca } = await prepare()
    const { port, listener, untilAsked } = await open({ tls: { certFile, keyFile } })
    const answer = ask(port, { ca })
    await untilAsked()
    await listener.drain(60_000)
    expect(await answer).toBe('200 first')
  })
})
