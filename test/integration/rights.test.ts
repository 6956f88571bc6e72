import { connect, type NatsConnection, PermissionViolationError } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Role } from '../../shared/operations/rights/table.ts'
import { brokerSettings } from '../../shared/runtime/config.ts'
import { decodeFlow, encodeFlow, type Flow } from '../../shared/sdk/contract/flow.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { provision } from '../../shared/sdk/jetstream/provision.ts'
import { inboxPrefixOf } from '../../shared/sdk/jetstream/publish-window.ts'
import { askServer } from '../../shared/sdk/jetstream/quorum-probe.ts'
import { flowOf } from '../kit/flow.ts'
import { eventually, PATIENT } from '../kit/wait.ts'
import { ACTS, DESTRUCTIVE, HEARD, ROLES } from './rights-acts.ts'
import { FORMS, inStaging } from './rights-forms.ts'

import { type RightsServer, startServerOf } from './rights-server.ts'
import { workAsEachRole } from './rights-work.ts'

describe.each(FORMS)('rights: $title', (form) => {
  let server: RightsServer
  const connections = new Map<Role, NatsConnection>()
  const refusals = new Map<Role, PermissionViolationError[]>()

  beforeAll(async () => {
    server = await startServerOf(form)
    for (const role of ROLES) {
      connections.set(role, await server.connect(form.userOf(role)))
      void collectRefusals(role)
    }
  })
  afterAll(async () => {
    await Promise.all([...connections.values()].map((connection) => connection.close()))
    await server?.stop()
  })

  test('each role does all of its work, and the server refuses nothing', async ({ skip }) => {
    const settings = ROLES.flatMap((role) => Object.keys(envOf(role)))
    const missing = settings.filter((name) => name.startsWith('PELTON_') && !(name in brokerSettings))
    if (missing.length === 0) await workAsEachRole(server, { envOf, loginOf }, form.accounts !== undefined)
    else if (form.isPlain) await provision(as('admin'))
    const lines = (await server.log()).split('\n')
    expect(lines.filter((line) => /violation|authorization/i.test(line))).toEqual([])
    skip(missing.length > 0, `there is no setting ${[...new Set(missing)].join(', ')}`)
  })

  describe.runIf(form.isPlain)('with the streams of Pelton', () => {
    test.each([
      ['admin', STREAMS.results],
      ['control', STREAMS.results],
      ['worker', STREAMS.results],
      ['gateway', STREAMS.results],
      ['subscriber', STREAMS.results],
      ['producer', STREAMS.features],
      ['gateway', STREAMS.features],
    ] as const)('the leader %s goes by is told to it: that of %s', async (role, stream) => {
      expect(await askServer(as(role), `$JS.API.STREAM.INFO.${stream}`)).toBe('well')
    })

    test.each(['producer', 'gateway'] as const)(
      'the leader of the ledger is not told to a %s',
      async (role) => {
        expect(await askServer(as(role), `$JS.API.STREAM.INFO.${STREAMS.ledger}`)).toBe('refused')
      },
    )

    test.each(['producer', 'gateway'] as const)('a wake-up of a worker reaches a %s', async (role) => {
      const inbox = `${inboxPrefixOf(as(role))}.x`
      let heard = 0
      const subscription = as(role).subscribe(inbox, {
        callback: () => {
          heard++
        },
      })
      await as(role).flush()
      as('worker').publish(inbox, 'outcome')
      await eventually('the wake-up', () => heard > 0)
      subscription.unsubscribe()
    })

    test.each(['producer', 'gateway'] as const)(
      'how busy a pool is reaches a %s, and what a reply subject brings there is none of it',
      async (role) => {
        const subject = subjects.flow('default', 'm')
        const heard: (Flow | undefined)[] = []
        const subscription = as(role).subscribe(subject, {
          callback: (_error, { data }) => void heard.push(decodeFlow(data)),
        })
        await as(role).flush()
        as(role).publish('features.default.m.low', '{}', { reply: subject })
        await as(role).flush()
        as('worker').publish(subject, encodeFlow(flowOf()))
        await eventually('the flow', () => heard.some((flow) => flow !== undefined))
        await settled()
        expect(heard.filter((flow) => flow !== undefined)).toEqual([{ ...flowOf(), v: 1 }])
        subscription.unsubscribe()
      },
    )

    test.runIf(form.isWalled)(
      'a reply subject does not let a producer write a ledger record or an outcome',
      async () => {
        const before = [await stored(STREAMS.ledger), await stored(STREAMS.results)]
        const waiting = await stored(STREAMS.features)
        for (const reply of ['ledger.default', 'results.flight-delay.forged'])
          as('producer').publish('features.default.flight-delay.low', '{}', { reply })
        await vi.waitUntil(async () => (await stored(STREAMS.features)) === waiting + 2, PATIENT)
        await settled()
        expect([await stored(STREAMS.ledger), await stored(STREAMS.results)]).toEqual(before)
      },
    )

    test.runIf(form.isWalled)(
      'a reply subject does not let a subscriber have a result delivered into the ledger',
      async () => {
        const before = await stored(STREAMS.ledger)
        const request = (subject: string, body: unknown) =>
          as('subscriber').request(`$JS.API.CONSUMER.${subject}`, JSON.stringify(body), { timeout: 5_000 })
        const common = { filter_subject: 'results.*.*', ack_policy: 'none', inactive_threshold: 60e9 }
        for (const [name, more] of Object.entries({
          pulled: {},
          pushed: { deliver_subject: 'ledger.default' },
        })) {
          const config = { name, ...common, ...more }
          const created = await request(`CREATE.RESULTS.${name}.results.*.*`, {
            stream_name: 'RESULTS',
            config,
          })
          expect(created.json()).not.toHaveProperty('error')
        }
        as('subscriber').publish('$JS.API.CONSUMER.MSG.NEXT.RESULTS.pulled', '{"batch":5}', {
          reply: 'ledger.default',
        })
        expect((await request('INFO.RESULTS.pulled', {})).json()).toMatchObject({
          num_pending: expect.any(Number),
        })
        await settled()
        expect(await stored(STREAMS.ledger)).toBe(before)
      },
    )

    const stored = async (stream: string): Promise<number> =>
      (await streamInfo(as('admin'), stream))?.state.messages ?? Number.NaN

    /** What a stream takes it takes in the order of arrival: a record of ours behind theirs comes after them. */
    async function settled(): Promise<void> {
      const reply = await as('control').request('$KV.pelton-replays.rights-test', '{}', { timeout: 5_000 })
      expect(reply.json()).toHaveProperty('seq')
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  })

  test.each(expected(ACTS, form.acts))('%s may be published to by %j only', async (subject, allowed) => {
    expect(await whoMay((role) => isPublishRefused(role, subject), ROLES)).toEqual(inOrder(allowed))
  })

  test.each(expected(DESTRUCTIVE))('%s is refused to all but %j', async (subject, allowed) => {
    const others = ROLES.filter((role) => !allowed.includes(role))
    expect(await whoMay((role) => isPublishRefused(role, subject), others)).toEqual([])
  })

  test.each(expected(HEARD, form.heard))('%s may be listened to by %j only', async (subject, allowed) => {
    expect(await whoMay((role) => isListeningRefused(role, subject), ROLES)).toEqual(inOrder(allowed))
  })

  const { inboxPrefix } = form.options
  test.runIf(inboxPrefix !== undefined)(
    'replies lie below the prefix of inboxes and nowhere else',
    async () => {
      for (const role of ROLES) {
        const usual = `_INBOX.${form.userOf(role)}.x`
        expect(await whoMay((each) => isListeningRefused(each, usual), ROLES), usual).toEqual([])
        expect(await whoMay((each) => isPublishRefused(each, usual), ROLES), usual).toEqual([])
        const asked = `${inboxPrefix}.${form.userOf(role)}.x`
        expect(await whoMay((each) => isListeningRefused(each, asked), ROLES), asked).toEqual([role])
      }
    },
  )

  test('an answer reaches each role in its own inbox', async () => {
    for (const role of ROLES.filter((each) => each !== 'monitor')) {
      const reply = await as(role).request(form.wire('$JS.API.INFO'), '', { timeout: 5_000 })
      expect(reply.json(), role).toMatchObject({ type: 'io.nats.jetstream.api.v1.account_info_response' })
      expect(reply.json(), role).not.toHaveProperty('error')
    }
  })

  test('strangers do not get in', async () => {
    for (const [who, credentials] of Object.entries(server.strangers)) {
      const refused = connect({ servers: server.url, reconnect: false, ...credentials })
      await expect(refused, who).rejects.toThrow(/authorization|authentication/i)
    }
  })

  const { other } = form
  if (other !== undefined)
    describe('towards the other Pelton', () => {
      const isTheirs = (subject: string): boolean => inStaging(subject) !== subject
      const acts = [ACTS, DESTRUCTIVE].flatMap((table) => Object.keys(table).filter(isTheirs))

      test.each(acts.map((subject) => [other.wire(subject), other.may(subject)] as const))(
        '%s may be published to by %j only',
        async (subject, allowed) => {
          expect(await whoMay((role) => isPublishRefused(role, subject), ROLES)).toEqual(inOrder(allowed))
        },
      )

      test.each(Object.keys(HEARD).filter(isTheirs).map(other.wire))(
        'nobody listens to %s',
        async (subject) => {
          expect(await whoMay((role) => isListeningRefused(role, subject), ROLES)).toEqual([])
        },
      )
    })

  /** Acts as they are in this form, and who may do them. */
  function expected(...tables: readonly Readonly<Record<string, readonly Role[]>>[]) {
    return Object.entries(Object.assign({}, ...tables) as (typeof tables)[number]).map(
      ([subject, allowed]) => [form.wire(subject), allowed] as const,
    )
  }

  function envOf(role: Role): NodeJS.ProcessEnv {
    return { ...server.envOf(form.userOf(role)), ...form.env }
  }

  function loginOf(role: Role) {
    return { ...server.loginOf(form.userOf(role)), ...form.login }
  }

  function as(role: Role): NatsConnection {
    const connection = connections.get(role)
    if (connection === undefined) throw new Error(`nobody is connected as ${role}`)
    return connection
  }

  /** Publishes what no API understands; whatever answers, or nobody, only the server's refusal counts. */
  async function isPublishRefused(role: Role, subject: string): Promise<boolean> {
    as(role).publish(subject, 'x')
    return isRefused(role, 'publish', subject)
  }

  async function isListeningRefused(role: Role, subject: string): Promise<boolean> {
    const subscription = as(role).subscribe(subject, { callback: () => undefined })
    const answer = await isRefused(role, 'subscription', subject)
    subscription.unsubscribe()
    return answer
  }

  /** The server says a refusal before it answers the flush behind the act. It may name a subject of a domain without it. */
  async function isRefused(role: Role, operation: string, subject: string): Promise<boolean> {
    await as(role).flush()
    await new Promise((resolve) => setImmediate(resolve)) // the client hands it on in a turn of its own
    const spellings = [subject, subject.replace('$JS.hub.API.', '$JS.API.')]
    return (refusals.get(role) ?? []).some(
      (refusal) => refusal.operation === operation && spellings.includes(refusal.subject),
    )
  }

  /** Keeps what the server refuses a role on its connection here. */
  async function collectRefusals(role: Role): Promise<void> {
    const collected: PermissionViolationError[] = []
    refusals.set(role, collected)
    for await (const event of as(role).status())
      if (event.type === 'error' && event.error instanceof PermissionViolationError)
        collected.push(event.error)
  }
})

const inOrder = (roles: readonly Role[]): Role[] => ROLES.filter((role) => roles.includes(role))

async function whoMay(isRefused: (role: Role) => Promise<boolean>, roles: readonly Role[]): Promise<Role[]> {
  const answers = await Promise.all(roles.map(isRefused))
  return roles.filter((_role, index) => answers[index] === false)
}
