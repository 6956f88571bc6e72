import { describe, expect, test } from 'vitest'
import { passwordVariable } from './options.ts'
import { allUsers, rightsOf } from './rights.ts'
import type { Rights, UserRights } from './table.ts'

const subjectsOf = (rights: Rights): string[] =>
  allUsers(rights).flatMap(({ publish, subscribe }) =>
    [...publish, ...subscribe].flatMap(({ subjects }) => subjects),
  )

function userOf(rights: Rights, user: string): UserRights {
  const found = allUsers(rights).find((each) => each.user === user)
  if (found === undefined) throw new Error(`there is no ${user}`)
  return found
}

describe('rights', () => {
  test('have a user for each role, in four accounts beside that of the system', () => {
    const users = rightsOf().accounts.map(({ name, users }) => [name, users.map(({ user }) => user)])
    expect(users).toEqual([
      ['PELTON', ['admin', 'control', 'worker']],
      ['PRODUCERS', ['producer']],
      ['SUBSCRIBERS', ['subscriber']],
      ['GATEWAYS', ['gateway']],
      ['SYS', ['monitor']],
    ])
  })

  test('say of each what it is for, and of each user who it is', () => {
    for (const user of allUsers(rightsOf({ prefixes: ['', 'staging'], pools: ['default', 'gpu'] }))) {
      expect(user.about.join(' ').length, user.user).toBeGreaterThan(10)
      for (const { why, subjects } of [...user.publish, ...user.subscribe]) {
        expect(why.length, user.user).toBeGreaterThan(3)
        expect(subjects.length, `${user.user}: ${why}`).toBeGreaterThan(0)
      }
    }
  })

  test('say nothing that ends a comment, whatever a pool is called', () => {
    const { about } = userOf(rightsOf({ pools: ['a\nb`c`'] }), 'worker-a_b_c_')
    expect(about.join(' ')).toMatch(/^Workers of the pool `a%0Ab%60c%60`\./)
  })

  test('let an account take what it is shared, and nothing else', () => {
    const { accounts } = rightsOf({ domain: 'hub' })
    const [pelton, ...others] = accounts
    for (const { name, imports } of others)
      expect(imports.map(({ share }) => share)).toEqual(pelton?.exports.filter(({ to }) => to.includes(name)))
  })

  test('have the inbox that a connection with that user has', () => {
    const users = allUsers(rightsOf({ prefixes: ['', 'staging'], pools: ['default', 'a b'] }))
    for (const { user, inbox } of users) {
      expect(user).toMatch(/^[A-Za-z0-9_-]{1,64}$/) // what stays as it is in an inbox
      expect(inbox).toBe(`_INBOX.${user}`)
    }
  })

  test('have a worker for each pool, which gets nothing of another', () => {
    const rights = rightsOf({ pools: ['default', 'gpu a100'] })
    const worker = userOf(rights, 'worker-gpu_a100')
    const subjects = worker.publish.flatMap((right) => right.subjects)
    expect(subjects).toContain('ledger.gpu%20a100')
    expect(subjects).toContain('$JS.API.CONSUMER.MSG.NEXT.FEATURES.worker-gpu%20a100-low')
    expect(subjects.filter((subject) => subject.includes('default'))).toEqual([])
  })

  test('have the inbox of each producer in the rights of workers, and shared with it', () => {
    const rights = rightsOf({ prefixes: ['staging'], producers: ['web', 'batch'], subscribers: ['billing'] })
    const users = rights.accounts.map(({ users }) => users.map(({ user }) => user))
    expect(users[1]).toEqual(['staging-web', 'staging-batch'])
    expect(users[2]).toEqual(['staging-billing'])
    const wakeUps = ['_INBOX.staging-web.>', '_INBOX.staging-batch.>']
    const worker = userOf(rights, 'staging-worker').publish.flatMap(({ subjects }) => subjects)
    expect(worker).toEqual(expect.arrayContaining(wakeUps))
    const shared = rights.accounts[0]?.exports.map(({ subject }) => subject)
    expect(shared).toEqual(expect.arrayContaining(wakeUps))
    expect(worker.filter((subject) => subject.includes('producer'))).toEqual([])
  })

  test('have those lanes of a producer or gateway that it is given, and share no others', () => {
    const rights = rightsOf({ producers: ['orders:low,normal', 'batch:low'], gateways: ['door', 'edge:low'] })
    const lanesOf = (user: string): string[] =>
      userOf(rights, user)
        .publish.flatMap(({ subjects }) => subjects)
        .filter((subject) => subject.startsWith('features.'))
        .map((subject) => subject.split('.').at(-1) ?? '')
    expect(lanesOf('orders')).toEqual(['normal', 'low'])
    expect(lanesOf('batch')).toEqual(['low'])
    expect(lanesOf('door')).toEqual(['high', 'normal', 'low'])
    expect(lanesOf('edge')).toEqual(['low'])
    expect(userOf(rights, 'batch').publish[0]?.why).toBe('events, in the lane low')
    expect(userOf(rights, 'orders').publish[0]?.why).toBe('events, in the lanes normal and low')
    const shared = rights.accounts[0]?.exports ?? []
    expect(shared.find(({ subject }) => subject === 'features.*.*.high')?.to).toEqual(['GATEWAYS'])
    expect(shared.find(({ subject }) => subject === 'features.*.*.low')?.to).toEqual([
      'PRODUCERS',
      'GATEWAYS',
    ])
  })

  test('let a gateway ask for nothing that its account is not shared, and its account take nothing it does not use', () => {
    const rights = rightsOf({ domain: 'hub' })
    const { publish, subscribe } = userOf(rights, 'gateway')
    const used = [...publish, ...subscribe].flatMap(({ subjects }) => subjects)
    const taken = rights.accounts.find(({ name }) => name === 'GATEWAYS')?.imports ?? []
    expect(taken.map(({ share }) => share.subject).toSorted()).toEqual(used.toSorted())
  })

  test('name by a prefix whatever is of the Pelton alone', () => {
    const rights = rightsOf({ prefixes: ['staging'] })
    const isNamed = (subject: string): boolean =>
      /(?:^|[.-])staging[.-]/.test(subject) || /^\$JS\.API\.(?:INFO|STREAM\.(?:NAMES|LIST))$/.test(subject)
    const ofPelton = subjectsOf(rights).filter(
      (subject) => !subject.startsWith('$SYS.') && subject !== '_INBOX.monitor.>',
    )
    expect(ofPelton.length).toBeGreaterThan(100)
    expect(ofPelton.filter((subject) => !isNamed(subject))).toEqual([])
    const [pelton] = rights.accounts
    expect(pelton?.exports.filter(({ subject }) => !isNamed(subject))).toEqual([])
  })

  test('share what several Peltons share once', () => {
    const [both, one, other] = [['', 'staging'], [''], ['staging']].map((prefixes) =>
      (rightsOf({ prefixes }).accounts[0]?.exports ?? []).map(({ subject }) => subject),
    )
    expect(both).toHaveLength(new Set(both).size)
    expect(new Set(both)).toEqual(new Set([...(one ?? []), ...(other ?? [])]))
  })

  test('have each request to JetStream in both forms where there is a domain', () => {
    const plain = subjectsOf(rightsOf()).filter((subject) => subject.startsWith('$JS.API.'))
    const both = subjectsOf(rightsOf({ domain: 'hub' })).filter((subject) =>
      /^\$JS\.\w+\.API\.|^\$JS\.API\./.test(subject),
    )
    expect(both.filter((subject) => subject.startsWith('$JS.API.'))).toEqual(plain)
    expect(both.filter((subject) => subject.startsWith('$JS.hub.API.'))).toEqual(
      plain.map((subject) => subject.replace('$JS.', '$JS.hub.')),
    )
  })

  test('have the inboxes of all users below the prefix that is asked for, and no other', () => {
    const subjects = subjectsOf(rightsOf({ inboxPrefix: 'acme.replies' }))
    expect(subjects.filter((subject) => subject.includes('_INBOX'))).toEqual([])
    expect(subjects).toContain('acme.replies.worker.>')
  })

  test.each([
    [{ prefixes: ['results'] }, 'prefix', 'results'],
    [{ prefixes: ['a-b'] }, 'prefix', 'a-b'],
    [{ prefixes: ['_a'] }, 'prefix', '_a'],
    [{ prefixes: ['a'.repeat(33)] }, 'prefix', 'a'.repeat(33)],
    [{ pools: [''] }, 'pool', ''],
    [{ producers: ['a.b'] }, 'user', 'a.b'],
    [{ producers: ['features'] }, 'user', 'features'],
    [{ subscribers: ['producer'] }, 'user', 'producer'],
    [{ producers: ['monitor'] }, 'user', 'monitor'],
    [{ gateways: ['a b'] }, 'user', 'a b'],
    [{ gateways: ['producer'] }, 'user', 'producer'],
    [{ producers: ['orders:'] }, 'lane', 'orders:'],
    [{ producers: ['orders:normal:low'] }, 'lane', 'orders:normal:low'],
    [{ gateways: ['gateway:urgent'] }, 'lane', 'gateway:urgent'],
    [{ domain: 'a.b' }, 'domain', 'a.b'],
    [{ domain: 'API' }, 'domain', 'API'],
    [{ inboxPrefix: 'a..b' }, 'inbox-prefix', 'a..b'],
    [{ inboxPrefix: 'ledger' }, 'inbox-prefix', 'ledger'],
    [{ inboxPrefix: 'a.>' }, 'inbox-prefix', 'a.>'],
    [{ pools: ['a', 'a'] }, 'user', 'worker-a'],
    [{ pools: ['gpu', 'GPU'] }, 'user', 'worker-GPU'],
    [{ pools: ['a b', 'a_b'] }, 'user', 'worker-a_b'],
    [{ pools: ['p'.repeat(60)] }, 'user', `worker-${'p'.repeat(60)}`],
  ])('refuse %j and name it', (options, field, value) => {
    const refused = (): unknown => rightsOf(options)
    expect(refused).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
    try {
      refused()
    } catch (thrown) {
      expect(thrown).toMatchObject({ details: { field, remedy: expect.any(String) } })
      expect((thrown as { details: { value: string } }).details.value).toContain(value.slice(0, 20))
    }
  })

  test('name the variable of a password', () => {
    expect(passwordVariable('staging-worker-gpu')).toBe('NATS_STAGING_WORKER_GPU_PASSWORD')
  })
})
