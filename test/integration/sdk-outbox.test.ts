import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { channel } from 'node:diagnostics_channel'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { ClassicLevel } from 'classic-level'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { createNames } from '../../shared/sdk/contract/names.ts'
import { decodeEventData } from '../../shared/sdk/contract/open-inference.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { CHANNELS, type PublishTrace } from '../../shared/sdk/diagnostics.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { type Outbox, type OutboxOptions, openOutbox, type RejectedEvent } from '../../shared/sdk/outbox.ts'
import { startTestBroker, type TestBroker, testPrefix } from '../kit/broker.ts'
import { programArgs } from '../kit/program.ts'
import { eventually } from '../kit/wait.ts'
import { editFeatures, storedFeatures } from './stored-features.ts'

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

let broker: TestBroker
let connection: NatsConnection
let path: string
let outboxes: Outbox[]
let children: ChildProcess[]

beforeAll(async () => {
  broker = await startTestBroker()
  connection = await broker.connect()
})

beforeEach(async () => {
  outboxes = []
  children = []
  path = await mkdtemp(join(tmpdir(), 'pelton-outbox-'))
  await broker.provision()
})

afterEach(async () => {
  for (const child of children)
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
  await Promise.all(outboxes.map((outbox) => outbox.close().catch(() => undefined)))
  await rm(path, { recursive: true, force: true })
  if (await isDown()) await restart()
  await requestApi(connection, `STREAM.DELETE.${STREAMS.features}`)
})

afterAll(() => broker.stop())

async function open(options: Partial<OutboxOptions> = {}): Promise<Outbox> {
  const place = options.connection === undefined ? broker.place : {}
  const outbox = await openOutbox({ path, ...place, source: 'gate/7', ...options })
  outboxes.push(outbox)
  return outbox
}

/** Brings the broker back, and the connection of the test with it. */
async function restart(): Promise<void> {
  await broker.restart()
  await eventually('the connection to be back', () => connection.rtt().then(Boolean, () => false))
}

async function isDown(): Promise<boolean> {
  return Promise.race([broker.exited.then(() => true), sleep(0, false)])
}

/** Opens an outbox while the broker is away. */
async function openAlone(options: Partial<OutboxOptions> = {}): Promise<Outbox> {
  await broker.kill()
  return open({ connectTimeoutMs: 500, ...options })
}

const publishAll = (outbox: Outbox, ids: readonly string[], model = 'm'): Promise<unknown> =>
  Promise.all(ids.map((id) => outbox.publish({ model, id, features: { id } })))
const numbers = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, i) => String(from + i))
const storedIds = async (): Promise<string[]> => (await storedFeatures(connection)).map(({ id }) => id)
const codeOf = (thrown: unknown): unknown => (thrown instanceof PeltonError ? thrown.code : thrown)
const caught = (promise: Promise<unknown>): Promise<PeltonError> =>
  promise.then(
    () => {
      throw new Error('it did not fail')
    },
    (thrown: unknown) => thrown as PeltonError,
  )

async function list(outbox: Outbox): Promise<RejectedEvent[]> {
  const events: RejectedEvent[] = []
  for await (const event of outbox.rejected()) events.push(event)
  return events
}

interface Run {
  readonly child: ChildProcess
  /** `id token` of each event it said to have accepted. */
  readonly accepted: () => string[]
  readonly err: () => string
  readonly ended: Promise<number | NodeJS.Signals>
}

/** Starts a process that publishes through an outbox in `path`; see outbox-process.ts. */
function start(args: readonly (string | number)[], { limitBlocks }: { limitBlocks?: number } = {}): Run {
  const program = programArgs('test/integration/outbox-process')
  const words = [process.execPath, ...program, broker.url, path, ...args.map(String)]
  // `ulimit -f` stands for a disk that is full: writes beyond it fail.
  const child =
    limitBlocks === undefined
      ? spawn(words[0] ?? '', words.slice(1))
      : spawn('bash', ['-c', `ulimit -f ${limitBlocks}; exec "$@"`, 'bash', ...words])
  children.push(child)
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk) => {
    out += chunk
  })
  child.stderr.on('data', (chunk) => {
    err += chunk
  })
  const ended = new Promise<number | NodeJS.Signals>((resolve) =>
    child.once('close', (code, signal) => resolve(signal ?? code ?? 0)),
  )
  return { child, accepted: () => out.split('\n').slice(0, -1), err: () => err, ended }
}

/** What lies in FEATURES, as the process prints it. */
async function storedTokens(): Promise<Set<string>> {
  return new Set((await storedFeatures(connection)).map(({ id, token }) => `${id} ${token}`))
}

/** Opens the folder again and waits until all of it is stored. */
async function finish(): Promise<void> {
  const outbox = await open({ source: 'somebody else' })
  await outbox.flush()
  await outbox.close()
}

describe('a broker that is away', () => {
  test('at the beginning: events are accepted, and sent in order once it is there', async () => {
    const outbox = await openAlone()
    await publishAll(outbox, numbers(300))
    await eventually('a problem of the outbox', async () => (await outbox.stats()).problem !== undefined)
    const before = await outbox.stats()
    expect(before).toMatchObject({ waiting: 300, inFlight: 0, rejected: 0, connected: false, lost: 0 })
    expect(before.problem?.code).toBe('broker-unavailable')
    expect(before.oldestAgeMs).toBeGreaterThan(0)
    await restart()
    await outbox.flush()
    expect(await storedIds()).toEqual(numbers(300))
    expect(await outbox.stats()).toMatchObject({
      ...{ waiting: 0, sizeBytes: 0, connected: true },
      ...{ oldestAgeMs: undefined, problem: undefined },
    })
  })

  test('in the middle: every event is stored, once', async () => {
    const outbox = await open({ ackTimeoutMs: 500 })
    const count = 3_000
    const publishes: Promise<unknown>[] = []
    for (let i = 0; i < count; i++) {
      if (i === 1_000) void broker.kill().then(restart)
      publishes.push(outbox.publish({ model: 'm', id: String(i), features: { i } }))
      if (i % 100 === 0) await sleep(2)
    }
    await Promise.all(publishes)
    await outbox.flush({ timeoutMs: 60_000 })
    expect((await storedIds()).sort((a, b) => Number(a) - Number(b))).toEqual(numbers(count))
  })

  test('with one send at a time, the order of acceptance is kept across it', async () => {
    const outbox = await open({ ackTimeoutMs: 300, maxInFlight: 1 })
    const publishing = publishAll(outbox, numbers(400))
    await eventually('more than 20 stored events', async () => (await storedIds()).length > 20)
    await broker.kill()
    await publishing
    await restart()
    await outbox.flush({ timeoutMs: 60_000 })
    expect(await storedIds()).toEqual(numbers(400))
  })

  test('without streams: events wait until they are made', async () => {
    await requestApi(connection, `STREAM.DELETE.${STREAMS.features}`)
    const outbox = await open()
    await publishAll(outbox, ['1'])
    await eventually(
      'the problem not-provisioned',
      async () => (await outbox.stats()).problem?.code === 'not-provisioned',
    )
    await broker.provision()
    await outbox.flush()
    expect(await storedIds()).toEqual(['1'])
  })

  test('a stream that is full is waited for; where one model fills its share, others overtake it', async () => {
    await editFeatures(connection, { max_msgs_per_subject: 2 })
    const outbox = await open()
    await publishAll(outbox, numbers(6), 'crowded')
    await publishAll(outbox, numbers(2, 100), 'quiet')
    await eventually('4 stored events', async () => (await storedIds()).length === 4)
    expect(await storedIds()).toEqual(['0', '1', '100', '101'])
    expect((await outbox.stats()).waiting).toBe(4)
    await eventually(
      'the problem stream-full',
      async () => (await outbox.stats()).problem?.code === 'stream-full',
    )
    expect(codeOf(await caught(outbox.flush({ timeoutMs: 50 })))).toBe('timeout')
    await editFeatures(connection, { max_msgs_per_subject: -1, discard_new_per_subject: false, max_msgs: 6 })
    await eventually('6 stored events', async () => (await storedIds()).length === 6)
    await editFeatures(connection, { max_msgs: 1_000 })
    await outbox.flush()
    expect(await storedIds()).toEqual(['0', '1', '100', '101', '2', '3', '4', '5'])
  })
})

describe('what is kept', () => {
  test('is the exact message: all datatypes, headers, times, also after a restart', async () => {
    const first = await openAlone({ pool: 'vision' })
    const tensors = {
      model: 'flug verspätung',
      lane: 'high',
      inputs: [
        { name: 'x', datatype: 'FP32', shape: [2, 1], data: new Float32Array([1.5, Number.NaN]) },
        { name: 'n', datatype: 'INT64', shape: [2], data: [1n, -9_223_372_036_854_775_808n] },
        { name: 's', datatype: 'BYTES', shape: [2], data: ['DTW', 'é\n'] },
        { name: 'h', datatype: 'FP16', shape: [1], data: new Uint16Array([0x3c00]) },
        { name: 'u', datatype: 'UINT64', shape: [1], data: [18_446_744_073_709_551_615n] },
      ],
      outputs: ['probability'],
    } as const
    const attributes = {
      subject: 'flight/1',
      time: new Date(0),
      modelVersion: '3',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      replyTo: '_INBOX.somebody',
      deadlineMs: 5_000,
    }
    const earliest = Date.now() + 5_000
    const accepted = [
      await first.publish({ ...tensors, ...attributes, id: 'Ä 1%"', binary: true }),
      await first.publish({ model: 'm', features: { big: 9_007_199_254_740_993n, missing: null } }),
      await first.publish({ model: 'm', data: new Uint8Array([0, 255, 128]), contentType: 'image/png' }),
    ]
    await first.close()
    await sleep(50)
    const second = await open({ source: 'another', pool: 'other', connectTimeoutMs: 500 })
    await restart()
    await second.flush()
    const events = await storedFeatures(connection)
    expect(events.map(({ id, token, source }) => [id, token, source])).toEqual(
      accepted.map(({ id, token }) => [id, token, 'gate/7']),
    )
    const [rich, plain, raw] = events
    expect(rich).toMatchObject({
      route: { pool: 'vision', model: 'flug verspätung', lane: 'high' },
      ...{ modelVersion: '3', replyTo: '_INBOX.somebody', problem: undefined },
    })
    expect(rich?.expiresAt).toBeGreaterThanOrEqual(earliest)
    expect(rich?.expiresAt).toBeLessThan(Date.now() + 5_000) // from when it was accepted, not from when it was sent
    expect(rich && readHeader(rich.headers, HEADERS.time)).toBe('1970-01-01T00:00:00.000Z')
    expect(rich && readHeader(rich.headers, HEADERS.messageId)).toBe(accepted[0]?.token)
    const data = decodeEventData(
      rich?.contentType,
      rich?.inferenceHeaderLength,
      rich?.body ?? new Uint8Array(),
    )
    expect(data.kind === 'tensors' && data.inputs.map(({ name, data }) => [name, [...data]])).toEqual([
      ['x', [1.5, Number.NaN]],
      ['n', [1n, -9_223_372_036_854_775_808n]],
      ['s', ['DTW', 'é\n']],
      ['h', [0x3c00]],
      ['u', [18_446_744_073_709_551_615n]],
    ])
    expect(
      plain && decodeEventData(plain.contentType, plain.inferenceHeaderLength, plain.body),
    ).toMatchObject({
      features: { big: 9_007_199_254_740_993n, missing: null },
    })
    expect([raw?.contentType, [...(raw?.body ?? [])]]).toEqual(['image/png', [0, 255, 128]])
  })

  test('keeps its place in a trace across a restart', async () => {
    const told: PublishTrace[] = []
    const mark = (trace: unknown): void => {
      told.push(trace as PublishTrace)
      ;(trace as PublishTrace).traceparent = TRACEPARENT
    }
    const beginning = channel(`tracing:${CHANNELS.publish}:start`)
    beginning.subscribe(mark)
    onTestFinished(() => void beginning.unsubscribe(mark))
    const alone = await openAlone()
    await alone.publish({ model: 'm', id: 'traced', features: { x: 1 } })
    expect(told).toMatchObject([{ by: 'outbox', pool: 'default', event: { id: 'traced' } }])
    await alone.close()
    await restart()
    const again = await open()
    await again.flush()
    const [stored] = await storedFeatures(connection)
    expect(stored?.headers.get(HEADERS.traceparent)).toBe(TRACEPARENT)
    expect(told).toHaveLength(1)
  })

  test('is refused where it cannot be sent, before anything is written', async () => {
    const outbox = await open()
    const unfit = [
      outbox.publish({ model: 'm', id: 'a\nb', features: {} }),
      outbox.publish({ model: 'm', inputs: [{ name: 'x', datatype: 'FP32', shape: [3], data: [1] }] }),
    ]
    expect((await Promise.all(unfit.map(caught))).map(codeOf)).toEqual([
      'invalid-argument',
      'schema-mismatch',
    ])
    await eventually('the outbox to be connected', async () => (await outbox.stats()).connected)
    const large = { model: 'm', data: new Uint8Array(1024 ** 2) }
    expect(codeOf(await caught(outbox.publish(large)))).toBe('too-large')
    expect(await outbox.stats()).toMatchObject({ waiting: 0, rejected: 0, sizeBytes: 0 })
  })
})

describe('a process that is killed', () => {
  test.each([
    ['before a write', 'write', 4],
    ['after a write', 'written', 4],
    ['before a send', 'send', 30],
    ['between the broker’s word and taking the event out', 'stored', 1],
    ['there, later', 'stored', 57],
  ])('%s loses nothing it has accepted', async (_when, step, n) => {
    const run = start(['a', 200, step, n])
    expect(await run.ended).toBe('SIGKILL')
    await finish()
    const stored = await storedTokens()
    expect(run.accepted().filter((line) => !stored.has(line))).toEqual([])
    const ids = await storedIds()
    expect(ids.length).toBe(new Set(ids).size) // the second copies fell into the duplicate window
    expect(ids.length).toBeGreaterThanOrEqual(run.accepted().length)
  })

  test('again and again, at any time, loses nothing it has accepted', async () => {
    const accepted: string[] = []
    const rounds = 8
    for (let round = 0; round < rounds; round++) {
      const run = start([`r${round}`, 1_000_000])
      const enough = 20 + round * 60
      await eventually(
        'enough accepted events, or the end of the process',
        () => run.accepted().length >= enough || run.child.exitCode !== null,
      )
      await sleep(round * 3)
      run.child.kill('SIGKILL')
      expect(await run.ended, run.err()).toBe('SIGKILL')
      accepted.push(...run.accepted())
    }
    await finish()
    const stored = await storedTokens()
    expect(accepted.length).toBeGreaterThan(rounds * 20)
    expect(accepted.filter((line) => !stored.has(line))).toEqual([])
    const ids = await storedIds()
    expect(ids.length).toBe(new Set(ids).size)
  })

  test('and comes back after the duplicate window: a second copy of the same token is stored', async () => {
    await editFeatures(connection, { duplicate_window: 200e6 })
    expect(await start(['a', 1, 'stored', 1]).ended).toBe('SIGKILL')
    const info = async () => (await storedFeatures(connection)).length
    await eventually('one stored event', async () => (await info()) === 1)
    await sleep(600)
    await finish()
    const [one, two] = await storedFeatures(connection)
    expect([one?.id, two?.id, await info()]).toEqual(['a-0', 'a-0', 2])
    expect(one?.token).toBe(two?.token)
    expect([...(one?.headers ?? [])]).toEqual([...(two?.headers ?? [])])
  })

  test('a disk that is full refuses, and what was accepted before is kept', async () => {
    await broker.kill()
    const run = start(['a', 400, '', 1, 20_000], { limitBlocks: 2_000 })
    expect(await run.ended).toBe(3)
    expect(run.err()).toMatch(
      /outbox-unusable: the outbox cannot be written any more .*Make room on the disk/,
    )
    expect(run.accepted().length).toBeGreaterThan(10)
    await restart()
    await finish()
    const stored = await storedTokens()
    expect(run.accepted().filter((line) => !stored.has(line))).toEqual([])
  })
})

describe('a full outbox', () => {
  test.each([
    ['events', { maxEvents: 3 }, 'maxEvents', '3'],
    ['bytes', { maxBytes: 3_000 }, 'maxBytes', '3000'],
  ])('refuses, naming the limit of %s and what to do', async (_what, limits, field, value) => {
    const outbox = await openAlone(limits)
    await eventually('a problem of the outbox', async () => (await outbox.stats()).problem !== undefined)
    const results = await Promise.allSettled(
      numbers(8).map((id) => outbox.publish({ model: 'm', id, data: new Uint8Array(300) })),
    )
    const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
    const kept = results.length - refused.length
    expect(kept).toBeGreaterThan(0)
    expect(refused.length).toBeGreaterThan(0)
    expect(new Set(refused.map(codeOf))).toEqual(new Set(['outbox-full']))
    expect(refused[0].details).toMatchObject({ field, value })
    expect(refused[0].message).toMatch(/no connection to the broker.*whenFull: 'wait'/s)
    expect((await outbox.stats()).waiting).toBe(kept)
    await restart()
    await outbox.flush()
    await outbox.publish({ model: 'm', id: 'later', features: {} })
  })

  test('lets the caller wait, in order, until the broker has taken some', async () => {
    const outbox = await openAlone({ maxEvents: 2, whenFull: 'wait' })
    const done: string[] = []
    const publishes = numbers(6).map(async (id) => {
      await outbox.publish({ model: 'm', id, features: {} })
      done.push(id)
    })
    await eventually('both to be done', () => done.length === 2)
    const giveUp = new AbortController()
    const given = caught(outbox.publish({ model: 'm', id: 'given up', features: {} }, giveUp))
    const reason = new Error('enough')
    giveUp.abort(reason)
    expect(await given).toBe(reason)
    expect(done).toEqual(['0', '1'])
    await restart()
    await Promise.all(publishes)
    await outbox.flush()
    expect(done).toEqual(numbers(6))
    expect(await storedIds()).toEqual(numbers(6))
  })

  test('says at once that an event is larger than it ever holds', async () => {
    const outbox = await open({ maxBytes: 1_000, whenFull: 'wait' })
    const thrown = await caught(outbox.publish({ model: 'm', data: new Uint8Array(1_000) }))
    expect([codeOf(thrown), thrown.details.field]).toEqual(['too-large', 'maxBytes'])
  })

  test('those who wait learn that it was closed', async () => {
    const outbox = await openAlone({ maxEvents: 1, whenFull: 'wait' })
    await publishAll(outbox, ['1'])
    const waiting = caught(outbox.publish({ model: 'm', features: {} }))
    await outbox.close()
    expect(codeOf(await waiting)).toBe('closed')
    expect(codeOf(await caught(outbox.publish({ model: 'm', features: {} })))).toBe('closed')
    expect(codeOf(await caught(outbox.flush()))).toBe('closed')
  })
})

describe('what the broker can never take', () => {
  test('is set aside, told, kept across a restart, and does not stop the others', async () => {
    const told: RejectedEvent[] = []
    const outbox = await openAlone({ onRejected: (event) => told.push(event) })
    await publishAll(outbox, ['1'])
    const body = new Uint8Array(1024 ** 2 + 5).fill(7)
    const { position, token } = await outbox.publish({ model: 'big', id: 'large', data: body })
    await publishAll(outbox, ['2'])
    await restart()
    await outbox.flush()
    expect(await storedIds()).toEqual(['1', '2'])
    expect(told).toHaveLength(1)
    expect(told[0]).toMatchObject({ position, token, id: 'large', model: 'big', code: 'too-large' })
    expect(told[0]?.description).toMatch(/at most \d+ are taken.*max_payload/)
    const { sizeBytes } = await outbox.stats()
    expect(sizeBytes).toBeGreaterThan(body.length)
    await outbox.close()

    const again = await open()
    expect(await again.stats()).toMatchObject({ waiting: 0, rejected: 1, sizeBytes })
    const [kept] = await list(again)
    expect(Buffer.from(kept?.body ?? []).equals(body)).toBe(true)
    expect(kept?.headers).toContainEqual([HEADERS.messageId, token])
    expect(await again.removeRejected(position + 1)).toBe(false)
    const removals = await Promise.all([again.removeRejected(position), again.removeRejected(position)])
    expect(removals.sort()).toEqual([false, true])
    expect(await again.stats()).toMatchObject({ rejected: 0, sizeBytes: 0 })
    await again.close()
    expect(await (await open()).stats()).toMatchObject({ rejected: 0, sizeBytes: 0, lost: 0 })
  })

  test('can be tried again after the limit was raised', async () => {
    await editFeatures(connection, { max_msg_size: 1_000 })
    const outbox = await open()
    const { position } = await outbox.publish({ model: 'm', id: 'large', data: new Uint8Array(900) })
    await outbox.flush()
    expect((await list(outbox)).map(({ id, code }) => [id, code])).toEqual([['large', 'too-large']])
    await editFeatures(connection, { max_msg_size: 100_000 })
    expect(await outbox.retryRejected(position)).toBe(true)
    expect(await outbox.retryRejected(position)).toBe(false)
    await outbox.flush()
    expect(await storedIds()).toEqual(['large'])
    expect(await outbox.stats()).toMatchObject({ waiting: 0, rejected: 0, sizeBytes: 0 })
  })

  test('counts towards the limits, and the refusal says so', async () => {
    const outbox = await openAlone({ maxEvents: 1 })
    const { position } = await outbox.publish({ model: 'm', data: new Uint8Array(1024 ** 2) })
    await restart()
    await outbox.flush()
    expect((await caught(outbox.publish({ model: 'm', features: {} }))).message).toMatch(
      /1 of its events are rej/,
    )
    await outbox.removeRejected(position)
    await outbox.publish({ model: 'm', features: {} })
  })
})

describe('a subject whose publishes are never answered', () => {
  /** A server whose user `limited` may publish events of two models only; whoever says nothing is `admin`. */
  async function startLimited(): Promise<TestBroker> {
    const { subject } = createNames(testPrefix())
    const models = ['a', 'b'].map((model) => `"${subject(`features.default.${model}.>`)}"`)
    const allowed = [...models, '"$JS.API.>"'].join(', ')
    const config = `
authorization { users: [
  { user: admin, password: secret },
  { user: limited, password: secret,
    permissions: { publish: [${allowed}], subscribe: "_INBOX.>" } } ] }
no_auth_user: admin`
    const limited = await startTestBroker({ config })
    onTestFinished(() => limited.stop())
    await limited.provision()
    return limited
  }

  test('keeps nothing from the others, and is named', async () => {
    const limited = await startLimited()
    const place = { ...limited.place, user: 'limited', password: 'secret', ackTimeoutMs: 500 }
    const outbox = await open(place)
    await publishAll(outbox, numbers(5), 'x')
    await publishAll(outbox, numbers(5, 10), 'y')
    await publishAll(outbox, numbers(5, 20), 'a')
    await publishAll(outbox, numbers(5, 30), 'x')
    await publishAll(outbox, numbers(5, 40), 'b')

    const own = await limited.connect()
    const stored = async (): Promise<string[]> => (await storedFeatures(own)).map(({ id }) => id)
    await eventually('10 stored events', async () => (await stored()).length === 10)
    expect(new Set(await stored())).toEqual(new Set([...numbers(5, 20), ...numbers(5, 40)]))
    await eventually('a problem of the outbox', async () => (await outbox.stats()).problem !== undefined)
    await publishAll(outbox, numbers(500, 100), 'a')
    await eventually('510 stored events', async () => (await stored()).length === 510)
    const { waiting, problem } = await outbox.stats()
    expect(waiting).toBe(15)
    expect(problem).toMatchObject({ code: 'broker-unavailable' })
    expect(problem?.message).toMatch(/features\.default\.[xy]\.normal/)
  })
})

describe('the folder', () => {
  /** A folder with forty events in it, closed. */
  async function filled(): Promise<void> {
    const outbox = await openAlone()
    for (const id of numbers(40)) await outbox.publish({ model: 'm', id, data: new Uint8Array(3_000) })
    await outbox.close()
  }
  async function edit(file: RegExp, change: (bytes: Buffer) => Buffer | undefined): Promise<void> {
    const name = (await readdir(path)).find((entry) => file.test(entry)) ?? ''
    const changed = change(await readFile(join(path, name)))
    if (changed === undefined) await rm(join(path, name))
    else await writeFile(join(path, name), changed)
  }

  test('is open once: in this process, and in another', async () => {
    await open()
    const thrown = await caught(open())
    expect(codeOf(thrown)).toBe('outbox-unusable')
    expect(thrown.message).toMatch(/has the folder open.*a folder of its own/s)
    expect(codeOf(await caught(open({ repair: true })))).toBe('outbox-unusable')
    const run = start(['a', 1])
    expect(await run.ended).toBe(1)
    expect(run.err()).toContain(
      'outbox-unusable: another outbox, of this process or another, has the folder open',
    )
  })

  test('of something else is refused and left alone', async () => {
    await writeFile(join(path, 'letter.txt'), 'dear')
    expect((await caught(open())).message).toMatch(/holds something else: "letter.txt"/)
    expect(await readdir(path)).toEqual(['letter.txt'])
    await rm(join(path, 'letter.txt'))
    const level = new ClassicLevel(path)
    await level.put('a', 'b')
    await level.close()
    expect((await caught(open())).message).toMatch(/a LevelDB that is no outbox/)
    const file = join(path, 'CURRENT')
    const thrown = await caught(open({ path: file }))
    expect([codeOf(thrown), thrown.details.field]).toEqual(['outbox-unusable', 'path'])
  })

  test.each([
    ['whose log is damaged', /^\d+\.log$/, (bytes: Buffer) => bytes.fill(1, 40_000, 40_010)],
    ['without CURRENT', /^CURRENT$/, () => undefined],
    ['whose CURRENT names nothing', /^CURRENT$/, () => Buffer.from('MANIFEST-999999\n')],
    ['whose manifest is damaged', /^MANIFEST/, (bytes: Buffer) => bytes.fill(1)],
  ])('%s is refused; `repair` keeps what can be read and counts the rest', async (_how, file, change) => {
    await filled()
    await edit(file, change)
    const thrown = await caught(open())
    expect(codeOf(thrown), thrown.message).toBe('outbox-unusable')
    expect(thrown.message).toMatch(/damaged.*repair: true/s)
    expect(codeOf(await caught(open()))).toBe('outbox-unusable') // still: nothing was overwritten
    const outbox = await open({ repair: true })
    const { waiting, lost } = await outbox.stats()
    expect(waiting + lost).toBe(40)
    expect(waiting).toBeGreaterThan(8)
    if (file.source.includes('log')) expect(lost).toBeGreaterThan(0)
    await restart()
    await outbox.flush()
    expect(await storedIds()).toHaveLength(waiting)
    await outbox.close()
    expect(await (await open()).stats()).toMatchObject({ waiting: 0, lost: 0 })
  })

  test('whose log lost its end, as after a loss of power, opens with what is there', async () => {
    await filled()
    await edit(/^\d+\.log$/, (bytes) => bytes.subarray(0, bytes.length - 2_000))
    expect(await (await open()).stats()).toMatchObject({ waiting: 39, lost: 0 })
  })
})

test('the folder gives back the space of what was sent', async () => {
  const outbox = await openAlone()
  const data = (): Uint8Array => randomBytes(900_000)
  for (const id of numbers(45)) await outbox.publish({ model: 'm', id, data: data() })
  const sizeBytes = async (): Promise<number> => {
    // A file that was listed may have been merged into another by then.
    const sizeOf = (file: string): Promise<number> =>
      stat(join(path, file)).then(
        ({ size }) => size,
        () => 0,
      )
    const sizes = await Promise.all((await readdir(path)).map(sizeOf))
    return sizes.reduce((sum, size) => sum + size, 0)
  }
  expect(await sizeBytes()).toBeGreaterThan(40e6)
  await restart()
  await outbox.close({ drain: true })
  expect(await sizeBytes()).toBeLessThan(5e6)
})

describe('closing', () => {
  test('with `drain` waits until all is stored, or says how many were not', async () => {
    const outbox = await openAlone()
    await publishAll(outbox, numbers(5))
    const thrown = await caught(outbox.close({ drain: true, timeoutMs: 100 }))
    expect(codeOf(thrown)).toBe('timeout')
    expect(thrown.message).toMatch(/5 events in the outbox were not stored.*also after a restart/s)
    await restart()
    const again = await open()
    await again.close({ drain: true })
    await again.close()
    expect(await storedIds()).toEqual(numbers(5))
    expect(await (await open()).stats()).toMatchObject({ waiting: 0, rejected: 0 })
  })

  test('a shared connection stays open; one that its owner closes keeps events waiting', async () => {
    const shared = await broker.connect()
    const outbox = await open({ connection: shared })
    await publishAll(outbox, ['1'])
    await outbox.close({ drain: true })
    expect(shared.isClosed()).toBe(false)
    const again = await open({ connection: shared })
    await eventually('the outbox to be connected', async () => (await again.stats()).connected)
    await shared.close()
    await eventually('the outbox to be cut off', async () => !(await again.stats()).connected)
    await publishAll(again, ['2'])
    expect((await again.stats()).problem?.message).toMatch(/shared connection was closed/)
    await again.close()
    await finish()
    expect(await storedIds()).toEqual(['1', '2'])
  })
})

test.each([
  ['an empty path', { path: '' }, 'path'],
  ['no source', { source: '' }, 'source'],
  ['a limit of nothing', { maxEvents: 0 }, 'maxEvents'],
  ['a limit in words', { maxBytes: 'many' as never }, 'maxBytes'],
  ['an unknown way', { whenFull: 'drop' as never }, 'whenFull'],
  ['a truth that is none', { sync: 'yes' as never }, 'sync'],
  ['nothing under way', { maxInFlight: 0 }, 'maxInFlight'],
  ['an address beside a connection', { connection: 'here' as never, url: 'nats://x' }, 'url'],
])('openOutbox refuses %s', async (_what, options, field) => {
  const thrown = await caught(open(options))
  expect([codeOf(thrown), thrown.details?.field]).toEqual(['invalid-argument', field])
  expect(await readdir(path)).toEqual([])
})
