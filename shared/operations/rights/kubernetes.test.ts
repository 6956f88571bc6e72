import { describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { renderAccountsFile } from './accounts-file.ts'
import { type Login, loginVariables, renderHelmValues, renderKubernetes } from './kubernetes.ts'
import { passwordVariable } from './options.ts'
import { allUsers, rightsOf } from './rights.ts'

const RIGHTS = rightsOf({ prefixes: ['', 'staging'], pools: ['default', 'gpu'] })
const USERS = allUsers(RIGHTS).map(({ user }) => user)
const passwordOf = (key: string): string => `secret of ${key}`
const PASSWORDS: Login = { kind: 'passwords', passwordOf }
const CREDS: Login = { kind: 'creds', passwordOf, credsOf: (user) => `-----BEGIN of ${user}-----\nx\n` }

interface Document {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly data?: Readonly<Record<string, string>>
  readonly stringData?: Readonly<Record<string, string>>
}

const documentsOf = (text: string): readonly Document[] =>
  parseAllDocuments(text).map((document) => document.toJS() as Document)

/** Comments of a manifest without their mark. */
const commentsOf = (text: string): string =>
  text
    .split('\n')
    .filter((line) => line.startsWith('# '))
    .map((line) => line.slice(2))
    .join('\n')

describe('the manifest for Kubernetes', () => {
  test('has the accounts, and a password for each of their users', () => {
    const [accounts, passwords, ...others] = documentsOf(renderKubernetes(RIGHTS, PASSWORDS))
    expect(others).toEqual([])
    expect(accounts).toMatchObject({ kind: 'ConfigMap', metadata: { name: 'pelton-accounts' } })
    expect(accounts?.data).toEqual({ 'accounts.conf': renderAccountsFile(RIGHTS) })
    expect(passwords).toMatchObject({ kind: 'Secret', metadata: { name: 'pelton-passwords' } })
    const keys = [...USERS, 'route', 'control-token']
    expect(passwords?.stringData).toEqual(Object.fromEntries(keys.map((key) => [key, `secret of ${key}`])))
  })

  test('has the credentials of each user, and passwords only of what logs in without being one', () => {
    const [creds, passwords, ...others] = documentsOf(renderKubernetes(RIGHTS, CREDS))
    expect(others).toEqual([])
    expect(creds).toMatchObject({ kind: 'Secret', metadata: { name: 'pelton-creds' } })
    const files = USERS.map((user) => [`${user}.creds`, `-----BEGIN of ${user}-----\nx\n`])
    expect(creds?.stringData).toEqual(Object.fromEntries(files))
    expect(passwords).toMatchObject({ kind: 'Secret', metadata: { name: 'pelton-passwords' } })
    expect(passwords?.stringData).toEqual({
      route: 'secret of route',
      'control-token': 'secret of control-token',
    })
  })

  test('says which Pelton, and which domain, a container is for', () => {
    const rights = rightsOf({ prefixes: ['', 'staging'], domain: 'hub' })
    const variables = (name: string) => {
      const user = allUsers(rights).find(({ user: own }) => own === name)
      return user && Object.fromEntries(loginVariables(user, 'creds').map((each) => [each.name, each.value]))
    }
    expect(variables('staging-worker')).toMatchObject({ PELTON_PREFIX: 'staging', PELTON_NATS_DOMAIN: 'hub' })
    expect(variables('worker')).toEqual(expect.not.objectContaining({ PELTON_PREFIX: expect.anything() }))
  })

  test.each([
    ['passwords', PASSWORDS, 'PELTON_NATS_USER', 'PELTON_NATS_PASSWORD'],
    ['creds', CREDS, 'PELTON_NATS_CREDS', 'PELTON_NATS_INBOX_PREFIX'],
  ] as const)('says how a container of each user logs in with %s', (_kind, login, first, second) => {
    const [, said = ''] = commentsOf(renderKubernetes(RIGHTS, login)).split('each user:\n')
    const logins = parse(said) as Readonly<Record<string, readonly { name: string }[]>>
    expect(Object.keys(logins)).toEqual(USERS.filter((user) => user !== 'monitor'))
    for (const [user, variables] of Object.entries(logins)) {
      const ofPelton = user.startsWith('staging-') ? ['PELTON_PREFIX'] : []
      expect(variables.map(({ name }) => name)).toEqual([first, second, ...ofPelton])
    }
  })

  test.each([
    ['passwords', PASSWORDS],
    ['creds', CREDS],
  ] as const)(
    'names the inboxes that are not the usual ones, and to workers where wake-ups go, with %s',
    (_kind, login) => {
      const rights = rightsOf({ prefixes: ['', 'staging'], inboxPrefix: 'acme.replies' })
      const [, said = ''] = commentsOf(renderKubernetes(rights, login)).split('each user:\n')
      const logins = parse(said) as Readonly<Record<string, readonly { name: string; value?: string }[]>>
      const valueFor = (user: string, variable: string): string | undefined =>
        logins[user]?.find(({ name }) => name === variable)?.value
      for (const user of Object.keys(logins))
        expect(valueFor(user, 'PELTON_NATS_INBOX_PREFIX')).toBe(`acme.replies.${user}`)
      expect(valueFor('worker', 'PELTON_REPLY_PREFIXES')).toBe('acme.replies,_pelton.reply')
      expect(valueFor('staging-worker', 'PELTON_REPLY_PREFIXES')).toBe('acme.replies,staging._pelton.reply')
      expect(valueFor('producer', 'PELTON_REPLY_PREFIXES')).toBeUndefined()
    },
  )
})

describe('values for the chart of the broker', () => {
  test('give the server the password of each user, in quotes, after the variable it comes from', () => {
    const { container } = parse(renderHelmValues(RIGHTS, 'passwords'))
    for (const user of USERS) {
      const text = container.env[passwordVariable(user)]
      const [, given = ''] = /^"\$\((GIVEN_\w+)\)"$/.exec(text) ?? []
      expect(given < passwordVariable(user)).toBe(true)
      expect(container.env[given]).toEqual({
        valueFrom: { secretKeyRef: { name: 'pelton-passwords', key: user } },
      })
    }
    expect(Object.keys(container.env)).toHaveLength(2 * USERS.length)
  })

  test('take them away in operator mode', () => {
    const { container } = parse(renderHelmValues(RIGHTS, 'creds'))
    expect(Object.keys(container.env)).toHaveLength(2 * USERS.length)
    expect(new Set(Object.values(container.env))).toEqual(new Set([null]))
  })
})
