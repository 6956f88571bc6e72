import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import { createGatewayCore } from '../../services/gateway/core/gateway-core.ts'
import type { Claim, KeyedRequest, KeyedRequests } from '../../services/gateway/core/keyed-request.ts'
import { openKeyedRequests } from '../../services/gateway/core/keyed-requests.ts'
import type { GatewayCoreOptions } from '../../services/gateway/core/options.ts'
import type { Answer, Caller, InferenceRequest, Looked, Wanted } from '../../services/gateway/core/request.ts'
import type { RunningCore } from '../../services/gateway/core/running-core.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { readRfc3339 } from '../../shared/sdk/contract/rfc3339.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { lastOfSubject, requestApi } from '../../shared/sdk/jetstream/api.ts'
import { lookIntoRegister } from '../../shared/sdk/jetstream/register.ts'
import { parseHeaderBlock } from '../../shared/sdk/jetstream/stored-message.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { readResult } from '../../shared/sdk/result.ts'
import { latestModels, modelsFolder } from '../kit/models-folder.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { OPEN_CALLER as CALLER } from '../kit/protocol-app.ts'
import { openTcpProxy, type TcpProxy } from '../kit/tcp-proxy.ts'
import { eventually } from '../kit/wait.ts'

let pipeline: Pipeline
let folder: Awaited<ReturnType<typeof modelsFolder>>
const cores: RunningCore[] = []
let abandoned: string[] = []
let problems: string[] = []

beforeAll(async () => {
  folder = await modelsFolder(['gather', 'identity-fp32'])
  await cp(latestModels(), folder.path, { recursive: true })
  const [first, second] = ['1', '2'].map((version) => join(folder.path, 'identity-fp32', version))
  await cp(first ?? '', second ?? '', { recursive: true })
  pipeline = await openPipeline({
    pools: ['default', 'other'],
    models: folder.path,
    topology: { ackWaitMs: 3_000 },
  })
  // What the pool has is known from here on, also while no worker is there.
  await pipeline.startWorker()
  const { models } = await openCore()
  const all = ['flight-delay', 'gather', 'identity-fp32']
  await eventually('all models to be served', () =>
    all.every((model) => models.find('default', model) !== undefined),
  )
})

afterEach(async () => {
  await Promise.all(cores.splice(0).map((core) => core.close()))
  abandoned = []
  problems = []
})

afterAll(async () => {
  await pipeline.close()
  await folder.remove()
})

/** A memory that forgets nothing, for one source and model. */
class Memory implements KeyedRequests {
  readonly told: string[] = []
  readonly claims: Claim[]
  /** @param claims what it answers in turn; the last one again and again */
  constructor(...claims: Claim[]) {
    this.claims = claims
  }
  async isKnown(): Promise<boolean> {
    return this.claims[0]?.kind !== 'new'
  }
  async claim(): Promise<Claim> {
    const claim = this.claims.length > 1 ? this.claims.shift() : this.claims[0]
    if (claim === undefined) throw new Error('nothing is asked with a key here')
    return claim
  }
  async stored(
    _request: KeyedRequest,
    { id }: Claim,
    sequence: number,
    answered: Promise<boolean>,
  ): Promise<void> {
    this.told.push(`stored ${id} ${sequence > 0}`)
    if (await answered) this.told.push(`answered ${id}`)
  }
  async release(_request: KeyedRequest, { id }: Claim): Promise<void> {
    this.told.push(`released ${id}`)
  }
}

async function openCore(
  options: Partial<GatewayCoreOptions> = {},
  connection = pipeline.connection,
): Promise<RunningCore> {
  const core = await createGatewayCore(connection, {
    defaultTimeoutMs: 60_000,
    maxInFlight: 1_000,
    maxInFlightBytes: 1024 ** 2,
    keyedRequests: new Memory(),
    onProblem: (text) => problems.push(text),
    onAbandoned: (model) => abandoned.push(model),
    ...options,
  })
  cores.push(core)
  await eventually('the models to be read', () => core.models.isRead)
  return core
}

const utf8 = new TextEncoder()
const json = (value: object): Uint8Array => utf8.encode(JSON.stringify(value))
const FLIGHT = json({ features: EXAMPLE_FLIGHT })
const numbers = (...data: number[]): Uint8Array =>
  json({ inputs: [{ name: 'x', shape: [data.length / 2, 2], datatype: 'FP32', data }] })
const indices = (...data: number[]): Uint8Array =>
  json({ inputs: [{ name: 'index', shape: [data.length], datatype: 'INT64', data }] })

function request(given: Partial<InferenceRequest> = {}): InferenceRequest {
  return {
    caller: CALLER,
    model: 'flight-delay',
    modelVersion: undefined,
    lane: 'normal',
    data: FLIGHT,
    contentType: 'application/json',
    inferenceHeaderLength: undefined,
    timeoutMs: undefined,
    idempotencyKey: undefined,
    signal: new AbortController().signal,
    ...given,
  }
}

const SYNC: Wanted = { mode: 'sync' }
const LATER: Wanted = { mode: 'async', waitMs: 0 }

const outputsOf = (answer: Answer | Looked): unknown =>
  answer.kind === 'prediction' ? answer.result.outputs.map(({ data }) => [...data]) : answer

async function refusalOf(answer: Promise<unknown>): Promise<Error> {
  return answer.then(
    (value) => {
      throw new Error(`it was answered: ${JSON.stringify(value)}`)
    },
    (thrown: Error) => thrown,
  )
}

/** Ends the workers, so that what is asked waits. */
async function withoutWorkers(act: () => Promise<void>): Promise<void> {
  await pipeline.endWorkers()
  try {
    await act()
  } finally {
    await pipeline.startWorker()
  }
}

async function registerOf(model: string, token: string) {
  const subject = subjects.result(model, token)
  const { outcome } = await lookIntoRegister(pipeline.connection, subject)
  return outcome && readResult(subject, outcome.headers, outcome.body)
}

async function lastEvent(
  model = 'flight-delay',
  lane: 'high' | 'normal' | 'low' = 'normal',
  pool = 'default',
) {
  const copy = await lastOfSubject(
    pipeline.connection,
    STREAMS.features,
    subjects.feature({ pool, model, lane }),
  )
  return copy && parseHeaderBlock(copy.headerBlock)
}

const lookedUntil = (core: RunningCore, handle: string, kind: Looked['kind']): Promise<Looked> =>
  eventually(`the handle to be ${kind}`, async () => {
    const looked = await core.lookUp(handle, CALLER)
    return looked.kind === kind ? looked : undefined
  })

describe('a synchronous request', () => {
  test('gets the prediction of the model, each its own', async () => {
    const core = await openCore()
    const [flight, producer] = [
      await core.infer(request(), SYNC),
      await createProducer({ source: 'sdk', connection: pipeline.connection }),
    ]
    const plain = await producer.request({ model: 'flight-delay', features: EXAMPLE_FLIGHT })
    expect(flight).toMatchObject({ kind: 'prediction', accepted: { model: 'flight-delay', lane: 'normal' } })
    expect(outputsOf(flight)).toEqual('outputs' in plain && plain.outputs.map(({ data }) => [...data]))
    const many = await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        core.infer(request({ model: 'identity-fp32', data: numbers(index, -index) }), SYNC),
      ),
    )
    expect(many.map(outputsOf)).toEqual(many.map((_, index) => [[index, 0 - index]]))
    expect(new Set(many.map((answer) => 'accepted' in answer && answer.accepted.token)).size).toBe(200)
    expect(core.inFlight).toBe(0)
    expect(problems).toEqual([])
    await producer.close()
  })

  test('gets the notice of a dead letter as its answer', async () => {
    const core = await openCore()
    const answer = await core.infer(request({ data: json({ features: { origin: 7 } }) }), SYNC)
    expect(answer).toMatchObject({ kind: 'failure', result: { kind: 'failure', reason: 'schema-mismatch' } })
  })

  test('becomes an event with its deadline, version, trace and attributes, of the source of its key', async () => {
    const core = await openCore()
    await withoutWorkers(async () => {
      const left = new AbortController()
      const before = Date.now()
      const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
      const waiting = core.infer(
        request({
          caller: { ...CALLER, keyId: 'k1', source: 'key/k1' },
          modelVersion: '2',
          timeoutMs: 30_000,
          traceparent,
          tracestate: 'a=b',
          attributes: {
            ...{ id: 'mine', source: 'somebody else', type: 'flight', subject: 'a/b' },
            ...{ time: '2026-01-31T12:00:00Z', extensions: [['ce-tenant', 'blue']] },
          },
          signal: left.signal,
        }),
        SYNC,
      )
      const headers = await eventually('the event', () => lastEvent())
      const header = (name: string): string | undefined => readHeader(headers, name)
      expect(header(HEADERS.id)).toBe('mine')
      expect(header(HEADERS.source)).toBe('key/k1')
      expect(header(HEADERS.type)).toBe('flight')
      expect(header(HEADERS.subject)).toBe('a/b')
      expect(header(HEADERS.time)).toBe('2026-01-31T12:00:00Z')
      expect(header(HEADERS.modelVersion)).toBe('2')
      expect(header(HEADERS.traceparent)).toBe(traceparent)
      expect(header(HEADERS.tracestate)).toBe('a=b')
      expect(header('ce-tenant')).toBe('blue')
      const expiry = readRfc3339(header(HEADERS.expiryTime) ?? '') ?? 0
      // By the broker's clock, which is known to half the time of a question.
      expect(expiry).toBeGreaterThanOrEqual(before + 25_000)
      expect(expiry).toBeLessThanOrEqual(Date.now() + 35_000)
      left.abort(new Error('gone'))
      expect(await refusalOf(waiting)).toMatchObject({ message: 'gone' })
      expect(abandoned).toEqual(['flight-delay'])
    })
  })

  test('ends with its deadline, and its handle gives the one outcome later', async () => {
    const core = await openCore()
    let answer: Answer | undefined
    await withoutWorkers(async () => {
      answer = await core.infer(request({ timeoutMs: 300 }), SYNC)
      expect(answer).toMatchObject({ kind: 'timeout', timeoutMs: 300 })
      expect(answer.kind === 'timeout' && (await core.lookUp(answer.accepted.handle, CALLER))).toMatchObject({
        kind: 'accepted',
      })
    })
    if (answer?.kind !== 'timeout') throw new Error('no timeout')
    const looked = await lookedUntil(core, answer.accepted.handle, 'failure')
    expect(looked).toMatchObject({
      result: { reason: 'deadline-exceeded' },
      accepted: { token: answer.accepted.token },
    })
  })

  test.each([-60_000, 60_000])(
    'gets its answer, and its event its deadline, although the clock of its gateway is %i ms off',
    async (skewMs) => {
      vi.useFakeTimers({ toFake: ['Date'] })
      onTestFinished(() => void vi.useRealTimers())
      const before = Date.now()
      vi.setSystemTime(before + skewMs)
      const core = await openCore()
      const answer = await core.infer(request({ timeoutMs: 30_000 }), SYNC)
      expect(answer.kind === 'failure' ? answer.result.reason : answer.kind).toBe('prediction')
      const own = { expiresAt: new Date(before + 30_000).toISOString() }
      expect(await core.infer(request({ attributes: own }), SYNC)).toMatchObject({ kind: 'prediction' })
      await withoutWorkers(async () => {
        await core.infer(request({ timeoutMs: 20_000 }), { mode: 'async', waitMs: 0 })
        const left = (readRfc3339(readHeader((await lastEvent())!, HEADERS.expiryTime) ?? '') ?? 0) - before
        expect(left).toBeGreaterThan(0)
        expect(left).toBeLessThan(70_000)
      })
    },
  )

  test('ends with the deadline that it gives itself where that is earlier', async () => {
    const core = await openCore()
    await withoutWorkers(async () => {
      const expiresAt = new Date(Date.now() - 1_000).toISOString()
      const answer = await core.infer(request({ timeoutMs: 3_600_000, attributes: { expiresAt } }), SYNC)
      expect(answer).toMatchObject({ kind: 'timeout', timeoutMs: 0 })
    })
  })

  test('gets its answer although no wake-up comes: its event was published by somebody else', async () => {
    const core = await openCore()
    await withoutWorkers(async () => {
      await pipeline.publish({ id: 'twice', headers: { [HEADERS.source]: 'sensor' } })
      const attributes = { id: 'twice', source: 'sensor' }
      const waiting = core.infer(request({ attributes }), SYNC)
      await pipeline.startWorker()
      expect(await waiting).toMatchObject({ kind: 'prediction', result: { id: 'twice' } })
      // Long answered: nobody answers again.
      expect(await core.infer(request({ attributes }), SYNC)).toMatchObject({ kind: 'prediction' })
      await pipeline.endWorkers()
    })
  })

  test('gets its answer although the workers are killed', async () => {
    const core = await openCore()
    await pipeline.endWorkers()
    const doomed = await pipeline.startWorker()
    const waiting = Promise.all(
      Array.from({ length: 300 }, (_, index) =>
        core.infer(request({ model: 'identity-fp32', data: numbers(index, 1) }), SYNC),
      ),
    )
    doomed.kill('SIGKILL')
    await doomed.ended
    await pipeline.startWorker()
    expect((await waiting).map(outputsOf)).toEqual(Array.from({ length: 300 }, (_, index) => [[index, 1]]))
  })
})

describe('a connection that breaks', () => {
  let proxy: TcpProxy

  async function behindProxy(): Promise<RunningCore> {
    proxy = await openTcpProxy(pipeline.broker.port)
    const connection = await pipeline.broker.connect({ url: `nats://127.0.0.1:${proxy.port}` })
    return openCore({}, connection)
  }

  afterEach(() => proxy.close())

  test('costs no request its answer: what was missed is looked for once it is back', async () => {
    const core = await behindProxy()
    await withoutWorkers(async () => {
      const waiting = core.infer(request({ timeoutMs: 120_000, attributes: { id: 'missed' } }), SYNC)
      const headers = await eventually('the event', () => lastEvent())
      const token = readHeader(headers, HEADERS.messageId) ?? ''
      proxy.cut()
      proxy.reset()
      await pipeline.startWorker()
      await eventually('its outcome', () => registerOf('flight-delay', token))
      proxy.heal()
      expect(await waiting).toMatchObject({ kind: 'prediction', accepted: { token } })
      await pipeline.endWorkers()
    })
  })

  test('refuses at the deadline at the latest, at once where it is away for long, and goes on once it is back', async () => {
    const core = await behindProxy()
    const before = await core.infer(request(), SYNC)
    if (before.kind !== 'prediction') throw new Error(before.kind)
    const { handle } = before.accepted
    proxy.cut()
    proxy.reset()
    expect(await refusalOf(core.infer(request({ timeoutMs: 200 }), SYNC))).toMatchObject({
      code: 'broker-unavailable',
    })
    const waiting = refusalOf(core.infer(request({ timeoutMs: 3_600_000 }), SYNC))
    const later = refusalOf(core.infer(request(), LATER))
    expect(await waiting).toMatchObject({ code: 'broker-unavailable' })
    expect(await later).toMatchObject({ code: 'broker-unavailable' })
    for (const act of [core.infer(request({ timeoutMs: 3_600_000 }), SYNC), core.lookUp(handle, CALLER)])
      expect(await refusalOf(act)).toMatchObject({ code: 'broker-unavailable' })
    expect(core.inFlight).toBe(0)
    proxy.heal()
    const answer = await eventually('an answer', () => core.infer(request(), SYNC).catch(() => undefined))
    expect(answer.kind).toBe('prediction')
    await core.drained()
  })
})

describe('an asynchronous request', () => {
  test('is accepted, and found by its handle: accepted, answered, gone; by nobody else', async () => {
    const core = await openCore()
    let handle = ''
    await withoutWorkers(async () => {
      const answer = await core.infer(request({ data: FLIGHT }), LATER)
      if (answer.kind !== 'accepted') throw new Error(answer.kind)
      handle = answer.accepted.handle
      expect(answer.accepted).toMatchObject({ pool: 'default', lane: 'normal', loweredFrom: undefined })
      expect(readHeader((await lastEvent())!, HEADERS.expiryTime)).toBeUndefined()
      expect(await core.lookUp(handle, CALLER)).toMatchObject({ kind: 'accepted', accepted: { handle } })
      expect(await core.lookUp(handle, { ...CALLER, source: 'key/other' })).toEqual({ kind: 'unknown' })
      expect(await core.lookUp(`${handle}A`, CALLER)).toEqual({ kind: 'unknown' })
    })
    const looked = await lookedUntil(core, handle, 'prediction')
    expect(outputsOf(looked)).toEqual(outputsOf(await core.infer(request(), SYNC)))
    await requestApi(pipeline.connection, `STREAM.PURGE.${STREAMS.results}`)
    expect(await core.lookUp(handle, CALLER)).toMatchObject({ kind: 'gone' })
  })

  test('is accepted however fast its outcome is', async () => {
    const core = await openCore()
    const fast = request({ model: 'identity-fp32', data: numbers(1, 2) })
    const answers = await Promise.all(Array.from({ length: 300 }, () => core.infer(fast, LATER)))
    expect(new Set(answers.map(({ kind }) => kind))).toEqual(new Set(['accepted']))
    const looked = answers.map((answer) =>
      lookedUntil(core, 'accepted' in answer ? answer.accepted.handle : '', 'prediction'),
    )
    await Promise.all(looked)
  })

  test('waits as long as it wants to, and no longer', async () => {
    const core = await openCore()
    expect(await core.infer(request(), { mode: 'async', waitMs: 60_000 })).toMatchObject({
      kind: 'prediction',
    })
    await withoutWorkers(async () => {
      expect(await core.infer(request(), { mode: 'async', waitMs: 50 })).toMatchObject({ kind: 'accepted' })
      const wanted: Wanted = { mode: 'async', waitMs: 60_000 }
      expect(await core.infer(request({ timeoutMs: 100 }), wanted)).toMatchObject({
        kind: 'timeout',
        timeoutMs: 100,
      })
    })
  })

  test('is never told to be gone while it is retried, whenever it is looked for', async () => {
    const core = await openCore()
    const kinds = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const answer = await core.infer(request({ model: 'gather', data: indices(1_000_000) }), LATER)
        if (answer.kind !== 'accepted') throw new Error(answer.kind)
        const seen: string[] = []
        const { handle } = answer.accepted
        const look = async (): Promise<boolean> => {
          const { kind } = await core.lookUp(handle, CALLER)
          if (seen.at(-1) !== kind) seen.push(kind)
          return kind !== 'accepted'
        }
        await eventually('an answer', look, { everyMs: 1, seen: () => seen })
        return seen
      }),
    )
    expect(new Set(kinds.map((seen) => seen.join()))).toEqual(new Set(['accepted,failure']))
  })

  test('is never told to be gone to who sent it again for another lane', async () => {
    const core = await openCore()
    const own = {
      model: 'gather',
      data: indices(1_000_000),
      attributes: { id: `lanes-${crypto.randomUUID()}` },
    }
    const first = await core.infer(request(own), LATER)
    const again = await core.infer(request({ ...own, lane: 'low' }), LATER)
    expect(again.accepted).toMatchObject({ duplicate: true, token: first.accepted.token })
    const seen = new Set<string>()
    const look = async (): Promise<boolean> => {
      const { kind } = await core.lookUp(again.accepted.handle, CALLER)
      seen.add(kind)
      return kind !== 'accepted'
    }
    await eventually('an answer', look, { everyMs: 1, seen: () => [...seen] })
    expect([...seen]).toEqual(['accepted', 'failure'])
  })

  test('knows the backlog ahead of it once its lane was looked at', async () => {
    const core = await openCore()
    await eventually('the backlog', async () => {
      const answer = await core.infer(request(), LATER)
      return answer.kind === 'accepted' && answer.accepted.backlogSeconds !== undefined
    })
  })
})

describe('a handle', () => {
  test('is good at every gateway, and at none that signs otherwise', async () => {
    const [one, two] = [await openCore(), await openCore()]
    const stranger = await openCore({ secret: 'quite another secret' })
    const answer = await one.infer(request(), SYNC)
    if (answer.kind !== 'prediction') throw new Error(answer.kind)
    expect(await two.lookUp(answer.accepted.handle, CALLER)).toMatchObject({ kind: 'prediction' })
    expect(await stranger.lookUp(answer.accepted.handle, CALLER)).toEqual({ kind: 'unknown' })
  })

  test('is no other event that has its place in a stream that was made anew', async () => {
    const other = await openPipeline({ models: folder.path })
    try {
      await other.startWorker()
      // The first gateways of a broker: one of them makes the secret of both.
      const [core, beside] = await Promise.all([
        openCore({}, other.connection),
        openCore({}, other.connection),
      ])
      await other.endWorkers()
      const answer = await core.infer(request(), LATER)
      if (answer.kind !== 'accepted') throw new Error(answer.kind)
      const { handle, sequence } = answer.accepted
      for (const each of [core, beside])
        expect(await each.lookUp(handle, CALLER)).toMatchObject({ kind: 'accepted' })
      await requestApi(other.connection, `STREAM.DELETE.${STREAMS.features}`)
      await other.broker.provision()
      expect(await core.infer(request(), LATER)).toMatchObject({ accepted: { sequence } })
      expect(await core.lookUp(handle, CALLER)).toMatchObject({ kind: 'gone' })
    } finally {
      await Promise.all(cores.splice(0).map((core) => core.close()))
      await other.close()
    }
  })
})

describe('what is refused', () => {
  test('a model or version that the pool never had, with the name that is near; never one the caller may not use', async () => {
    const core = await openCore()
    expect(await refusalOf(core.infer(request({ model: 'flight-dely' }), SYNC))).toMatchObject({
      code: 'unknown-model',
      details: { field: 'model', value: '"flight-dely"', remedy: 'Did you mean "flight-delay"?' },
    })
    const caller = { ...CALLER, mayUse: (model: string) => model.startsWith('flight-d') }
    expect(
      (await refusalOf(core.infer(request({ caller, model: 'flight-done' }), SYNC))).message,
    ).not.toContain('gather')
    expect(await refusalOf(core.infer(request({ modelVersion: '77' }), SYNC))).toMatchObject({
      code: 'unknown-model',
      details: { field: 'modelVersion', value: '"77"' },
    })
    expect(
      await refusalOf(core.infer(request({ caller: { ...CALLER, pool: 'other' } }), SYNC)),
    ).toMatchObject({
      code: 'unknown-model',
    })
    expect(await refusalOf(core.infer(request({ caller, model: 'gather' }), SYNC))).toMatchObject({
      status: 403,
      details: { code: 'forbidden', field: 'model', value: '"gather"' },
    })
  })

  test('a timeout or an attribute that cannot be used', async () => {
    const core = await openCore()
    const bad = [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 3_600_001].map((timeoutMs) => ({ timeoutMs }))
    for (const given of bad)
      expect(await refusalOf(core.infer(request(given), SYNC))).toMatchObject({
        code: 'invalid-argument',
        details: { field: 'timeout' },
      })
    const attributes = [
      { expiresAt: 'tomorrow' },
      { id: '' },
      { source: 'a\nb' },
      { source: 'key/abcdefghij' },
      { extensions: [['Nats-Msg-Id', 'x']] as const },
      { extensions: [['ce-id', 'x']] as const },
      { extensions: [['ce-a', 'x\r\nNats-Msg-Id: y']] as const },
    ]
    for (const each of attributes)
      expect(await refusalOf(core.infer(request({ attributes: each }), SYNC))).toMatchObject({
        code: 'invalid-argument',
      })
    expect(await refusalOf(core.infer(request(), { mode: 'async', waitMs: -1 }))).toMatchObject({
      code: 'invalid-argument',
    })
    expect(core.inFlight).toBe(0)
  })

  test('what is more than may be in flight, naming the limit', async () => {
    const core = await openCore({ maxInFlight: 2 })
    await withoutWorkers(async () => {
      const left = new AbortController()
      const waiting = [1, 2].map(() => refusalOf(core.infer(request({ signal: left.signal }), SYNC)))
      expect(core.inFlight).toBe(2)
      expect(await refusalOf(core.infer(request(), SYNC))).toMatchObject({
        status: 503,
        details: { code: 'overloaded', field: 'maxInFlight', value: '2 requests, at most 2 requests' },
      })
      left.abort(new Error('left'))
      await Promise.all(waiting)
      await core.drained()
      expect(core.inFlight).toBe(0)
    })
  })

  test('a lane above the highest of its caller is lowered', async () => {
    const core = await openCore()
    const caller: Caller = { ...CALLER, highestLane: 'low' }
    const answer = await core.infer(request({ caller, lane: 'high' }), SYNC)
    expect(answer).toMatchObject({ kind: 'prediction', accepted: { lane: 'low', loweredFrom: 'high' } })
    if (answer.kind !== 'prediction') throw new Error(answer.kind)
    expect(await core.lookUp(answer.accepted.handle, caller)).toMatchObject({
      accepted: { lane: 'low', loweredFrom: 'high' },
    })
    expect(await core.infer(request({ caller, lane: 'low' }), SYNC)).toMatchObject({
      accepted: { lane: 'low', loweredFrom: undefined },
    })
  })

  test('what waits when the core is closed, and what comes later', async () => {
    const core = await openCore()
    await withoutWorkers(async () => {
      const waiting = refusalOf(core.infer(request(), SYNC))
      await core.close()
      expect(await waiting).toMatchObject({ code: 'closed' })
      expect(await refusalOf(core.infer(request(), SYNC))).toMatchObject({ code: 'closed' })
      expect(await refusalOf(core.lookUp('x', CALLER))).toMatchObject({ code: 'closed' })
      await core.close()
    })
  })

  test('options that cannot be used', async () => {
    for (const options of [
      { defaultTimeoutMs: 0 },
      { maxInFlight: 0.5 },
      { maxInFlightBytes: -1 },
      { secret: 'short' },
    ])
      expect(await refusalOf(openCore(options))).toMatchObject({
        code: 'invalid-argument',
        details: { field: Object.keys(options)[0] },
      })
  })
})

describe('a request with an idempotency key', () => {
  test('is published with the id that its memory gives, which is told where it is', async () => {
    const memory = new Memory({ kind: 'new', id: 'k-1' })
    const core = await openCore({ keyedRequests: memory })
    const answer = await core.infer(request({ idempotencyKey: 'one' }), SYNC)
    expect(answer).toMatchObject({ kind: 'prediction', result: { id: 'k-1' } })
    await core.drained()
    expect(memory.told).toEqual(['stored k-1 true', 'answered k-1'])
  })

  test('gets the answer of before', async () => {
    const first = await (await openCore()).infer(request({ attributes: { id: 'k-2' } }), SYNC)
    if (first.kind !== 'prediction') throw new Error(first.kind)
    const { result } = first
    const core = await openCore({ keyedRequests: new Memory({ kind: 'answered', id: 'k-2', result }) })
    const answer = await core.infer(request({ idempotencyKey: 'two' }), SYNC)
    expect(answer).toMatchObject({
      kind: 'prediction',
      accepted: { token: result.token, sequence: result.eventSequence },
    })
  })

  test('joins the one that runs: in this gateway, and at another', async () => {
    const running: Claim = { kind: 'running', id: 'k-3', sequence: undefined }
    const core = await openCore({ keyedRequests: new Memory({ kind: 'new', id: 'k-3' }, running) })
    await withoutWorkers(async () => {
      const first = core.infer(request({ idempotencyKey: 'three' }), SYNC)
      const headers = await eventually('the event', () => lastEvent())
      const token = readHeader(headers, HEADERS.messageId)
      const joined = core.infer(request({ idempotencyKey: 'three' }), SYNC)
      const elsewhere = await openCore({ keyedRequests: new Memory({ ...running, sequence: 1 }) })
      const other = elsewhere.infer(request({ idempotencyKey: 'three' }), SYNC)
      await pipeline.startWorker()
      for (const answer of await Promise.all([first, joined, other]))
        expect(answer).toMatchObject({ kind: 'prediction', accepted: { token }, result: { id: 'k-3' } })
      await pipeline.endWorkers()
    })
  })

  test('runs for somebody as long as one waits who joined it', async () => {
    const claims = [{ kind: 'new', id: 'k-8' } as const, { kind: 'running', id: 'k-8', sequence: 1 } as const]
    const core = await openCore({ keyedRequests: new Memory(...claims) })
    await withoutWorkers(async () => {
      const [left, stays] = [new AbortController(), new AbortController()]
      const first = refusalOf(core.infer(request({ idempotencyKey: 'eight', signal: left.signal }), SYNC))
      const token = readHeader(await eventually('the event', () => lastEvent()), HEADERS.messageId)
      const joined = core.infer(request({ idempotencyKey: 'eight', signal: stays.signal }), SYNC)
      await new Promise((resolve) => setImmediate(resolve))
      left.abort(new Error('gone'))
      expect(await first).toMatchObject({ message: 'gone' })
      expect(abandoned).toEqual([])
      await pipeline.startWorker()
      expect(await joined).toMatchObject({ kind: 'prediction', accepted: { token } })
      await pipeline.endWorkers()
    })
  })

  test('is another one for another version that is asked for', async () => {
    const connection = await pipeline.broker.connect()
    const keyedRequests = openKeyedRequests(connection)
    const core = await openCore({ keyedRequests }, connection)
    const idempotencyKey = `versions-${crypto.randomUUID()}`
    const fast = { idempotencyKey, model: 'identity-fp32', data: numbers(1, 2) }
    const tokens = new Set<string>()
    for (const modelVersion of ['1', '2', '1', '2']) {
      const answer = await core.infer(request({ ...fast, modelVersion }), SYNC)
      expect(answer).toMatchObject({ result: { modelVersion } })
      tokens.add(answer.accepted.token)
    }
    expect(tokens.size).toBe(2)
    await core.drained()
    keyedRequests.close()
  })

  test('is published by who joined where its gateway never did', async () => {
    const memory = new Memory({ kind: 'running', id: 'k-4', sequence: undefined })
    const core = await openCore({ keyedRequests: memory })
    expect(await core.infer(request({ idempotencyKey: 'four' }), SYNC)).toMatchObject({
      result: { id: 'k-4' },
    })
    await core.drained()
    expect(memory.told).toEqual(['stored k-4 true', 'answered k-4'])
  })

  test('is not called answered where it is to be asked for later', async () => {
    const memory = new Memory({ kind: 'new', id: 'k-8' })
    const core = await openCore({ keyedRequests: memory })
    await withoutWorkers(async () => {
      const wanted = { mode: 'async', waitMs: 0 } as const
      expect(await core.infer(request({ idempotencyKey: 'eight' }), wanted)).toMatchObject({
        kind: 'accepted',
      })
      await core.drained()
      expect(memory.told).toEqual(['stored k-8 true'])
    })
  })

  test('gives its key back where its event is certainly not stored', async () => {
    const memory = new Memory({ kind: 'new', id: 'k-5' })
    const core = await openCore({ keyedRequests: memory, maxInFlightBytes: 1024 ** 3 })
    const data = new Uint8Array(2 * 1024 ** 2)
    expect(await refusalOf(core.infer(request({ idempotencyKey: 'five', data }), SYNC))).toMatchObject({
      code: 'too-large',
    })
    await core.drained()
    expect(memory.told).toEqual(['released k-5'])
    const attributes = { id: 'own' }
    expect(await refusalOf(core.infer(request({ idempotencyKey: 'six', attributes }), SYNC))).toMatchObject({
      code: 'invalid-argument',
      details: { field: 'Idempotency-Key' },
    })
  })

  test('ends with its deadline although its memory never answers', async () => {
    const silent = new Memory()
    silent.claim = () => new Promise(() => undefined)
    const core = await openCore({ keyedRequests: silent })
    expect(
      await refusalOf(core.infer(request({ idempotencyKey: 'seven', timeoutMs: 50 }), SYNC)),
    ).toMatchObject({
      code: 'broker-unavailable',
      details: { field: 'Idempotency-Key' },
    })
    expect(core.inFlight).toBe(0)
  })
})
