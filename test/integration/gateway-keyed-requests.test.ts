import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect } from 'vitest'
import { MOST_ATTEMPTS } from '../../services/gateway/core/key-standing.ts'
import type { Claim } from '../../services/gateway/core/keyed-request.ts'
import { readEntry } from '../../services/gateway/core/request-entry.ts'
import { memoryOf } from '../../services/gateway/core/results-memory.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { keyDigest } from '../../shared/sdk/contract/keyed-id.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STORES } from '../../shared/sdk/contract/topology.ts'
import { lastOfSubject, requestApi } from '../../shared/sdk/jetstream/api.ts'
import { parseHeaderBlock } from '../../shared/sdk/jetstream/stored-message.ts'
import { waitFor } from '../../shared/sdk/wait-for.ts'
import { SOURCE } from '../kit/pipeline.ts'
import { programArgs } from '../kit/program.ts'
import { staged } from '../kit/staged.ts'
import { BAD, GOOD, keyedRequest, MODEL, OTHER, openKeyedStage } from './keyed-stage.ts'

const test = staged(openKeyedStage)

const OTHER_BODY = { status: 422, title: 'Key used for another body' }
const RUNNING = { status: 409, title: 'Still running' }
const FULL = { status: 503, title: 'Too many keyed requests' }

const tokenOf = ({ id }: Pick<Claim, 'id'>): string => eventToken(MODEL, SOURCE, id)
const attemptOf = ({ id }: Pick<Claim, 'id'>): number => Number(id.slice(id.lastIndexOf(':') + 1))

describe.concurrent('a request with an idempotency key', () => {
  test('that comes twice at once, at two gateways, is one event; the answer is that of both', async ({
    stage,
  }) => {
    const [one, other] = [await stage.openGateway(), await stage.openGateway()]
    await stage.startWorker()
    const request = keyedRequest('twice')
    const first = await one.claim(request)
    const both = other.claim(request)
    const sequence = await stage.send(request, first)
    await one.stored(request, first, sequence)
    expect(first.kind).toBe('new')
    const joined = await both
    expect(joined.id).toBe(first.id)
    expect(['running', 'answered']).toContain(joined.kind)
    const result = await waitFor(stage.connection, { model: MODEL, token: tokenOf(first) })
    expect(result).toMatchObject({ kind: 'prediction', id: first.id })
    const again = await other.claim(request)
    expect(again).toMatchObject({ kind: 'answered', id: first.id, result: { token: result.token } })
    expect(await stage.settled(1)).toMatchObject({ waiting: 0 })
  })

  test('is claimed by one of many at the same moment', async ({ stage }) => {
    const gateways = await Promise.all(Array.from({ length: 4 }, () => stage.openGateway()))
    const request = keyedRequest('rush')
    const claims = Array.from({ length: 32 }, async (_item, index) => {
      const gateway = gateways[index % gateways.length]
      const claim = await gateway?.claim(request)
      if (claim?.kind === 'new') await gateway?.stored(request, claim, await stage.send(request, claim))
      return claim
    })
    const kinds = (await Promise.all(claims)).map((claim) => claim?.kind)
    expect(kinds.filter((kind) => kind === 'new')).toHaveLength(1)
    expect(kinds.filter((kind) => kind === 'running')).toHaveLength(31)
  })

  test('says where its event is once that is known', async ({ stage }) => {
    const gateway = await stage.openGateway()
    const request = keyedRequest('position')
    const claim = await gateway.claim(request)
    await gateway.stored(request, claim, 17)
    expect(await gateway.claim(request)).toEqual({ kind: 'running', id: claim.id, sequence: 17 })
  })

  test('keeps its position unless its outcome comes soon', async ({ stage }) => {
    const gateway = await stage.openGateway()
    const sequenceAfter = async (key: string, answered: Promise<boolean>): Promise<number | undefined> => {
      const request = keyedRequest(key)
      await gateway.stored(request, await gateway.claim(request), 17, answered)
      const kept = await readEntry(stage.connection, keyDigest({ model: MODEL, source: SOURCE, key }))
      return kept?.entry?.sequence
    }
    expect(await sequenceAfter('soon', Promise.resolve(true))).toBeUndefined()
    expect(await sequenceAfter('left', Promise.resolve(false))).toBe(17)
    expect(await sequenceAfter('late', new Promise(() => undefined))).toBe(17)
  })

  test('is another one for another model, source or key', async ({ stage }) => {
    const gateway = await stage.openGateway()
    const requests = [
      keyedRequest('k'),
      keyedRequest('k', { model: 'other' }),
      keyedRequest('k', { source: 'key/other' }),
      keyedRequest('k2'),
    ]
    const claims = await Promise.all(requests.map((request) => gateway.claim(request)))
    expect(new Set(claims.map(({ id }) => id)).size).toBe(4)
    expect(claims.map(({ kind }) => kind)).toEqual(['new', 'new', 'new', 'new'])
  })

  test('is refused with another body while it runs, when it is answered, and when only the register knows it', async ({
    stage,
  }) => {
    const gateway = await stage.openGateway()
    const [request, changed] = [keyedRequest('body'), keyedRequest('body', { body: OTHER })]
    const claim = await gateway.claim(request)
    await expect(gateway.claim(changed)).rejects.toMatchObject(OTHER_BODY)
    await gateway.stored(request, claim, 1)
    await expect(gateway.claim(changed)).rejects.toMatchObject(OTHER_BODY)
    await stage.answer(request, claim.id)
    await expect(gateway.claim(changed)).rejects.toMatchObject(OTHER_BODY)
    await stage.expire(request)
    await expect(gateway.claim(changed)).rejects.toMatchObject(OTHER_BODY)
    expect(await gateway.claim(request)).toMatchObject({ kind: 'answered', id: claim.id })
  })

  test('that does not wait is told that it runs, and gets the answer once there is one', async ({
    stage,
  }) => {
    const gateway = await stage.openGateway()
    const request = keyedRequest('async', { mode: 'async' })
    const claim = await gateway.claim(request)
    await expect(gateway.claim(request)).rejects.toMatchObject(RUNNING)
    await gateway.stored(request, claim, 1)
    await expect(gateway.claim(request)).rejects.toMatchObject({
      ...RUNNING,
      details: { retryAfterSeconds: 1, field: 'Idempotency-Key' },
    })
    await stage.answer(request, claim.id)
    expect(await gateway.claim(request)).toMatchObject({ kind: 'answered', id: claim.id })
  })

  test('is free again when its event was refused', async ({ stage }) => {
    const gateway = await stage.openGateway()
    const request = keyedRequest('refused')
    await gateway.release(request, await gateway.claim(request))
    const other = keyedRequest('refused', { body: OTHER })
    expect(await gateway.claim(other)).toMatchObject({ kind: 'new' })
    expect(stage.problems).toEqual([])
  })
})

describe.concurrent('the answer to a request with an idempotency key', () => {
  test('that may be tried again is not held on to; the dead letter of before is marked', async ({
    stage,
  }) => {
    const gateway = await stage.openGateway()
    await stage.startWorker()
    const request = keyedRequest('late')
    const first = await gateway.claim(request)
    await gateway.stored(request, first, await stage.send(request, first, new Date('2020-01-01')))
    expect(await waitFor(stage.connection, { model: MODEL, token: tokenOf(first) })).toMatchObject({
      kind: 'failure',
      reason: 'deadline-exceeded',
    })
    const second = await gateway.claim(request)
    expect(second.kind).toBe('new')
    expect([attemptOf(first), attemptOf(second)]).toEqual([1, 2])
    await gateway.stored(request, second, await stage.send(request, second))
    expect(await waitFor(stage.connection, { model: MODEL, token: tokenOf(second) })).toMatchObject({
      kind: 'prediction',
    })
    expect(await gateway.claim(request)).toMatchObject({ kind: 'answered', id: second.id })
    const mark = await lastOfSubject(
      stage.connection,
      STORES.requests,
      subjects.supersededMark(tokenOf(first)),
    )
    expect(JSON.parse(Buffer.from(mark?.body ?? '').toString())).toMatchObject({ by: tokenOf(second) })
    const ttl = readHeader(parseHeaderBlock(mark?.headerBlock ?? new Uint8Array()), HEADERS.timeToLive)
    expect(ttl).toBe('720h')
  })

  test.for([
    'shed',
    'deadline-exceeded',
    'inference-failed',
    'timed-out',
    'undeliverable',
    'worker-crashed',
  ] as const)('%s makes room for another attempt, also when the entry is gone', async (reason, { stage }) => {
    const gateway = await stage.openGateway()
    const request = keyedRequest(reason)
    const first = await gateway.claim(request)
    await stage.answer(request, first.id, reason)
    await stage.expire(request)
    const second = await gateway.claim(request)
    await stage.answer(request, second.id, reason)
    await stage.expire(request)
    const changed = keyedRequest(reason, { body: OTHER })
    await expect(gateway.claim(changed)).rejects.toMatchObject(OTHER_BODY)
    const third = await gateway.claim(request)
    expect([first, second, third].map(attemptOf)).toEqual([1, 2, 3])
    expect(third.kind).toBe('new')
  })

  test('that would be the same again is held on to, whatever the entry knows', async ({ stage }) => {
    const gateway = await stage.openGateway()
    await stage.startWorker()
    const request = keyedRequest('bad', { body: BAD })
    const claim = await gateway.claim(request)
    await gateway.stored(request, claim, await stage.send(request, claim))
    await waitFor(stage.connection, { model: MODEL, token: tokenOf(claim) })
    const failed = { kind: 'answered', id: claim.id, result: { reason: 'schema-mismatch' } }
    expect(await gateway.claim(request)).toMatchObject(failed)
    await stage.expire(request)
    expect(await gateway.claim(request)).toMatchObject(failed)
  })

  test('is that of one attempt more when many ask again at once', async ({ stage }) => {
    const gateways = await Promise.all(Array.from({ length: 3 }, () => stage.openGateway()))
    const request = keyedRequest('again')
    const first = (await gateways[0]?.claim(request)) as Claim
    await stage.answer(request, first.id, 'shed')
    const claims = Array.from({ length: 12 }, async (_item, index) => {
      const gateway = gateways[index % 3]
      const claim = await gateway?.claim(request)
      if (claim?.kind === 'new') await gateway?.stored(request, claim, 5)
      return claim as Claim
    })
    const all = await Promise.all(claims)
    expect(all.filter(({ kind }) => kind === 'new')).toHaveLength(1)
    expect(new Set(all.map(attemptOf))).toEqual(new Set([2]))
  })

  test('holds after so many attempts, whatever it is', async ({ stage }) => {
    const gateway = await stage.openGateway()
    const request = keyedRequest('never-ending')
    const { id } = await gateway.claim(request)
    const idOf = (attempt: number): string => id.replace(/:1$/, `:${attempt}`)
    for (let attempt = 1; attempt < MOST_ATTEMPTS; attempt++)
      await stage.answer(request, idOf(attempt), 'shed')
    const last = await gateway.claim(request)
    expect(last).toEqual({ kind: 'new', id: idOf(MOST_ATTEMPTS) })
    await stage.answer(request, last.id, 'shed')
    const answered = { kind: 'answered', id: last.id, result: { reason: 'shed' } }
    expect(await gateway.claim(request)).toMatchObject(answered)
    await stage.expire(request)
    expect(await gateway.claim(request)).toMatchObject(answered)
  })

  test('stays that of the last attempt when a later one could not be published', async ({ stage }) => {
    const gateway = await stage.openGateway()
    const request = keyedRequest('no-room')
    const first = await gateway.claim(request)
    await stage.answer(request, first.id, 'shed')
    await gateway.release(request, await gateway.claim(request))
    const second = await gateway.claim(request)
    expect([second.kind, attemptOf(second)]).toEqual(['new', 2])
  })
})

describe.concurrent('what the bucket keeps of a request with an idempotency key', () => {
  test('is of use until the deadline and a minute, or as long as it is set to', async ({ stage }) => {
    const gateway = await stage.openGateway({ withoutDeadlineMs: 7_200_000 })
    const soon = keyedRequest('soon', { deadlineAt: Date.now() + 30_000 })
    const never = keyedRequest('never', { deadlineAt: undefined })
    for (const request of [soon, never]) await gateway.stored(request, await gateway.claim(request), 1)
    const ttlOf = async (request: typeof soon): Promise<number> => {
      const entry = await stage.entryOf(request)
      return Number.parseInt(readHeader(entry?.headers ?? new Map(), HEADERS.timeToLive) ?? '', 10)
    }
    const [short, long] = [await ttlOf(soon), await ttlOf(never)]
    expect(short).toBeGreaterThan(60)
    expect(short).toBeLessThanOrEqual(90)
    expect(long).toBeGreaterThan(7_100)
    expect(long).toBeLessThanOrEqual(7_200)
  })

  test('outlasts RESULTS after a failed attempt: the first attempt is forgotten before the second', async ({
    stage,
  }) => {
    const gateway = await stage.openGateway()
    const request = keyedRequest('memory')
    const first = await gateway.claim(request)
    await stage.answer(request, first.id, 'shed')
    await gateway.claim(request)
    const entry = await stage.entryOf(request)
    const seconds = Number.parseInt(readHeader(entry?.headers ?? new Map(), HEADERS.timeToLive) ?? '', 10)
    const memoryMs = await memoryOf(stage.connection)
    expect(memoryMs).toBe(24 * 3_600_000)
    expect(seconds).toBeGreaterThan((memoryMs ?? 0) / 1_000)
  })

  test('is written over where it is no entry', async ({ stage }) => {
    const gateway = await stage.openGateway()
    const request = keyedRequest('junk')
    const { id } = await gateway.claim(request)
    await stage.expire(request)
    const digest = id.split(':')[1] ?? ''
    const junk = { subject: subjects.keyedRequest(digest), headers: [], body: Buffer.from('{"attempt":"x"}') }
    expect(await stage.window.publish(junk)).toMatchObject({ kind: 'stored' })
    expect(await gateway.claim(request)).toEqual({ kind: 'new', id })
  })

  test('is published by another gateway where the one that claimed it was killed before it did', async ({
    stage,
  }) => {
    const gateway = await stage.openGateway({ adoptAfterMs: 300 })
    const child = spawn(
      process.execPath,
      [...programArgs('test/integration/gateway-claim-process'), stage.broker.url, 'killed', GOOD],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    let out = ''
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString()
    })
    expect(await once(child, 'close')).toEqual([null, 'SIGKILL'])
    const claimed = JSON.parse(out) as Claim
    expect(claimed.kind).toBe('new')
    const other = keyedRequest('killed', { body: OTHER })
    await expect(gateway.claim(other)).rejects.toMatchObject(OTHER_BODY)
    const adopted = await gateway.claim(keyedRequest('killed'))
    expect(adopted).toEqual(claimed)
  })

  test('leaves the one that published late without a say', async ({ stage }) => {
    const [slow, quick] = [await stage.openGateway(), await stage.openGateway({ adoptAfterMs: 100 })]
    const request = keyedRequest('slow')
    const late = await slow.claim(request)
    const adopted = await quick.claim(request)
    expect(adopted).toEqual(late)
    await quick.stored(request, adopted, 3)
    await slow.release(request, late)
    await slow.stored(request, late, 4)
    expect(await slow.claim(request)).toEqual({ kind: 'running', id: late.id, sequence: 3 })
    expect(stage.problems).toEqual([])
  })
})

describe.concurrent('trouble with the broker', () => {
  test('is waited out: each key is claimed once, also where the answer to the claim was lost', async ({
    stage,
  }) => {
    const gateway = await stage.openGateway({ patienceMs: 60_000 })
    await gateway.claim(keyedRequest('before'))
    const requests = Array.from({ length: 40 }, (_item, index) => keyedRequest(`lost-${index}`))
    const claims = requests.map((request) => gateway.claim(request))
    await stage.broker.restart()
    const all = await Promise.all(claims)
    expect(new Set(all.map(({ kind }) => kind))).toEqual(new Set(['new']))
    expect(new Set(all.map(({ id }) => id)).size).toBe(40)
    await Promise.all(
      all.map((claim, index) => gateway.stored(requests[index] as (typeof requests)[0], claim, 9)),
    )
    const again = await Promise.all(requests.map((request) => gateway.claim(request)))
    expect(again).toEqual(all.map(({ id }) => ({ kind: 'running', id, sequence: 9 })))
  })

  test('is told as what it is where the bucket is missing, or the broker', async ({ stage }) => {
    const gateway = await stage.openGateway({ patienceMs: 200 })
    await requestApi(stage.connection, `STREAM.DELETE.${STORES.requests}`)
    await expect(gateway.claim(keyedRequest('nowhere'))).rejects.toMatchObject({ code: 'not-provisioned' })
    await stage.broker.kill()
    await expect(gateway.claim(keyedRequest('away'))).rejects.toMatchObject({ code: 'broker-unavailable' })
  })
})

const small = staged(() => openKeyedStage({ topology: { bucketsMaxBytes: 8_192 } }))

describe('a full bucket', () => {
  small('refuses new keys and says why; what is known is answered, and joined', async ({ stage }) => {
    const gateway = await stage.openGateway()
    const known = keyedRequest('known')
    const claim = await gateway.claim(known)
    await gateway.stored(known, claim, 1)
    const answered = keyedRequest('answered')
    const done = await gateway.claim(answered)
    await stage.answer(answered, done.id)
    await stage.expire(answered)
    const refused = await (async () => {
      for (let count = 0; count < 200; count++) await gateway.claim(keyedRequest(`fill-${count}`))
    })().catch((thrown: unknown) => thrown)
    expect(refused).toMatchObject({ ...FULL, message: expect.stringContaining('pelton-requests') })
    expect(await gateway.claim(known)).toEqual({ kind: 'running', id: claim.id, sequence: 1 })
    expect(await gateway.claim(answered)).toMatchObject({ kind: 'answered', id: done.id })
    const changed = keyedRequest('answered', { body: OTHER })
    await expect(gateway.claim(changed)).rejects.toMatchObject(OTHER_BODY)
  })
})
