import type { NatsConnection } from '@nats-io/transport-node'
import { type FastifyInstance, fastify } from 'fastify'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { addCallers } from '../../services/gateway/http/authorisation.ts'
import {
  type FollowKeysOptions,
  followKeys,
  type KeyFollower,
} from '../../shared/operations/keys/key-follower.ts'
import { encodeApiKey } from '../../shared/operations/keys/key-record.ts'
import { newKeyParts, showKey } from '../../shared/operations/keys/key-text.ts'
import {
  createKey,
  type KeyStore,
  listKeys,
  type NewKey,
  revokeKey,
} from '../../shared/operations/keys/keys.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STORES } from '../../shared/sdk/contract/topology.ts'
import { lastOfSubject, requestApi } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { startTestCluster } from '../kit/cluster.ts'
import { openTcpProxy } from '../kit/tcp-proxy.ts'
import { eventually } from '../kit/wait.ts'
import { runCli } from './cli-process.ts'

let broker: TestBroker
let connection: NatsConnection
let store: KeyStore
let env: NodeJS.ProcessEnv

beforeAll(async () => {
  broker = await startTestBroker()
  await broker.provision()
  connection = await broker.connect()
  store = { connection, window: new PublishWindow(connection) }
  const { prefix } = broker.place
  env = { PELTON_NATS_URL: broker.url, ...(prefix !== undefined && { PELTON_PREFIX: prefix }) }
})
afterAll(async () => {
  store.window.close()
  await broker.stop()
})
beforeEach(() => purge())

const WISH: NewKey = {
  name: 'shop',
  models: ['delay'],
  pool: 'default',
  highestLane: 'normal',
  by: 'ada',
}

async function purge(): Promise<void> {
  await requestApi(connection, `STREAM.PURGE.${STORES.keys}`)
}

/** Puts something under an id as it is. */
async function put(id: string, body: Uint8Array | string): Promise<void> {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  const reply = await store.window.publish({ subject: subjects.apiKey(id), headers: [], body: bytes })
  expect(reply.kind).toBe('stored')
}

/** What the bucket has of a key, as JSON. */
async function storedOf(id: string): Promise<Record<string, unknown>> {
  const copy = await lastOfSubject(connection, STORES.keys, subjects.apiKey(id))
  return JSON.parse(Buffer.from(copy?.body ?? '').toString())
}

/** A broker of a test's own, which it may end. */
async function ownBroker() {
  const own = await startTestBroker()
  onTestFinished(() => own.stop())
  await own.provision()
  const over = await own.connect()
  const window = new PublishWindow(over)
  onTestFinished(() => window.close())
  return { own, over, window }
}

async function follow(given: FollowKeysOptions = {}, over?: NatsConnection): Promise<KeyFollower> {
  const keys = followKeys(over ?? (await broker.connect()), { everyMs: 100, ...given })
  onTestFinished(() => keys.close())
  await keys.ready
  await fresh(keys)
  return keys
}

const fresh = (keys: KeyFollower): Promise<true> => eventually('keys to be confirmed', () => keys.isFresh)

const taken = (keys: KeyFollower, text: string): Promise<unknown> =>
  eventually('a key to be taken', () => keys.find(text))

const refused = (keys: KeyFollower, text: string): Promise<unknown> =>
  eventually('a key to be refused', () => keys.find(text) === undefined)

describe('a key', () => {
  test('is made, listed and revoked; what is kept of it is no secret', async () => {
    const { text, key } = await createKey(store, { ...WISH, quotaClass: 'gold' })
    expect(text).toMatch(new RegExp(`^pelton_${key.id}_`))
    expect(await storedOf(key.id)).toMatchObject({ v: 1, name: 'shop', createdBy: 'ada', quotaClass: 'gold' })
    const secret = text.split('_').slice(2).join('_')
    expect(JSON.stringify(await storedOf(key.id))).not.toContain(secret)
    expect(await listKeys(connection)).toEqual({ keys: [key], problems: [] })

    const { key: revoked, isRevokedNow } = await revokeKey(store, key.id, 'bob')
    expect([isRevokedNow, revoked.revokedBy, revoked.hash]).toEqual([true, 'bob', key.hash])
    expect((await listKeys(connection)).keys).toEqual([revoked])
    expect(await revokeKey(store, 'shop', 'eve')).toEqual({ key: revoked, isRevokedNow: false })
  })

  test('is revoked by a name that only one has, of those that are not revoked', async () => {
    const [one, two] = [await createKey(store, WISH), await createKey(store, WISH)]
    await expect(revokeKey(store, 'shop', 'bob')).rejects.toMatchObject({
      code: 'invalid-argument',
      details: { field: 'key', remedy: expect.stringContaining('pelton keys list') },
    })
    await revokeKey(store, one.key.id, 'bob')
    expect((await revokeKey(store, 'shop', 'bob')).key.id).toBe(two.key.id)
    await expect(revokeKey(store, 'nobody', 'bob')).rejects.toMatchObject({ code: 'invalid-argument' })
    await expect(revokeKey(store, 'aaaaaaaaaa', 'bob')).rejects.toMatchObject({ code: 'invalid-argument' })
  })

  test('is revoked by what leaked of it, and no error repeats that', async () => {
    const { text, key } = await createKey(store, WISH)
    expect(await revokeKey(store, text, 'bob')).toMatchObject({ key: { id: key.id }, isRevokedNow: true })
    const unknown = showKey(newKeyParts())
    const error = await revokeKey(store, unknown, 'bob').catch((thrown: unknown) => String(thrown))
    expect(error).toContain('there is no key')
    expect(error).not.toContain(unknown.split('_').at(-1))
  })

  test('that many revoke at once is revoked by one of them', async () => {
    const { key } = await createKey(store, WISH)
    const by = ['a', 'b', 'c', 'd', 'e']
    const all = await Promise.all(by.map((who) => revokeKey(store, key.id, who)))
    expect(all.filter(({ isRevokedNow }) => isRevokedNow)).toHaveLength(1)
    expect(new Set(all.map((each) => each.key.revokedBy)).size).toBe(1)
  })

  test.each<[string, Partial<NewKey>, string]>([
    ['no name', { name: '' }, 'name'],
    ['a name that cannot be seen', { name: 'a\u200bb' }, 'name'],
    ['a long name', { name: 'n'.repeat(65) }, 'name'],
    ['no models', { models: [] }, 'models'],
    ['too many models', { models: Array.from({ length: 1_001 }, (_each, index) => `m${index}`) }, 'models'],
    ['a model without a name', { models: ['delay', ''] }, 'model'],
    ['no pool', { pool: '' }, 'pool'],
    ['a class that is none', { quotaClass: 'gold class' }, 'quotaClass'],
  ])('with %s is not made', async (_what, change, field) => {
    await expect(createKey(store, { ...WISH, ...change })).rejects.toMatchObject({
      code: 'invalid-argument',
      details: { field },
    })
    expect((await listKeys(connection)).keys).toEqual([])
  })

  test('that a newer Pelton made, and junk, are told, and not written over', async () => {
    const { key } = await createKey(store, WISH)
    await put('newernewer', JSON.stringify({ ...(await storedOf(key.id)), v: 2 }))
    await put('junkjunkju', 'no JSON')
    const { keys, problems } = await listKeys(connection)
    expect(keys).toEqual([key])
    expect(problems).toEqual([
      expect.stringContaining('"newernewer" cannot be read, and it is refused: it has version 2'),
      expect.stringContaining('"junkjunkju" cannot be read, and it is refused: it is no JSON'),
    ])
    await expect(revokeKey(store, 'newernewer', 'bob')).rejects.toMatchObject({ code: 'conflict' })
    await expect(revokeKey(store, 'junkjunkju', 'bob')).rejects.toMatchObject({ code: 'invalid-argument' })
    expect((await storedOf('newernewer')).v).toBe(2)
  })
})

describe('a follower of the keys', () => {
  test('takes a key that was there before, and one that is made later, until each is revoked', async () => {
    const before = await createKey(store, WISH)
    const keys = await follow()
    expect(keys.find(before.text)).toEqual(before.key)
    const later = await createKey(store, { ...WISH, models: 'all' })
    await taken(keys, later.text)
    await revokeKey(store, before.key.id, 'bob')
    await refused(keys, before.text)
    expect(keys.find(later.text)).toEqual(later.key)
    await revokeKey(store, later.key.id, 'bob')
    await refused(keys, later.text)
  })

  test('takes no key but the right one', async () => {
    const [one, two] = [await createKey(store, WISH), await createKey(store, WISH)]
    const keys = await follow()
    const secretOf = (text: string): string => text.split('_').slice(2).join('_')
    for (const wrong of [
      '',
      one.key.id,
      one.key.hash,
      secretOf(one.text),
      ` ${one.text}`,
      `${one.text} `,
      one.text.slice(0, -1),
      one.text.toUpperCase(),
      showKey(newKeyParts()),
      showKey({ id: one.key.id, secret: newKeyParts().secret }),
      showKey({ id: two.key.id, secret: secretOf(one.text) }),
      showKey({ id: one.key.id, secret: one.key.hash.slice(0, 43) }),
    ])
      expect(keys.find(wrong)).toBeUndefined()
    expect(keys.find(one.text)?.id).toBe(one.key.id)
    expect(keys.find(two.text)?.id).toBe(two.key.id)
  })

  test('tells what it cannot read, lets nobody in by it, and takes it once it can be read', async () => {
    const told: string[] = []
    const { text, key } = await createKey(store, WISH)
    await put('junkjunkju', '{}')
    const keys = await follow({ onProblem: (problem) => told.push(problem) })
    expect(told).toEqual([expect.stringContaining('junkjunkju')])
    const record = await storedOf(key.id)
    await put(key.id, JSON.stringify({ ...record, v: 2 }))
    await refused(keys, text)
    expect(told.at(-1)).toMatch(/it has version 2/)
    await put(key.id, encodeApiKey(key))
    await taken(keys, text)
  })

  test('lets nobody in by a key that was removed, also without a word', async () => {
    const [one, two] = [await createKey(store, WISH), await createKey(store, WISH)]
    const keys = await follow()
    await requestApi(connection, `STREAM.PURGE.${STORES.keys}`, { filter: subjects.apiKey(two.key.id) })
    await refused(keys, two.text)
    expect(keys.find(one.text)?.id).toBe(one.key.id)
    await purge()
    await refused(keys, one.text)
    await fresh(keys)
    await taken(keys, (await createKey(store, WISH)).text)
  })

  test('goes on after its broker was away, and takes nothing meanwhile', async () => {
    const { own, over, window } = await ownBroker()
    const { text, key } = await createKey({ connection: over, window }, WISH)
    const keys = await follow({}, await own.connect())
    expect(keys.find(text)).toEqual(key)
    await own.kill()
    await eventually('keys to be no longer confirmed', () => !keys.isFresh)
    expect(await keys.untilFresh(1)).toBe(false)
    const waited = keys.untilFresh(100_000)
    await own.restart()
    expect(await waited).toBe(true)
    expect(keys.find(text)).toEqual(key)
    await revokeKey({ connection: over, window }, key.id, 'bob')
    await refused(keys, text)
  })

  test('takes no key of a bucket that is gone, also where the new one has as many changes', async () => {
    const { own, over, window } = await ownBroker()
    const before = await createKey({ connection: over, window }, WISH)
    const keys = await follow({}, await own.connect())
    expect(keys.find(before.text)).toEqual(before.key)
    await requestApi(over, `STREAM.DELETE.${STORES.keys}`)
    await own.provision()
    const after = await createKey({ connection: over, window }, WISH)
    await taken(keys, after.text)
    expect(keys.find(before.text)).toBeUndefined()
    await fresh(keys)
  })

  test('that is cut off takes no key that was revoked meanwhile', async () => {
    const { text, key } = await createKey(store, WISH)
    const wire = await openTcpProxy(broker.port)
    onTestFinished(() => wire.close())
    const keys = await follow({}, await broker.connect({ url: `nats://127.0.0.1:${wire.port}` }))
    expect(keys.find(text)).toEqual(key)
    wire.cut()
    await revokeKey(store, key.id, 'bob')
    await eventually('keys to be no longer confirmed', () => !keys.isFresh)
    wire.heal()
    expect(await keys.untilFresh(100_000)).toBe(true)
    expect(keys.find(text)).toBeUndefined()
  })

  test('whose server lost its leader is not fresh, whatever that server answers', async () => {
    const cluster = await startTestCluster()
    onTestFinished(() => cluster.stop())
    await cluster.provision()
    const [first, ...others] = cluster.nodes
    const keys = await follow({}, await cluster.connect({ url: first?.directUrl ?? '' }))
    await Promise.all(others.map((node) => node.kill()))
    await eventually('keys to be no longer confirmed', () => !keys.isFresh)
    await Promise.all(others.map((node) => node.start()))
    await fresh(keys)
  })

  test('that is closed says so to who waits', async () => {
    const keys = followKeys(await broker.connect())
    const waiting = keys.untilFresh(100_000)
    await keys.close()
    expect(await waiting).toBe(false)
    expect(keys.isFresh).toBe(false)
  })

  test('of a bucket that is missing says which, and goes on once it is there', async () => {
    const own = await startTestBroker()
    onTestFinished(() => own.stop())
    const told: string[] = []
    const keys = followKeys(await own.connect(), { everyMs: 100, onProblem: (text) => told.push(text) })
    onTestFinished(() => keys.close())
    await expect(keys.ready).rejects.toMatchObject({ code: 'not-provisioned' })
    expect(told).toEqual([expect.stringContaining(STORES.keys)])
    await own.provision()
    await fresh(keys)
  })
})

/** A door with the keys of the broker. */
async function door(keys: KeyFollower): Promise<FastifyInstance> {
  const app = fastify()
  onTestFinished(() => app.close())
  const callerOf = addCallers(app, { keys: () => keys, pool: 'default' })
  app.setErrorHandler((thrown, _request, reply) =>
    reply.code((thrown as { readonly status?: number }).status ?? 503).send({}),
  )
  app.get('/who', (request) => ({ source: callerOf(request).source }))
  return app
}

describe('pelton keys', () => {
  const pelton = (...args: readonly string[]) => runCli(['keys', ...args], { env })

  test('makes a key that opens the door, lists it, and revokes it', async () => {
    const app = await door(await follow())
    const made = await pelton('create', 'shop', '--model', 'delay', 'a.b', '--lane', 'high', '--by', 'ada')
    expect(made).toMatchObject({ code: 0, err: expect.stringContaining('(shop): delay, a.b, pool default') })
    const text = made.out.trimEnd()
    expect(made.out).toBe(`${text}\n`)
    const [, id = '', secret = ''] = /^pelton_([^_]+)_(.+)$/.exec(text) ?? []
    expect(made.err).not.toContain(secret)

    const ask = async (): Promise<number> =>
      (await app.inject({ url: '/who', headers: { authorization: `Bearer ${text}` } })).statusCode
    await eventually('the key to open the door', async () => (await ask()) === 200)

    const listed = await pelton('list')
    expect(listed.out).toMatch(/^ID +NAME +POOL +LANE +MODELS +QUOTA CLASS +CREATED +BY +REVOKED\n/)
    expect(listed.out).toMatch(new RegExp(`\n${id} +shop +default +high +delay, a\\.b +\\S+Z +ada\n$`))
    const [json] = (await pelton('list', '--json')).json()
    expect(json).toMatchObject({ id, name: 'shop', models: ['delay', 'a.b'], highestLane: 'high' })
    for (const output of [listed.out, JSON.stringify(json)])
      for (const hidden of [secret, 'hash', String((await storedOf(id)).hash)])
        expect(output).not.toContain(hidden)

    const revoked = await pelton('revoke', 'shop', '--by', 'bob')
    expect(revoked).toMatchObject({
      code: 0,
      out: '',
      err: expect.stringContaining(`key ${id} (shop) is revoked`),
    })
    await eventually('the key to open nothing', async () => (await ask()) === 401)
    expect(await pelton('revoke', id)).toMatchObject({ code: 0, err: expect.stringContaining('by bob') })
    expect((await pelton('list', '--json')).json()).toMatchObject([{ id, revokedBy: 'bob' }])
  })

  test('prints it as JSON where that is asked for', async () => {
    const args = ['--all-models', '--pool', 'gpu', '--quota-class', 'gold', '--json']
    const { code, out, json } = await pelton('create', 'ops', ...args)
    expect([code, out.trimEnd().split('\n')]).toEqual([0, [expect.any(String)]])
    const expected = { models: 'all', pool: 'gpu', highestLane: 'normal', quotaClass: 'gold' }
    expect(json()).toEqual([expect.objectContaining(expected)])
    expect(json()[0].key).toMatch(/^pelton_/)
    expect(json()[0]).not.toHaveProperty('hash')
  })

  test.each([
    ['no models', ['create', 'shop'], '--all-models'],
    ['some models and all', ['create', 'shop', '--model', 'a', '--all-models'], '--all-models'],
    ['a lane that is none', ['create', 'shop', '--all-models', '--lane', 'top'], 'high, normal, low'],
    ['a name that is none', ['create', ' ', '--all-models'], 'name'],
    ['nobody', ['revoke', 'nobody'], 'there is no key'],
  ])('refuses %s', async (_what, args, said) => {
    const { code, out, err } = await pelton(...args)
    expect([code, out, err]).toEqual([2, '', expect.stringContaining(said)])
  })

  test('says that there are none, and what cannot be read', async () => {
    expect(await pelton('list')).toMatchObject({ code: 0, out: '', err: expect.stringContaining('no keys') })
    await put('junkjunkju', 'junk\u001b[31m')
    expect((await pelton('list')).err).toContain('"junkjunkju" cannot be read')
  })

  test('says at once what a broker without the bucket needs', async () => {
    const own = await startTestBroker()
    onTestFinished(() => own.stop())
    for (const args of [['list'], ['create', 'shop', '--all-models'], ['revoke', 'shop']]) {
      const { code, out, err } = await runCli(['keys', ...args], {
        env: { ...env, PELTON_NATS_URL: own.url },
      })
      expect([code, out, err]).toEqual([1, '', expect.stringContaining('pelton provision')])
    }
  })
})
