import { stringify } from 'yaml'
import { patterns } from '../../sdk/contract/patterns.ts'
import { renderAccountsFile } from './accounts-file.ts'
import { passwordVariable } from './options.ts'
import { allUsers } from './rights.ts'
import type { Rights, UserRights } from './table.ts'

/**
 * How users log in: with passwords, which the servers have in their accounts, or with credentials of operator mode. What logs
 * in without being a user has a password in both.
 */
export type Login = { readonly passwordOf: (key: string) => string } & (
  | { readonly kind: 'passwords' }
  | { readonly kind: 'creds'; readonly credsOf: (user: string) => string }
)

/** Names of what the manifests and values of `infra/kubernetes` go by. */
const ACCOUNTS = 'pelton-accounts'
const PASSWORDS = 'pelton-passwords'
const CREDS = 'pelton-creds'
const CREDS_FOLDER = '/etc/pelton/creds'

/** Secrets beside those of users: of the servers among themselves, and of the callers of control. */
const OTHER_KEYS = ['route', 'control-token'] as const

const HEAD = `\
# Printed by \`pelton rights --form kubernetes\`. It holds secrets: keep it nowhere, and hand it to \`kubectl create -f -\`, which
# leaves alone what is there; what was made of it once changes with \`kubectl apply -f -\`, and then each secret is a new one.`

/** What the cluster needs so that the broker knows the users, and each workload can log in. */
export function renderKubernetes(rights: Rights, login: Login): string {
  const documents =
    login.kind === 'passwords' ? passwordDocuments(rights, login) : credsDocuments(rights, login)
  const texts = documents.map((document) => stringify(document, { lineWidth: 0 }))
  return `${HEAD}\n#\n${howToLogIn(rights, login)}\n\n${texts.join('---\n')}`
}

function passwordDocuments(rights: Rights, { passwordOf }: Extract<Login, { kind: 'passwords' }>) {
  const keys = [...allUsers(rights).map(({ user }) => user), ...OTHER_KEYS]
  return [
    {
      ...{ apiVersion: 'v1', kind: 'ConfigMap' },
      metadata: labelled(ACCOUNTS),
      data: { 'accounts.conf': renderAccountsFile(rights) },
    },
    passwords(keys, passwordOf),
  ]
}

function credsDocuments(rights: Rights, { credsOf, passwordOf }: Extract<Login, { kind: 'creds' }>) {
  const files = allUsers(rights).map(({ user }) => [`${user}.creds`, credsOf(user)])
  return [secret(CREDS, Object.fromEntries(files)), passwords(OTHER_KEYS, passwordOf)]
}

function passwords(keys: readonly string[], passwordOf: Login['passwordOf']) {
  return secret(PASSWORDS, Object.fromEntries(keys.map((key) => [key, passwordOf(key)])))
}

function secret(name: string, stringData: Readonly<Record<string, string>>) {
  return { apiVersion: 'v1', kind: 'Secret', metadata: labelled(name), type: 'Opaque', stringData }
}

function labelled(name: string) {
  return { name, labels: { 'app.kubernetes.io/name': 'pelton' } }
}

/** A variable of a container, as a manifest has it. */
export interface LoginVariable {
  readonly name: string
  readonly value?: string
  readonly valueFrom?: { readonly secretKeyRef: { readonly name: string; readonly key: string } }
}

/** What a container of a user's role has in its environment. */
export function loginVariables(rights: UserRights, kind: Login['kind']): readonly LoginVariable[] {
  const { user, inbox, prefix, domain } = rights
  const isUsual = inbox === `_INBOX.${user}`
  const inboxes = { name: 'PELTON_NATS_INBOX_PREFIX', value: inbox }
  const wakeUps = isUsual ? [] : wakeUpVariables(rights)
  const its = [
    ...(prefix === undefined ? [] : [{ name: 'PELTON_PREFIX', value: prefix }]),
    ...(domain === undefined ? [] : [{ name: 'PELTON_NATS_DOMAIN', value: domain }]),
  ]
  if (kind === 'creds')
    return [
      { name: 'PELTON_NATS_CREDS', value: `${CREDS_FOLDER}/${user}.creds` },
      inboxes,
      ...wakeUps,
      ...its,
    ]
  return [
    { name: 'PELTON_NATS_USER', value: user },
    { name: 'PELTON_NATS_PASSWORD', valueFrom: { secretKeyRef: { name: PASSWORDS, key: user } } },
    ...(isUsual ? [] : [inboxes, ...wakeUps]), // the client makes the usual one of its user
    ...its,
  ]
}

/** Where a worker finds who asked for a wake-up, where that is not below `_INBOX`. */
function wakeUpVariables({ role, user, inbox, publish }: UserRights): readonly LoginVariable[] {
  if (role !== 'worker') return []
  const ofGateways = publish.flatMap(({ subjects }) =>
    subjects.filter((one) => one.endsWith(patterns.replies())),
  )
  const roots = [inbox.slice(0, -`.${user}`.length), ...ofGateways.map((one) => one.slice(0, -'.>'.length))]
  return [{ name: 'PELTON_REPLY_PREFIXES', value: roots.join(',') }]
}

function howToLogIn(rights: Rights, { kind }: Login): string {
  const users = allUsers(rights).filter(({ role }) => role !== 'monitor')
  const lines = users.flatMap((user) => [
    `${user.user}:`,
    ...stringify(loginVariables(user, kind), { lineWidth: 0 })
      .trimEnd()
      .split('\n')
      .map((line) => `  ${line}`),
  ])
  return ['In the environment of a container of each user:', ...lines].map((line) => `# ${line}`).join('\n')
}

/**
 * What the chart of the broker needs beside `infra/kubernetes/values.yaml`: a password for each user, or none at all. The server
 * wants its variables in quotes; Kubernetes puts a variable into another only where it came before, and the chart sorts them.
 */
export function renderHelmValues(rights: Rights, kind: Login['kind']): string {
  const env = Object.fromEntries(allUsers(rights).flatMap(({ user }) => serverVariables(user, kind)))
  const head =
    '# Printed by `pelton rights --form helm`: values for the chart, after those of infra/kubernetes/values.yaml.'
  return `${head}\n${stringify({ container: { env } }, { lineWidth: 0 })}`
}

function serverVariables(user: string, kind: Login['kind']): readonly (readonly [string, unknown])[] {
  const variable = passwordVariable(user)
  const given = variable.replace(/^NATS_(.*)_PASSWORD$/, 'GIVEN_$1')
  if (kind === 'creds') return [given, variable].map((name) => [name, null] as const)
  return [
    [given, { valueFrom: { secretKeyRef: { name: PASSWORDS, key: user } } }],
    [variable, `"$(${given})"`],
  ]
}
