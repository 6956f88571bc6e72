import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { constants, deflateRawSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../kit/wait.ts'
import { PATHS, type RawCase, REQUESTS, SMUGGLING } from './gateway-abuse-cases.ts'

const MEBIBYTE = 1024 ** 2
/** Far beyond what a busy machine needs. */
const PATIENT_MS = 280_000
/** What clients send has time to arrive, and they have time to read what they are told; what they do not take is soon given up. */
const LIMITS = {
  ...{ headersMs: PATIENT_MS, requestMs: PATIENT_MS, keepAliveMs: PATIENT_MS, lingerMs: PATIENT_MS },
  ...{ takeMs: 1_500, compressedBytes: 16 * MEBIBYTE, connections: 12_000 },
}
/** What arrives slowly runs into its bounds soon. */
const HASTY = { ...LIMITS, headersMs: 1_000, requestMs: 2_000 }
/** What the process may hold more than before, once it is quiet and has collected its garbage. */
const HELD_BYTES = 64 * MEBIBYTE
/** The same with memory that Node and the allocator keep for next time. */
const GROWTH_BYTES = 512 * MEBIBYTE

interface Look {
  readonly rss: number
  readonly heapUsed: number
  readonly external: number
  readonly connections: number
  readonly heldBytes: number
  readonly smuggled: number
  /** Answers of 32 MiB. */
  readonly askedLarge: number
}

/** A listener in a process of its own. */
interface Running {
  readonly child: ChildProcess
  readonly port: number
  /** What it said beside that it listens. */
  readonly said: readonly string[]
  /** Once it had answered one request. */
  readonly before: Look
}

let running: Running
let hasty: Running
/** Rows of the table in docs/http-abuse.md. */
const rows: string[] = []

async function look({ child }: Pick<Running, 'child'> = running): Promise<Look> {
  const answer = once(child, 'message')
  child.send('look')
  return ((await answer) as [Look])[0]
}

async function start(limits: Readonly<Record<string, number>>): Promise<Running> {
  const child = fork(new URL('gateway-abuse-process.ts', import.meta.url), {
    execArgv: ['--import', 'tsx', '--expose-gc'],
    env: { ...process.env, LIMITS: JSON.stringify(limits) },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const said: string[] = []
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (text) => String(text).includes('"msg":"listening"') || said.push(String(text)))
  const [{ address }] = (await once(child, 'message')) as [{ address: string }]
  const port = Number(new URL(address).port)
  await eventually('a good request to be answered', () => isAnswered({ port }))
  return { child, port, said, before: await look({ child }) }
}

async function stop({ child }: Running): Promise<void> {
  if (child.exitCode !== null) return
  const ended = once(child, 'exit')
  child.kill()
  await ended
}

beforeAll(async () => {
  running = await start(LIMITS)
  hasty = await start(HASTY)
})

afterAll(async () => {
  for (const each of [running, hasty]) if (each !== undefined) await stop(each)
})

/** A connection that nobody waits for: whatever ends it is no error of the test. */
function open(onData?: (piece: Buffer) => void, { port } = running): Socket {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined)
  if (onData !== undefined) socket.on('data', onData)
  return socket
}

/** Sends bytes, and returns all that came back until the other side closed. */
async function send(bytes: string | Buffer, to = running): Promise<string> {
  let came = ''
  const socket = open((piece) => {
    came += piece.toString('latin1')
  }, to)
  socket.write(bytes)
  await closed(socket)
  return came
}

/** Whatever ends it: `once` would have an error be one of the test. */
async function closed(socket: Socket): Promise<void> {
  await new Promise((resolve) => socket.once('close', resolve))
}

function statusesOf(answer: string): readonly number[] {
  return [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
}

async function goodRequest({ port }: Pick<Running, 'port'> = running): Promise<void> {
  const asked = request({ port, host: '127.0.0.1', method: 'POST', path: '/v2/echo', agent: false })
  const [answer] = (await once(asked.end('still here'), 'response')) as [IncomingMessage]
  expect([answer.statusCode, await text(answer)]).toEqual([200, 'still here'])
}

/** The listener answers the next good request, holds nothing, and nothing failed. */
async function stillWell(each = running): Promise<void> {
  if (each === hasty) await eventually('a good request to be answered', () => isAnswered(each))
  else await goodRequest(each)
  let now = each.before
  const isQuiet = async (): Promise<boolean> => {
    now = await look(each)
    // One collection may leave what the next one takes.
    return now.connections === 0 && now.heldBytes === 0 && holdsLittle(now, each)
  }
  await eventually('connections and memory to be let go', isQuiet, { seen: () => now })
  expect(now.smuggled).toBe(0)
  expect(now.rss - each.before.rss).toBeLessThan(GROWTH_BYTES)
  expect([each.child.exitCode, each.said]).toEqual([null, []])
}

function holdsLittle({ heapUsed, external }: Look, { before }: Running): boolean {
  return heapUsed + external - before.heapUsed - before.external < HELD_BYTES
}

function note(tried: string, answered: string): void {
  rows.push(`| ${tried} | ${answered} |`)
}

/** What is no answer of a defect, and says so in words every client shows. */
function expectProblem(answer: string): void {
  const body = JSON.parse(answer.slice(answer.lastIndexOf('\r\n\r\n') + 4))
  expect(body).toMatchObject({
    error: expect.any(String),
    title: expect.any(String),
    status: expect.any(Number),
  })
  expect(answer).toMatch(/connection: close/i)
}

async function tryRaw({ bytes, statuses }: RawCase): Promise<void> {
  const answer = await send(bytes, statuses[0] === 408 ? hasty : running)
  expect(statusesOf(answer)).toEqual(statuses)
  if ((statuses[0] ?? 0) >= 400 && statuses[0] !== 405) expectProblem(answer)
  await goodRequest()
}

describe('what is no honest request', () => {
  test.each(SMUGGLING)('$tried: $answered', async (each) => {
    note(each.tried, each.answered)
    await tryRaw(each)
  })

  test.each(PATHS)('$tried: $answered', async (each) => {
    note(each.tried, each.answered)
    await tryRaw(each)
  })

  test.each(REQUESTS)('$tried: $answered', async (each) => {
    note(each.tried, each.answered)
    await tryRaw(each)
  })

  test('none of them left anything', () => stillWell())
})

/** Raw deflate of zeros, cut where bytes end: the same piece may stand in it as often as one likes. */
function zeros(bytes: number): Buffer {
  return deflateRawSync(Buffer.alloc(bytes), { level: 9, finishFlush: constants.Z_FULL_FLUSH })
}

test('10 GB in a gzip of 10 MB', async () => {
  note('10 GB in a gzip of 10 MB', '413 at the first MiB, closed')
  const header = Buffer.from('1f8b0800000000000003', 'hex')
  const piece = zeros(10_000_000)
  const body = Buffer.concat([header, ...Array.from({ length: 1_000 }, () => piece)])
  expect(body.length).toBeLessThan(LIMITS.compressedBytes)
  const head = `POST /v2/echo HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n`
  const bombs = Array.from({ length: 8 }, () => send(Buffer.concat([Buffer.from(head), body])))
  for (const answer of await Promise.all(bombs)) expect(statusesOf(answer)).toEqual([413])
  await stillWell()
})

/** Sends a start, then a drop again and again until the other side ends it. */
async function drip(start: string, drop: string): Promise<string> {
  let came = ''
  const socket = open((piece) => {
    came += piece.toString('latin1')
  }, hasty)
  socket.write(start)
  const dripping = setInterval(() => socket.write(drop), 100)
  await closed(socket)
  clearInterval(dripping)
  return came
}

/** Where a machine is busy a good request may be too slow for who is hasty. */
async function isAnswered(each: Pick<Running, 'port'>): Promise<boolean> {
  return goodRequest(each).then(
    () => true,
    () => false,
  )
}

test.each([
  ['a header now and then, for ever', 'GET /v2 HTTP/1.1\r\nHost: localhost\r\n', 'X-A: b\r\n'],
  [
    'a byte of a body now and then',
    'POST /v2/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n',
    'a',
  ],
  [
    'a chunk now and then',
    'POST /v2/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n',
    '1\r\na\r\n',
  ],
])('slowloris, 500 connections: %s', async (name, start, drop) => {
  note(`slowloris, 500 connections: ${name}`, '408 once headers or the request take too long, closed')
  const answers = Promise.all(Array.from({ length: 500 }, () => drip(start, drop)))
  await eventually('some to be there', async () => (await look(hasty)).connections > 0)
  await eventually('a good request to be answered', () => isAnswered(hasty))
  for (const answer of await answers) expect(statusesOf(answer)).toEqual([408])
  await stillWell(hasty)
})

test('half a request, and half-closed', async () => {
  note('the end of sending within a head or a body', '400, closed')
  note('the end of sending right after a request', 'answered, or taken as gone; closed')
  const start = 'POST /v2/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n'
  for (const bytes of [start, `${start}\r\nab`]) {
    let came = ''
    const socket = connect({ port: running.port, host: '127.0.0.1', allowHalfOpen: true }).on(
      'data',
      (piece) => {
        came += piece
      },
    )
    socket.end(bytes)
    await once(socket, 'end')
    expect(statusesOf(came)).toEqual([400])
    socket.destroy()
  }
  const many = Array.from({ length: 200 }, () => {
    const socket = connect({ port: running.port, host: '127.0.0.1', allowHalfOpen: true })
      .on('error', () => undefined)
      .resume()
    socket.end('GET /v2/wait HTTP/1.1\r\nHost: localhost\r\n\r\n')
    return closed(socket)
  })
  await Promise.all(many)
  await stillWell()
})

test('connections that are reset within requests', async () => {
  note('500 connections reset within their requests', 'nothing; let go')
  await Promise.all(
    Array.from({ length: 500 }, async (_, index) => {
      const socket = open()
      await once(socket, 'connect')
      socket.write(
        'POST /v2/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nabc'.slice(
          0,
          20 + (index % 60),
        ),
      )
      await sleep(index % 50)
      socket.resetAndDestroy()
    }),
  )
  await stillWell()
})

test.each([
  ['nothing', 0],
  ['a KiB now and then', 1_024],
])('answers of 32 MiB of which clients take %s', async (name, bytes) => {
  note(`50 answers of 32 MiB of which clients take ${name}`, 'closed once they are not taken in time')
  const { askedLarge } = await look()
  const sockets = Array.from({ length: 50 }, () => {
    const socket = open().pause()
    socket.write('GET /v2/large HTTP/1.1\r\nHost: localhost\r\n\r\n')
    return socket
  })
  const sipping = setInterval(() => {
    for (const socket of sockets) if (bytes > 0) socket.read(bytes)
  }, 100)
  await eventually('all to be asked', async () => (await look()).askedLarge === askedLarge + 50)
  await goodRequest()
  await stillWell()
  clearInterval(sipping)
  for (const socket of sockets) socket.destroy()
})

test('a flood of requests on one connection', async () => {
  note('100,000 requests on one connection at once', 'the first 64, then 429, closed')
  note('10,000 requests at once that wait, nothing read', 'the first 64, then 429, closed')
  const one = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
  const answers = statusesOf(await send(one('/v2').repeat(100_000)))
  expect(answers.at(-1)).toBe(429)
  expect(answers.slice(0, -1).every((status) => status === 200)).toBe(true)
  const waiting = statusesOf(await send(one('/v2/wait').repeat(10_000)))
  expect(waiting).toEqual([...Array.from({ length: 64 }, () => 200), 429])
  // Of what follows the last answer nothing is kept, also while the connection is there.
  const more = connect({ port: running.port, host: '127.0.0.1', allowHalfOpen: true }).resume()
  await new Promise((resolve) => more.write(one('/v2').repeat(300_000), resolve))
  await eventually('little to be held', async () => holdsLittle(await look(), running))
  more.destroy()
  const sockets = Array.from({ length: 20 }, () => open().pause())
  for (const socket of sockets) socket.write(one('/v2/large').repeat(2_000))
  await stillWell()
  for (const socket of sockets) socket.destroy()
})

test('what follows a request that cannot be read is not answered, what came before is', async () => {
  note('requests, then bytes that are none', 'the answers that are owed, closed')
  const answer = await send(`${'GET /v2/wait HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(3)}NONSENSE\r\n\r\n`)
  expect(statusesOf(answer)).toEqual([200, 200, 200])
  await stillWell()
})

test('10,000 connections that say nothing', async () => {
  note('10,000 idle connections', 'requests beside them are answered')
  const patient = await start(LIMITS)
  try {
    // Fewer where the machine gives a process fewer files.
    const files = Number(execFileSync('sh', ['-c', 'ulimit -n']).toString()) || 100_000
    const count = Math.min(10_000, files - 1_000)
    const sockets: Socket[] = []
    // No more at once than the queue of a port takes.
    while (sockets.length < count) {
      const some = Array.from({ length: 100 }, () => open(() => undefined, patient))
      sockets.push(...some)
      await eventually('them to be taken', async () => (await look(patient)).connections >= sockets.length)
    }
    const { rss } = await look(patient)
    expect(rss).toBeLessThan(600 * MEBIBYTE)
    await goodRequest(patient)
    for (const socket of sockets) socket.destroy()
    await eventually('connections to be gone', async () => (await look(patient)).connections === 0)
    await goodRequest(patient)
    expect(patient.said).toEqual([])
  } finally {
    await stop(patient)
  }
})

test('every case stands in docs/http-abuse.md', async () => {
  const page = await readFile(new URL('../../docs/http-abuse.md', import.meta.url), 'utf8')
  const [own = ''] = page.split('\n## ')
  const table = own.split('\n').filter((line) => line.startsWith('| ') && !/^\| (?:tried|---)/.test(line))
  expect(table).toEqual(rows)
})
