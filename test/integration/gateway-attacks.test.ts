import { readFile } from 'node:fs/promises'
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { connect, type Socket } from 'node:net'
import { constants, deflateRawSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { createKey, type NewKey } from '../../shared/operations/keys/keys.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { namesOf } from '../../shared/sdk/jetstream/names-of.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { type GatewayProcess, startGateway } from '../kit/gateway-process.ts'
import { openHttpLoad } from '../kit/http-load.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'
import { ATTACKS, type Attack, INFER, MODEL, rowsOf } from './gateway-attack-cases.ts'

const MEBIBYTE = 1024 ** 2
/** What a gateway may have more than before, once it is quiet: of memory that Node and the allocator keep for next time. */
const GROWTH_BYTES = 512 * MEBIBYTE

let pipeline: Pipeline
let folder: Awaited<ReturnType<typeof modelsFolder>>
/** Without keys, and with them. */
let open: GatewayProcess
let locked: GatewayProcess
let before: Readings
/** Rows of the second table in docs/http-abuse.md. */
const rows = new Set<string>()

/** Lines of each log before the attacks. */
const logged = new Map<GatewayProcess['log'], number>()
const KEYS = new Map<string, string>()
/** Every event that came to the broker. */
const published: { readonly subject: string; readonly headers: ReadonlyMap<string, string> }[] = []

beforeAll(async () => {
  folder = await modelsFolder(['identity-fp32'])
  pipeline = await openPipeline({ pools: ['default', 'other'], models: folder.path })
  await pipeline.startWorker()
  watchEvents()
  const { url } = pipeline.broker
  const env = {
    ...pipeline.env,
    PELTON_HTTP_PORT: '0',
    // However long a busy machine takes for what is large, it is told what is wrong with it.
    PELTON_GATEWAY_TIMEOUT_MS: '600000',
    PELTON_GATEWAY_TAKING_MS: '1500',
    PELTON_GATEWAY_KEEP_ALIVE_MS: '600000',
  }
  open = await startGateway({ url, env })
  locked = await startGateway({ url, env: { ...env, PELTON_GATEWAY_KEYS: 'always' } })
  await makeKeys()
  await eventually('the model to be known', async () => (await good()).status === 200)
  before = await readings()
  for (const { log } of [open, locked]) logged.set(log, log.length)
})

afterAll(async () => {
  for (const gateway of [open, locked]) gateway.kill()
  await Promise.all([open, locked].map(({ ended }) => ended))
  await pipeline.close()
  await folder.remove()
})

function watchEvents(): void {
  const names = namesOf(pipeline.connection)
  pipeline.connection.subscribe(names.subject('features.>'), {
    callback: (_error, { subject, headers }) => {
      const all = [...(headers ?? [])].map(([name, values]) => [name.toLowerCase(), values.join()] as const)
      published.push({ subject: names.plainSubject(subject), headers: new Map(all) })
    },
  })
}

async function makeKeys(): Promise<void> {
  const { connection } = pipeline
  const window = new PublishWindow(connection)
  const wish = { pool: 'default', highestLane: 'low', by: 'test' } as const
  const wishes: NewKey[] = [
    { ...wish, name: 'mine', models: [MODEL] },
    { ...wish, name: 'other', models: 'all' },
    { ...wish, name: 'narrow', models: ['something-else'] },
  ]
  for (const each of wishes) KEYS.set(each.name, (await createKey({ connection, window }, each)).text)
  window.close()
}

interface Answered {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly json: Readonly<Record<string, unknown>>
}

async function send(
  { address }: GatewayProcess,
  { method = 'POST', path = INFER, headers = {}, body }: Attack,
): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const url = new URL(address)
    const asked = httpRequest(
      { host: url.hostname, port: url.port, method, path, headers: { ...headers }, agent: false },
      (answer) => {
        const pieces: Buffer[] = []
        answer.on('data', (piece) => pieces.push(piece)).on('error', reject)
        answer.on('end', () => {
          const body = Buffer.concat(pieces)
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body, json: parsed(body) })
        })
      },
    )
    asked.on('error', reject).end(body)
  })
}

function parsed(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(body.toString()) as Record<string, unknown>
  } catch {
    return {}
  }
}

/** Far beyond what a busy machine needs, microseconds. */
const PATIENT = { timeout: 280_000_000 }

function good(gateway = open, headers: Readonly<Record<string, string>> = {}): Promise<Answered> {
  const body = JSON.stringify({ inputs: [rowsOf(1)], parameters: PATIENT })
  return send(gateway, { tried: '', answered: 200, headers, body })
}

const keyOf = (name: string) => ({ authorization: `Bearer ${KEYS.get(name)}` })

interface Readings {
  readonly rss: number
  readonly text: string
  sumOf(metric: string): number
}

/** What the gateway says of itself. */
async function readings(gateway = open): Promise<Readings> {
  const address = gateway.log.find(
    ({ msg, address }) => msg === 'listening' && address !== gateway.address,
  )?.address
  const text = await (await fetch(`${String(address)}/metrics`)).text()
  const sumOf = (metric: string): number =>
    text
      .split('\n')
      .filter((line) => line.startsWith(`${metric}{`) || line.startsWith(`${metric} `))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
  const status = await readFile(`/proc/${gateway.pid}/status`, 'utf8').catch(() => '')
  return { rss: 1024 * Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0), text, sumOf }
}

/** It answers the next good request, holds nothing of others, and no defect was logged. */
async function stillWell(): Promise<void> {
  expect((await good()).status).toBe(200)
  await eventually('nothing to be held', async () => {
    const { sumOf } = await readings()
    return (
      sumOf('pelton_gateway_in_flight_requests') === 0 &&
      sumOf('pelton_gateway_in_flight_bytes') === 0 &&
      sumOf('pelton_gateway_connections') <= 1
    )
  })
  expect((await readings()).rss - before.rss).toBeLessThan(GROWTH_BYTES)
  for (const gateway of [open, locked]) expect(linesSince(gateway)).toEqual([])
}

/**
 * What was logged since the first look (reading metrics for the first time is told of), but for looks at answers that a broker
 * beside a busy gateway did not serve in time: they are repeated.
 */
function linesSince({ log }: GatewayProcess): readonly unknown[] {
  return log
    .slice(logged.get(log))
    .map(({ msg, err, problem, reason }) => ({ msg, err, problem, reason }))
    .filter(({ reason }) => !String(reason).startsWith('answers cannot be looked for: '))
}

function note(tried: string, answered: string | number): void {
  rows.add(`| ${tried} | ${answered} |`)
}

describe('one request', () => {
  test.each(ATTACKS)('$tried: $answered', async (attack) => {
    note(attack.tried, attack.answered)
    const { status, headers, json } = await send(open, attack)
    const expected = Number(String(attack.answered).slice(0, 3))
    expect([status, json.error]).toEqual([expected, expected >= 400 ? expect.any(String) : undefined])
    if (expected >= 400 && (attack.path ?? INFER).startsWith('/v2'))
      expect(headers['content-type']).toBe('application/json')
    expect(status >= 500 ? json : {}).not.toHaveProperty('code', 'internal')
  })

  test('none of them left anything', stillWell)

  test('none of them has put a header into an event that it may not have', async () => {
    const known = new Set(Object.values(HEADERS).map((name) => name.toLowerCase()))
    expect(published.length).toBeGreaterThan(20)
    for (const { subject, headers } of published) {
      expect(subject).toMatch(/^features\.default\.identity-fp32\.(?:normal|low)$/)
      for (const [name, value] of headers) {
        expect(known.has(name) || /^ce-[a-z0-9]+$/.test(name), name).toBe(true)
        if (!name.startsWith('ce-')) expect(`${name}: ${value}`).not.toMatch(/evil|[^ -~]/)
      }
      expect(readHeader(headers, HEADERS.source)).toMatch(/^(?:http|attack)$/)
    }
  })
})

describe('callers with keys', () => {
  test('get the results of their own requests alone, whatever they make of a handle', async () => {
    note('the result of another key', '404, as for one that never was')
    note('a handle of which one byte is another, or whose owner was written anew', '404')
    const asked = await send(locked, {
      ...{ tried: '', answered: 202, headers: { ...keyOf('mine'), prefer: 'respond-async' } },
      body: JSON.stringify({ inputs: [rowsOf(1)], parameters: { priority: 1 } }),
    })
    expect([asked.status, asked.headers['pelton-lane']]).toEqual([202, 'low; lowered-from=high'])
    note('a lane above that of the key', '202, in the highest it allows, and `Pelton-Lane` says so')
    const path = String(asked.headers.location)
    const get = (name: string, where: string) =>
      send(locked, { tried: '', answered: 200, method: 'GET', path: where, headers: keyOf(name) })
    await eventually('the result', async () => (await get('mine', path)).status === 200)
    const [payload = '', signature = ''] = path.slice(path.lastIndexOf('/') + 1).split('.')
    const fields = JSON.parse(Buffer.from(payload, 'base64url').toString()) as unknown[]
    const otherId = KEYS.get('other')?.split('_')[1]?.slice(0, 10)
    const forged = Buffer.from(JSON.stringify([...fields.slice(0, -1), `key/${otherId}`])).toString(
      'base64url',
    )
    const never = await get('other', '/v1/results/bm90.aGluZw')
    for (const where of [path, `/v1/results/${forged}.${signature}`, `${path}A`, path.slice(0, -1)]) {
      const { status, json } = await get('other', where)
      expect([status, json.error]).toEqual([404, never.json.error])
    }
  })

  test('are nobody with what is no key, and have no model that theirs does not name', async () => {
    note('keys that are none: `__proto__`, 8 KiB, of control characters, NATS wildcards', 401)
    const [, id = ''] = KEYS.get('mine')?.split('_') ?? []
    for (const key of ['__proto__', 'pelton___proto___x', `pelton_*_x`, `pelton_${id}_`, 'k'.repeat(8_000)])
      for (const headers of [{ 'x-api-key': key }, { authorization: `Bearer ${key}` }])
        expect((await good(locked, headers)).status, key).toBe(401)
    note('a model that the key does not name', '403; its metadata 404')
    expect((await good(locked, keyOf('narrow'))).status).toBe(403)
    const path = `/v2/models/${MODEL}`
    const asked = { tried: '', answered: 404, method: 'GET', path, headers: keyOf('narrow') }
    expect((await send(locked, asked)).status).toBe(404)
    note('health without a key', '200: it says nothing of events')
    const probe = { tried: '', answered: 200, method: 'GET', path: '/v2/health/ready' }
    expect((await send(locked, probe)).status).toBe(200)
  })
})

function socketTo({ address }: GatewayProcess): Socket {
  const { hostname, port } = new URL(address)
  return connect({ host: hostname, port: Number(port) }).on('error', () => undefined)
}

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => (socket.destroyed ? resolve() : void socket.once('close', () => resolve())))

function rawInfer(body: string): string {
  return `POST ${INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

/** Raw deflate of zeros, cut where bytes end. */
function zeros(bytes: number): Buffer {
  return deflateRawSync(Buffer.alloc(bytes), { level: 9, finishFlush: constants.Z_FULL_FLUSH })
}

describe('many requests', () => {
  test('1 GB in a gzip of 1 MB, 16 at once', async () => {
    note('1 GB in a gzip of 1 MB, 16 at once', 413)
    const piece = zeros(10_000_000)
    const body = Buffer.concat([
      Buffer.from('1f8b0800000000000003', 'hex'),
      ...Array.from({ length: 100 }, () => piece),
    ])
    const bomb = { tried: '', answered: 413, headers: { 'content-encoding': 'gzip' }, body }
    for (const { status } of await Promise.all(Array.from({ length: 16 }, () => send(open, bomb))))
      expect(status).toBe(413)
    await stillWell()
  })

  test('500 requests for predictions on one connection at once', async () => {
    note('500 requests for predictions on one connection at once', 'the first 64, then 429, closed')
    let came = ''
    const socket = socketTo(open).on('data', (piece) => {
      came += piece.toString('latin1')
    })
    socket.write(rawInfer(JSON.stringify({ inputs: [rowsOf(1)], parameters: PATIENT })).repeat(500))
    await closed(socket)
    const statuses = [...came.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
    expect(statuses.at(-1)).toBe(429)
    expect(statuses.slice(0, -1).every((status) => status === 200)).toBe(true)
    expect(statuses.length).toBeGreaterThanOrEqual(65)
    await stillWell()
  })

  test('large answers that nobody reads', async () => {
    note(
      '40 answers of 400 KB on each of 4 connections, of which clients take nothing',
      'closed once they are not taken in time',
    )
    const body = JSON.stringify({ id: 'i'.repeat(400_000), inputs: [rowsOf(1)], parameters: PATIENT })
    const one = await send(open, { tried: '', answered: 200, body })
    expect([one.status, one.json.error, one.body.length > 400_000]).toEqual([200, undefined, true])
    const answered = async () => (await readings()).sumOf('pelton_gateway_requests_total')
    const answeredBefore = await answered()
    const sockets = Array.from({ length: 4 }, () => socketTo(open).pause())
    onTestFinished(() => sockets.forEach((socket) => void socket.destroy()))
    for (const socket of sockets) socket.write(rawInfer(body).repeat(40))
    await eventually('some to be answered', async () => (await answered()) >= answeredBefore + 4)
    await stillWell()
  })

  test('connections that end their side while they wait for an answer', async () => {
    note(
      '100 connections that are half-closed, or reset, while they wait',
      'taken as gone, counted as `left`',
    )
    await pipeline.endWorkers()
    const left = async (): Promise<number> => {
      const { text } = await readings()
      const counts = [...text.matchAll(/^pelton_gateway_requests_total{.*ended="left".* (\d+)$/gm)]
      return counts.reduce((sum, [, count]) => sum + Number(count), 0)
    }
    const leftBefore = await left()
    const body = JSON.stringify({ inputs: [rowsOf(20_000)], parameters: { timeout: 3_000_000_000 } })
    const sockets = Array.from({ length: 100 }, () => socketTo(open).resume())
    for (const socket of sockets) socket.write(rawInfer(body))
    await eventually('all to wait', async () => {
      return (await readings()).sumOf('pelton_gateway_in_flight_requests') === 100
    })
    for (const [index, socket] of sockets.entries()) index % 2 === 0 ? socket.end() : socket.resetAndDestroy()
    await eventually('nobody to wait', async () => {
      return (await readings()).sumOf('pelton_gateway_in_flight_requests') === 0
    })
    for (const socket of sockets) socket.destroy()
    expect((await left()) - leftBefore).toBe(100)
    await pipeline.startWorker()
    await stillWell()
  })

  test('10,000 models that nobody has', async () => {
    note('10,000 models that nobody has, on five routes', '404; metrics and statistics have no name of them')
    const load = openHttpLoad(() => [open.address], 16)
    const routes = ['/infer', '', '/ready', '/stats', '/versions/7/infer']
    const statuses = await Promise.all(
      Array.from({ length: 10_000 }, async (_, index) => {
        const route = routes[index % routes.length] ?? ''
        const isPost = route.endsWith('infer')
        const path = `/v2/models/made-up-${index}${route}`
        return (await load.send(isPost ? 'POST' : 'GET', path, isPost ? '{"inputs":[]}' : undefined)).status
      }),
    )
    load.close()
    expect(new Set(statuses)).toEqual(new Set([404]))
    const { text } = await readings()
    expect(text).not.toContain('made-up')
    const stats = { tried: '', answered: 200, method: 'GET', path: '/v2/models/stats' }
    expect((await send(open, stats)).body.toString()).not.toContain('made-up')
    await stillWell()
  })
})

test('nothing that callers wrote stands in the log', () => {
  note('line ends, escapes and JSON in names, ids and headers', 'in no line of the log')
  const lines = JSON.stringify([open.log, locked.log])
  expect(lines).not.toMatch(/evil|made-up|pelton_gateway_forged/)
})

test('every case stands in the second table of docs/http-abuse.md', async () => {
  const page = await readFile(new URL('../../docs/http-abuse.md', import.meta.url), 'utf8')
  const table = (page.split('\n## On real routes\n')[1] ?? '')
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\| (?:tried|---)/.test(line))
  expect(table).toEqual([...rows])
})
