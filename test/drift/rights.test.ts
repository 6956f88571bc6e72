import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { renderAccountsFile } from '../../shared/operations/rights/accounts-file.ts'
import {
  loginVariables,
  renderHelmValues,
  renderKubernetes,
} from '../../shared/operations/rights/kubernetes.ts'
import { allUsers, rightsOf } from '../../shared/operations/rights/rights.ts'
import { ensureBroker } from '../../shared/sdk/broker/obtain.ts'
import { type EnvEntry, readPods, readValues, serverConfig, serverEnv } from './kubernetes-files.ts'
import { ROOT } from './observability-files.ts'

const RIGHTS = rightsOf()

/** The role that each workload of `infra/kubernetes` logs in as. */
const WORKLOADS = [
  ['pelton-provision', 'admin'],
  ['pelton-worker', 'worker'],
  ['pelton-control', 'control'],
  ['pelton-gateway', 'gateway'],
] as const

function userOf(role: string) {
  const user = allUsers(RIGHTS).find((each) => each.role === role)
  if (user === undefined) throw new Error(`nobody is ${role}`)
  return user
}

const isLogin = ({ name }: EnvEntry): boolean =>
  /^PELTON_NATS_(?:USER|PASSWORD|CREDS|INBOX_PREFIX)$/.test(name)

test('infra/nats/accounts.conf is what `pelton rights` prints', async () => {
  expect(await readFile(`${ROOT}infra/nats/accounts.conf`, 'utf8')).toBe(renderAccountsFile(RIGHTS))
})

test('infra/kubernetes/values.yaml gives the server the passwords of the users, and of its routes', async () => {
  const { container } = await readValues()
  const rendered = parse(renderHelmValues(RIGHTS, 'passwords')) as typeof container & {
    container: typeof container
  }
  const routes = Object.keys(container.env).filter((name) => /_ROUTES?(?:_|$)/.test(name))
  expect(routes).toHaveLength(3)
  const users = Object.entries(container.env).filter(([name]) => !routes.includes(name))
  expect(Object.fromEntries(users)).toEqual(rendered.container.env)
})

test.each(WORKLOADS)('%s logs in as %s', async (workload, role) => {
  const env = (await readPods()).get(workload)?.containers[0].env ?? []
  expect(env.filter(isLogin)).toEqual(loginVariables(userOf(role), 'passwords'))
})

const folder = await mkdtemp(join(tmpdir(), 'pelton-rights-'))
afterAll(() => rm(folder, { recursive: true, force: true }))

test('what is printed for Kubernetes becomes a file that the server takes, with every password and no other', async () => {
  const rights = rightsOf({ prefixes: ['', '2024'], pools: ['default', '%&'] }) // names that need quotes
  const passwordOf = (key: string): string => `0${key}`
  const [accounts, passwords] = parseAllDocuments(
    renderKubernetes(rights, { kind: 'passwords', passwordOf }),
  ).map((document) => document.toJS())
  const values = await readValues()
  const { container } = parse(renderHelmValues(rights, 'passwords'))
  const env = serverEnv({ ...values, container: { env: { ...values.container.env, ...container.env } } })
  await mkdir(join(folder, 'pelton'))
  await mkdir(join(folder, 'nats-config'))
  await writeFile(join(folder, 'pelton', 'accounts.conf'), accounts.data['accounts.conf'])
  const file = join(folder, 'nats-config', 'nats.conf')
  await writeFile(file, serverConfig(values, folder))
  const { path: server } = await ensureBroker()
  const take = (given: NodeJS.ProcessEnv) =>
    spawnSync(server, ['--config', file, '-t'], { env: given, encoding: 'utf8' })
  expect(take(env).stderr).toContain('is valid')
  const ofUsers = Object.keys(container.env).filter((name) => name.startsWith('NATS_'))
  expect(ofUsers).toHaveLength(allUsers(rights).length)
  for (const name of ofUsers) expect(take({ ...env, [name]: undefined }).status, name).not.toBe(0)
  for (const { user } of allUsers(rights)) expect(passwords.stringData[user]).toBe(passwordOf(user))
})

interface Patched {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly containers: readonly [
          {
            readonly name: string
            readonly env: readonly (EnvEntry & { readonly $patch?: string })[]
            readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
          },
        ]
        readonly volumes: readonly {
          readonly name: string
          readonly secret: {
            readonly secretName: string
            readonly items: readonly { readonly path: string }[]
          }
        }[]
      }
    }
  }
}

describe('infra/kubernetes/kustomization.yaml', async () => {
  const text = await readFile(`${ROOT}infra/kubernetes/kustomization.yaml`, 'utf8')
  const { resources, patches } = parse(text) as {
    readonly resources: readonly string[]
    readonly patches: readonly { readonly patch: string }[]
  }
  const patched = new Map(
    patches.map(({ patch }) => {
      const found = parse(patch) as Patched
      return [found.metadata.name, found.spec.template.spec] as const
    }),
  )

  test('changes each workload that logs in', () => {
    expect(resources).toEqual(['pelton.yaml'])
    expect([...patched.keys()].toSorted()).toEqual(WORKLOADS.map(([workload]) => workload).toSorted())
  })

  test.each(WORKLOADS)('%s logs in with the credentials of %s', async (workload, role) => {
    const pod = patched.get(workload)
    const before = (await readPods()).get(workload)?.containers[0]
    expect(pod?.containers[0].name).toBe(before?.name)
    const { env = [], volumeMounts = [] } = pod?.containers[0] ?? {}
    const removed = env.filter(({ $patch }) => $patch === 'delete').map(({ name }) => name)
    expect(removed).toEqual(before?.env.filter(isLogin).map(({ name }) => name))
    expect(env.filter(({ $patch }) => $patch === undefined)).toEqual(loginVariables(userOf(role), 'creds'))
    const creds = env.find(({ name }) => name === 'PELTON_NATS_CREDS')?.value
    const files = pod?.volumes.flatMap(({ name, secret }) =>
      secret.items.map(
        ({ path }) => `${volumeMounts.find((mount) => mount.name === name)?.mountPath}/${path}`,
      ),
    )
    expect(files).toEqual([creds])
    expect(pod?.volumes.map(({ secret }) => secret.secretName)).toEqual(['pelton-creds'])
  })
})
