import { headers, type NatsConnection, PermissionViolationError } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { rightsOf } from '../../shared/operations/rights/rights.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STORES, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { lastOfSubject, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { provision } from '../../shared/sdk/jetstream/provision.ts'
import { eventually } from '../kit/wait.ts'
import { type RightsServer, startRightsServer } from './rights-server.ts'

/** What no gateway may write, each in the stream that would keep it. */
const FORBIDDEN: readonly (readonly [subject: string, stream: string])[] = [
  [subjects.ledger('forged'), STREAMS.ledger],
  [subjects.result('m', 'forged'), STREAMS.results],
  [subjects.deadLetter('m', 'forged'), STREAMS.deadLetters],
  [subjects.retry({ pool: 'p', model: 'm', lane: 'low' }, 'forged'), STREAMS.retries],
  [subjects.startMark('forged'), STORES.starts],
  [subjects.replayRecord('forged'), STORES.replays],
  [subjects.modelRecord('p', 'forged'), STORES.models],
  [subjects.auditFloor(), STORES.models],
  [subjects.apiKey('forged'), STORES.keys],
]

const pulled = (stream: string, filter: string) => ({
  stream_name: stream,
  config: { name: 'pulled', filter_subject: filter, ack_policy: 'none', inactive_threshold: 60e9 },
})
const [models, keys] = [subjects.allPoolRecords(), subjects.apiKeys()]

/** Everything a gateway may send, with bodies that have an answer. */
const MESSAGES: readonly (readonly [subject: string, body: unknown])[] = [
  [subjects.feature({ pool: 'p', model: 'm', lane: 'high' }), {}],
  [subjects.keyedRequest('digest'), {}],
  [subjects.supersededMark('token'), {}],
  ['$JS.API.INFO', {}],
  [`$JS.API.STREAM.INFO.${STREAMS.features}`, {}],
  [`$JS.API.STREAM.INFO.${STREAMS.results}`, {}],
  [`$JS.API.CONSUMER.INFO.${STREAMS.features}.worker-default-high`, {}],
  ...[STREAMS.results, STREAMS.features, STREAMS.retries, STORES.requests, STORES.keys].map(
    (stream) => [`$JS.API.STREAM.MSG.GET.${stream}`, { seq: 1 }] as const,
  ),
  [`$JS.API.CONSUMER.CREATE.${STORES.models}.pulled.${models}`, pulled(STORES.models, models)],
  [`$JS.API.CONSUMER.MSG.NEXT.${STORES.models}.pulled`, { batch: 1, no_wait: true }],
  [`$JS.API.CONSUMER.CREATE.${STORES.keys}.pulled.${keys}`, pulled(STORES.keys, keys)],
  [`$JS.API.CONSUMER.MSG.NEXT.${STORES.keys}.pulled`, { batch: 1, no_wait: true }],
]

describe.each([
  ['accounts', 'an account of its own', {}, true],
  ['operator', 'an account of its own in operator mode', {}, true],
  ['accounts', 'the account of all', { oneAccount: true }, false],
] as const)('a gateway with %s: %s', (mode, _title, options, isWalled) => {
  let server: RightsServer
  let gateway: NatsConnection
  let admin: NatsConnection
  const all: NatsConnection[] = []

  beforeAll(async () => {
    server = await startRightsServer({ rights: rightsOf(options), mode })
    const connect = async (user: string): Promise<NatsConnection> => {
      const connection = await server.connect(user)
      all.push(connection)
      return connection
    }
    gateway = await connect('gateway')
    admin = await connect('admin')
    await provision(admin)
    // Something to be read in each place where a gateway may read.
    const [worker, control] = [await connect('worker'), await connect('control')]
    for (const subject of ['m', 'n'].map((model) => subjects.modelRecord('default', model)))
      await worker.request(subject, '{}')
    await worker.request(subjects.result('m', 'token'), '{}')
    await worker.request(subjects.retry({ pool: 'default', model: 'm', lane: 'low' }, 'token'), '{}')
    await control.request(subjects.apiKey('one'), '{}')
    await control.request(subjects.apiKey('two'), '{}')
  })
  afterAll(async () => {
    await Promise.all(all.map((connection) => connection.close()))
    await server?.stop()
  })

  test('is answered whatever it may ask', async () => {
    for (const [subject, body] of MESSAGES) {
      const answer = await gateway
        // What a pull is answered keeps its own subject.
        .request(subject, JSON.stringify(body), { timeout: 5_000, noMux: true })
        .catch((thrown: unknown) => Promise.reject(new Error(subject, { cause: thrown })))
      expect(answer.json(), subject).not.toHaveProperty('error')
    }
  })

  test(`${isWalled ? 'no' : 'a'} message it sends writes what it may not, by its reply subject`, async () => {
    for (const [reply] of FORBIDDEN)
      for (const [subject, body] of MESSAGES) gateway.publish(subject, JSON.stringify(body), { reply })
    await settled()
    if (isWalled) return expect(await forged()).toEqual([])
    // So the messages above are ones that would.
    await eventually('a forged ledger record', async () =>
      (await forged()).includes(subjects.ledger('forged')),
    )
  })

  test.runIf(isWalled)('no consumer it makes delivers into what it may not write', async () => {
    const targets = [...FORBIDDEN.map(([subject]) => subject), `$JS.API.STREAM.PURGE.${STREAMS.results}`]
    for (const [index, target] of targets.entries())
      for (const [stream, filter] of [
        [STORES.models, models],
        [STORES.keys, keys],
      ] as const) {
        const config = { ...pulled(stream, filter).config, name: `pushed-${index}`, deliver_subject: target }
        const subject = `$JS.API.CONSUMER.CREATE.${stream}.${config.name}.${filter}`
        const created = await gateway.request(subject, JSON.stringify({ stream_name: stream, config }))
        // Into its own stream the server lets no consumer deliver.
        if (target.startsWith(filter.split('.', 2).join('.'))) expect(created.json()).toHaveProperty('error')
        else expect(created.json(), target).not.toHaveProperty('error')
      }
    await settled()
    expect(await forged()).toEqual([])
    expect((await streamInfo(admin, STREAMS.results))?.state.messages).toBe(1)
  })

  test.runIf(isWalled)('no trace of a message it sends goes where it may not write', async () => {
    for (const [reply] of FORBIDDEN) {
      const traced = headers()
      traced.set('Nats-Trace-Dest', reply)
      gateway.publish(subjects.feature({ pool: 'p', model: 'm', lane: 'low' }), '{}', { headers: traced })
    }
    await settled()
    expect(await forged()).toEqual([])
  })

  /** Which of the forbidden places hold something. */
  async function forged(): Promise<readonly string[]> {
    const found: string[] = []
    for (const [subject, stream] of FORBIDDEN)
      if ((await lastOfSubject(admin, stream, subject)) !== undefined) found.push(subject)
    return found
  }

  /** What the gateway sent has arrived: a request behind it is answered. Answers on their way have a moment. */
  async function settled(): Promise<void> {
    await gateway.request(subjects.keyedRequest('last'), '{}', { timeout: 5_000 })
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
})

describe('a user with some lanes', () => {
  let server: RightsServer
  const users = ['orders', 'batch', 'door', 'edge', 'admin'] as const
  const connections = new Map<string, NatsConnection>()
  const refused: string[] = []

  beforeAll(async () => {
    const rights = rightsOf({ producers: ['orders', 'batch:low'], gateways: ['door', 'edge:low,normal'] })
    server = await startRightsServer({ rights, mode: 'accounts' })
    for (const user of users) {
      const connection = await server.connect(user)
      connections.set(user, connection)
      void collect(user, connection)
    }
    await provision(as('admin'))
  })
  afterAll(async () => {
    await Promise.all([...connections.values()].map((connection) => connection.close()))
    await server?.stop()
  })

  test.each([
    ['orders', ['high', 'normal', 'low']],
    ['batch', ['low']],
    ['door', ['high', 'normal', 'low']],
    ['edge', ['normal', 'low']],
  ] as const)('%s publishes to the lanes %j and to no other', async (user, lanes) => {
    for (const lane of ['high', 'normal', 'low'] as const) {
      const subject = subjects.feature({ pool: 'p', model: user, lane })
      if ((lanes as readonly string[]).includes(lane)) {
        expect((await as(user).request(subject, '{}', { timeout: 5_000 })).json()).toHaveProperty('seq')
        continue
      }
      as(user).publish(subject, '{}')
      await eventually(`the refusal of ${subject}`, () => refused.includes(`${user} ${subject}`))
    }
  })

  test.each(['batch', 'edge'] as const)('%s reaches no other lane by a reply subject', async (user) => {
    const reply = subjects.feature({ pool: 'p', model: `by-${user}`, lane: 'high' })
    as(user).publish(subjects.feature({ pool: 'p', model: user, lane: 'low' }), '{}', { reply })
    as(user).publish('$JS.API.INFO', '', { reply })
    await as(user).request('$JS.API.INFO', '', { timeout: 5_000 })
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(await lastOfSubject(as('admin'), STREAMS.features, reply)).toBeUndefined()
  })

  function as(user: string): NatsConnection {
    const connection = connections.get(user)
    if (connection === undefined) throw new Error(`nobody is connected as ${user}`)
    return connection
  }

  async function collect(user: string, connection: NatsConnection): Promise<void> {
    for await (const event of connection.status())
      if (event.type === 'error' && event.error instanceof PermissionViolationError)
        refused.push(`${user} ${event.error.subject}`)
  }
})
