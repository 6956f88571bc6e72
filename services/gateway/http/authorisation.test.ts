import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { type FastifyInstance, fastify } from 'fastify'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { KeyFollower } from '../../../shared/operations/keys/key-follower.ts'
import type { ApiKey } from '../../../shared/operations/keys/key-record.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { Refusal } from '../core/refusal.ts'
import type { Caller } from '../core/request.ts'
import { addCallers, type CallerOptions, callersAtOnce, needsKeys } from './authorisation.ts'
import { openListener } from './listener.ts'

const TEXT = `pelton_abcdefgh23_${'A'.repeat(43)}`
const KEY: ApiKey = {
  id: 'abcdefgh23',
  name: 'shop',
  hash: '00'.repeat(32),
  models: ['delay'],
  pool: 'gpu',
  highestLane: 'normal',
  quotaClass: 'gold',
  createdAt: '2026-01-31T12:00:00.000Z',
  createdBy: 'ada',
}

/** Keys as a test has them: the real follower needs a broker, and has its test with one. */
interface Keys extends KeyFollower {
  isFresh: boolean
  readonly known: Map<string, ApiKey>
  /** Ends what waits. */
  turn(isFresh: boolean): void
}

function someKeys(): Keys {
  const known = new Map([[TEXT, KEY]])
  const waiting: (() => void)[] = []
  return {
    known,
    isFresh: true,
    count: 0,
    ready: Promise.resolve(),
    find: (text) => known.get(text),
    untilFresh() {
      return new Promise((resolve) => waiting.push(() => resolve(this.isFresh)))
    },
    turn(isFresh) {
      this.isFresh = isFresh
      for (const end of waiting.splice(0)) end()
    },
    close: () => Promise.resolve(),
  }
}

interface Stage {
  readonly app: FastifyInstance
  readonly keys: Keys
  /** Callers that a route saw. */
  readonly seen: Caller[]
  get(headers?: Record<string, string>, url?: string): Promise<{ status: number; body: Answered }>
}

interface Answered {
  readonly title?: string
  readonly detail?: string
  readonly remedy?: string
  readonly challenge?: string
  readonly code?: string
}

/** A listener that answers what is thrown as it is: how problems are written is another's test. */
function stage(given: Partial<CallerOptions> & { readonly isOpen?: boolean } = {}): Stage {
  const app = fastify()
  onTestFinished(() => app.close())
  app.setErrorHandler((thrown, _request, reply) => {
    if (thrown instanceof Refusal) {
      const { title, message: detail, details } = thrown
      const challenge = details.headers?.['www-authenticate']
      return reply.code(thrown.status).send({ title, detail, challenge, ...details })
    }
    if (thrown instanceof PeltonError) return reply.code(503).send({ code: thrown.code })
    throw thrown
  })
  const keys = someKeys()
  const seen: Caller[] = []
  const { isOpen = false, ...options } = given
  const callerOf = addCallers(app, { keys: isOpen ? undefined : () => keys, pool: 'default', ...options })
  const answer = (request: Parameters<typeof callerOf>[0]): object => {
    seen.push(callerOf(request))
    return {}
  }
  app.get('/asked', answer)
  app.post('/asked', answer)
  app.get('/health', { config: { needsNoKey: true } }, () => ({}))
  app.get('/careless', { config: { needsNoKey: true } }, answer)
  app.get('/docs', () => ({}))
  app.get('/docs/page', () => ({}))
  app.get('/docs-of-others', () => ({}))
  const get: Stage['get'] = async (headers = {}, url = '/asked') => {
    const reply = await app.inject({ url, headers })
    return { status: reply.statusCode, body: reply.json() }
  }
  return { app, keys, seen, get }
}

describe('where a key is needed', () => {
  test.each([
    ['authorization', `Bearer ${TEXT}`],
    ['authorization', `bearer  ${TEXT} `],
    ['x-api-key', TEXT],
  ])('it is taken from %s: %s', async (header, value) => {
    const { get, seen } = stage()
    expect((await get({ [header]: value })).status).toBe(200)
    const [caller] = seen
    expect(caller).toMatchObject({
      keyId: KEY.id,
      source: `key/${KEY.id}`,
      pool: 'gpu',
      highestLane: 'normal',
      quotaClass: 'gold',
    })
    expect(['delay', 'Delay', 'other', ''].map((model) => caller?.mayUse(model))).toEqual([
      true,
      false,
      false,
      false,
    ])
  })

  test('the same key twice is one, and a scheme that is not ours is passed over', async () => {
    const { get } = stage()
    expect((await get({ authorization: `Bearer ${TEXT}`, 'x-api-key': TEXT })).status).toBe(200)
    expect((await get({ authorization: 'Basic YTpi', 'x-api-key': TEXT })).status).toBe(200)
  })

  test('a key for all models may use every name', async () => {
    const { get, keys, seen } = stage()
    keys.known.set(TEXT, { ...KEY, models: 'all' })
    await get({ 'x-api-key': TEXT })
    expect(seen[0]?.mayUse('anything')).toBe(true)
  })

  const OTHER = TEXT.replaceAll('A', 'B')
  test.each<[string, Record<string, string>, string, string]>([
    ['no key', {}, '/asked', 'a key is needed'],
    ['an empty one', { 'x-api-key': '' }, '/asked', 'a key is needed'],
    ['another scheme', { authorization: `Basic ${TEXT}` }, '/asked', 'a key is needed'],
    ['a bare key', { authorization: TEXT }, '/asked', 'a key is needed'],
    ['an unknown one', { authorization: `Bearer ${OTHER}` }, '/asked', 'the key is not accepted'],
    ['something else', { 'x-api-key': 'secret' }, '/asked', 'the key is not accepted'],
    ['two keys', { authorization: `Bearer ${TEXT}`, 'x-api-key': OTHER }, '/asked', 'one key is needed'],
    ['a path that is not there', {}, '/nowhere', 'a key is needed'],
    ['a name of a key in the address', {}, '/asked?api_key=secret', 'a key is needed'],
    ['it in the address', {}, `/asked?x=${TEXT}`, 'a key does not belong in the address'],
    ['it there as well', { 'x-api-key': TEXT }, `/asked?k=${TEXT}`, 'a key does not belong in the address'],
  ])('%s is answered 401, with a challenge and what to do', async (_what, headers, url, title) => {
    const { get, seen } = stage()
    const { status, body } = await get(headers, url)
    expect({ status, title: body.title }).toEqual({ status: 401, title })
    expect(body.challenge).toMatch(/^Bearer realm="pelton"/)
    expect(body.remedy).toMatch(/key/)
    expect(seen).toEqual([])
    for (const key of [TEXT, OTHER, 'secret']) expect(JSON.stringify(body)).not.toContain(key)
  })

  test('a key that only stands in the address is answered with where it belongs', async () => {
    const { body } = await stage().get({}, '/asked?access_token=abc')
    expect(body.detail).toBe('an API key is not taken from the address')
    expect(body.remedy).toContain('Authorization: Bearer')
  })

  test('nothing of a body is read before', async () => {
    const { app } = stage({})
    const parsed: string[] = []
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
      parsed.push(String(body))
      done(null, {})
    })
    const refused = await app.inject({ method: 'POST', url: '/asked', payload: { a: 1 } })
    expect([refused.statusCode, parsed]).toEqual([401, []])
    await app.inject({ method: 'POST', url: '/asked', payload: { a: 1 }, headers: { 'x-api-key': TEXT } })
    expect(parsed).toEqual(['{"a":1}'])
  })

  test('routes that say so need none, and cannot ask for the caller', async () => {
    const { get, seen } = stage()
    expect((await get({}, '/health')).status).toBe(200)
    expect((await get({ 'x-api-key': 'wrong' }, '/health')).status).toBe(200)
    expect(await get({}, '/careless')).toMatchObject({ body: { code: 'internal' } })
    expect(seen).toEqual([])
  })

  test('routes below a path that is open need none, and no others', async () => {
    const { get } = stage({ openBelow: ['/docs'] })
    const statuses = ['/docs', '/docs/page', '/docs/%2e%2e/asked', '/docs/../asked', '/docs-of-others'].map(
      async (url) => (await get({}, url)).status,
    )
    expect(await Promise.all(statuses)).toEqual([200, 200, 401, 401, 401])
  })

  test('the OpenAPI document and its page can be open', async () => {
    const { app } = stage({ openBelow: ['/api'] })
    await app.register(swagger)
    await app.register(swaggerUi, { routePrefix: '/api' })
    for (const url of ['/api', '/api/json', '/api/static/index.html'])
      expect((await app.inject({ url })).statusCode, url).toBeLessThan(400)
    expect((await app.inject({ url: '/asked' })).statusCode).toBe(401)
  })

  test('before there is a connection a request is answered so', async () => {
    const { get } = stage({
      keys: () => {
        throw new PeltonError('broker-unavailable', 'no connection yet')
      },
    })
    expect(await get({ 'x-api-key': TEXT })).toEqual({ status: 503, body: { code: 'broker-unavailable' } })
    expect((await get({}, '/health')).status).toBe(200)
  })
})

describe('while the broker does not confirm what is known of keys', () => {
  test('a good key waits, and is taken once it is confirmed', async () => {
    const { get, keys } = stage()
    keys.isFresh = false
    const waiting = get({ 'x-api-key': TEXT })
    await get({}, '/health')
    keys.turn(true)
    expect((await waiting).status).toBe(200)
  })

  test('one that turns out to be revoked is refused', async () => {
    const { get, keys } = stage()
    keys.isFresh = false
    const waiting = get({ 'x-api-key': TEXT })
    await get({}, '/health')
    keys.known.clear()
    keys.turn(true)
    expect((await waiting).status).toBe(401)
  })

  test('one that is not confirmed in time is answered 503, and so is an unknown one at once', async () => {
    const { get, keys, seen } = stage()
    keys.isFresh = false
    const waiting = get({ 'x-api-key': TEXT })
    expect(await get({ 'x-api-key': 'other' })).toEqual({ status: 503, body: { code: 'broker-unavailable' } })
    keys.turn(false)
    expect(await waiting).toEqual({ status: 503, body: { code: 'broker-unavailable' } })
    expect(seen).toEqual([])
  })
})

describe('a caller that is asked for at once', () => {
  const requestWith = (headers: Record<string, string>): IncomingMessage =>
    Object.assign(new IncomingMessage(new Socket()), { url: '/asked', headers })
  const request = requestWith({ 'x-api-key': TEXT })

  test('is known by its key, and unknown where the key is none or there is none', () => {
    const keys = someKeys()
    const callerOf = callersAtOnce({ keys: () => keys, pool: 'default' })
    expect(callerOf(request)).toMatchObject({ keyId: KEY.id })
    expect([{ 'x-api-key': 'other' }, {}].map((headers) => callerOf(requestWith(headers)))).toEqual([
      undefined,
      undefined,
    ])
  })

  test('is not looked up again for the route of its request', async () => {
    const keys = someKeys()
    const listener = openListener({ host: '127.0.0.1', port: 0, log: pino({ level: 'silent' }) })
    onTestFinished(() => listener.close())
    const callerOf = addCallers(listener.app, { keys: () => keys, pool: 'default' })
    listener.app.post('/asked', (request) => ({ keyId: callerOf(request).keyId }))
    const early = callersAtOnce({ keys: () => keys, pool: 'default' })
    listener.refuseEarly((request) => (early(request) === undefined ? undefined : () => undefined))
    const looked = vi.spyOn(keys, 'find')
    const url = `${await listener.listen()}/asked`
    const ask = (key: string) => fetch(url, { method: 'POST', body: 'a', headers: { 'x-api-key': key } })
    expect(await (await ask(TEXT)).json()).toEqual({ keyId: KEY.id })
    expect(looked).toHaveBeenCalledTimes(1)
    expect((await ask('other')).status).toBe(401)
  })

  test('is unknown while the broker does not confirm its key, and nothing is left behind that could fail', async () => {
    const unhandled: unknown[] = []
    const keep = (reason: unknown): void => void unhandled.push(reason)
    process.on('unhandledRejection', keep)
    onTestFinished(() => void process.off('unhandledRejection', keep))
    const keys = someKeys()
    keys.isFresh = false
    expect(callersAtOnce({ keys: () => keys, pool: 'default' })(request)).toBeUndefined()
    keys.turn(false)
    await turn()
    expect(unhandled).toEqual([])
  })
})

describe('where no key is needed', () => {
  test('whoever asks is `http`, with the pool of the settings, every lane and every model', async () => {
    const { get, seen } = stage({ isOpen: true, pool: 'cpu' })
    expect((await get({ 'x-api-key': 'ignored' })).status).toBe(200)
    expect(seen[0]).toMatchObject({ keyId: undefined, source: 'http', pool: 'cpu', highestLane: 'high' })
    expect(seen[0]?.mayUse('anything')).toBe(true)
  })
})

describe('needsKeys', () => {
  test.each([
    ['127.0.0.1', 'auto', false],
    ['127.0.0.1', 'never', false],
    ['localhost', 'always', true],
    ['0.0.0.0', 'auto', true],
    ['::', 'always', true],
  ] as const)('on %s, %s: %s', (host, wanted, needed) => {
    expect(needsKeys(host, wanted)).toBe(needed)
  })

  test('an address that others reach is never open', () => {
    expect(() => needsKeys('10.0.0.1', 'never')).toThrow(/^invalid-configuration: .*PELTON_GATEWAY_KEYS/)
  })
})
