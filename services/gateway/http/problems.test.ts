import fc from 'fast-check'
import { pino } from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { LONGEST_HANDLE } from '../core/handles.ts'
import { Refusal } from '../core/refusal.ts'
import { type GatewayListener, openListener } from './listener.ts'
import { nextRequestId, refusalText, typeFor } from './problems.ts'

const opened: GatewayListener[] = []
const lines: Record<string, unknown>[] = []
const log = pino({ level: 'error' }, { write: (line: string) => void lines.push(JSON.parse(line)) })

function throwing(thrown: unknown, explain?: (thrown: unknown) => unknown): GatewayListener {
  const listener = openListener({ host: '127.0.0.1', port: 0, log, ...(explain && { explain }) })
  opened.push(listener)
  const fail = () => {
    throw thrown
  }
  listener.app.get('/v2/models/:model', fail).get('/events', fail)
  return listener
}

afterEach(async () => {
  lines.splice(0)
  await Promise.all(opened.splice(0).map((each) => each.close()))
})

describe('what is thrown is answered', () => {
  test('a PeltonError has the status of its code, and its error says the same', async () => {
    const details = { field: 'model', value: 'iris', remedy: 'Ask GET /v2.' }
    const { app } = throwing(
      new PeltonError('unknown-model', 'nobody serves it', details, new Error('secret')),
    )
    const answer = await app.inject('/v2/models/iris')
    expect([answer.statusCode, answer.headers['content-type']]).toEqual([404, 'application/json'])
    expect(answer.json()).toEqual({
      type: 'https://pelton.dev/problems/unknown-model',
      title: 'nobody of the pool has ever had this model, or this version of it',
      status: 404,
      detail: 'nobody serves it (model = iris). Ask GET /v2.',
      error: 'nobody serves it (model = iris). Ask GET /v2.',
      code: 'unknown-model',
      instance: expect.stringMatching(
        /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/,
      ),
      ...details,
    })
    expect(answer.headers['retry-after']).toBeUndefined()
  })

  test('what will pass says when to come back', async () => {
    const answer = await throwing(new PeltonError('stream-full', 'full')).app.inject('/v2/models/a')
    expect([answer.statusCode, answer.headers['retry-after']]).toEqual([503, '1'])
  })

  test('a refusal has its own status, words and headers; its error says all', async () => {
    const refusal = new Refusal(429, 'too many requests', 'the quota is used up', {
      ...{ code: 'rate-limited', field: 'quota', value: '100', remedy: 'Wait.' },
      ...{ retryAfterSeconds: 2.2, headers: { 'x-more': 'yes' }, closes: true },
    })
    const answer = await throwing(refusal).app.inject('/v2/models/a')
    expect(answer.json()).toMatchObject({
      ...{ type: 'https://pelton.dev/problems/rate-limited', title: 'too many requests', status: 429 },
      ...{ detail: 'the quota is used up', error: 'the quota is used up (quota = 100). Wait.' },
      ...{ code: 'rate-limited', field: 'quota', value: '100', remedy: 'Wait.' },
    })
    expect(answer.headers).toMatchObject({ 'retry-after': '3', 'x-more': 'yes', connection: 'close' })
  })

  test('a refusal without a code is of no type of its own', async () => {
    const answer = await throwing(new Refusal(410, 'gone', 'it is no longer kept')).app.inject('/events')
    expect(answer.json()).toMatchObject({ type: 'about:blank', status: 410, error: 'it is no longer kept' })
    expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8')
  })

  test.each([new Error('password=hunter2'), 'hunter2', undefined, { statusCode: 200, message: 'hunter2' }])(
    'a defect says nothing of itself, and the log has it by its id: %s',
    async (thrown) => {
      const answer = await throwing(thrown).app.inject('/v2/models/a')
      expect([answer.statusCode, answer.json().code]).toEqual([500, 'internal'])
      expect(answer.body).not.toMatch(/hunter2|at .*\.ts/)
      expect(lines).toMatchObject([{ path: '/v2/models/a', method: 'GET' }])
      expect(answer.json().instance).toBe(`urn:uuid:${String(lines[0]?.requestId)}`)
    },
  )

  test('what the service explains is no defect', async () => {
    const explain = () => new PeltonError('not-provisioned', 'a bucket is missing')
    const answer = await throwing(new Error('10059'), explain).app.inject('/events')
    expect([answer.statusCode, answer.json().code, lines]).toEqual([503, 'not-provisioned', []])
  })

  test.each([
    ['/%zz', 400],
    [`/v2/models/${'m'.repeat(LONGEST_HANDLE + 1)}`, 414],
    ['/v2/nowhere', 404],
  ])('what Fastify refuses has its status: %s', async (url, status) => {
    const answer = await throwing(0).app.inject(url)
    expect([answer.statusCode, answer.json().status]).toEqual([status, status])
    expect(answer.json().error).toBeTypeOf('string')
  })
})

describe('the type of a problem', () => {
  test.each([
    ['/v2', undefined, 'application/json'],
    ['/v2/models', '*/*', 'application/json'],
    ['/v2?x', 'application/json', 'application/json'],
    ['/v2/models', 'application/problem+json', 'application/problem+json; charset=utf-8'],
    ['/v2/a', 'text/html, Application/Problem+JSON;q=0.5', 'application/problem+json; charset=utf-8'],
    ['/v2/a', 'application/problem+json;q=0', 'application/json'],
    ['/v2/a', 'application/problem+json; q=0.000, */*', 'application/json'],
    ['/v2/a', 'application/problem+json; q=0.001', 'application/problem+json; charset=utf-8'],
    ['/v2/models/x/infer?a=b', '*/*', 'application/json'],
    ['/v1/results/x', 'application/json', 'application/problem+json; charset=utf-8'],
    ['/v2beta', undefined, 'application/problem+json; charset=utf-8'],
    ['/events', 'application/json', 'application/problem+json; charset=utf-8'],
  ])('%s, Accept %s: %s', (target, accept, type) => {
    expect(typeFor(target, accept)).toBe(type)
  })
})

test('ids of requests are never the same', () => {
  expect(new Set(Array.from({ length: 1_000 }, nextRequestId)).size).toBe(1_000)
})

test('the text of a refusal is JSON of all its members, whatever stands in them', () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme-ascii' }))
  const maybe = fc.option(text, { nil: undefined })
  const members = fc.record({
    code: maybe,
    field: maybe,
    value: maybe,
    remedy: maybe,
  })
  const later = fc.option(fc.nat(), { nil: undefined })
  fc.assert(
    fc.property(
      fc.integer({ min: 400, max: 599 }),
      text,
      text,
      members,
      later,
      (status, title, message, of, retryAfterMs) => {
        const given = Object.fromEntries(
          Object.entries({ ...of, retryAfterMs }).filter(([, each]) => each !== undefined),
        )
        const about =
          of.field === undefined ? '' : ` (${of.field}${of.value === undefined ? '' : ` = ${of.value}`})`
        const written = JSON.parse(refusalText({ status, title, message, details: given }, 'id'))
        expect(written).toEqual({
          ...{ instance: 'urn:uuid:id', title, status, detail: message, ...given },
          type: of.code === undefined ? 'about:blank' : `https://pelton.dev/problems/${of.code}`,
          error: `${message}${about}${of.remedy === undefined ? '' : `. ${of.remedy}`}`,
        })
      },
    ),
  )
})
