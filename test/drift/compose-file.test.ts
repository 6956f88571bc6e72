import { spawnSync } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parse } from 'yaml'
import { TOPOLOGY_SETTINGS } from '../../services/cli/topology-settings.ts'
import { CONTROL_SERVICE_SETTINGS } from '../../services/control/config.ts'
import { GATEWAY_SETTINGS } from '../../services/gateway/config.ts'
import { WORKER_SETTINGS } from '../../services/worker/config.ts'
import { OPERATOR_SETTINGS } from '../../shared/operations/broker/operator-settings.ts'
import { renderAccountsFile } from '../../shared/operations/rights/accounts-file.ts'
import { rightsOf } from '../../shared/operations/rights/rights.ts'
import { brokerSettings } from '../../shared/runtime/config.ts'
import { ensureBroker } from '../../shared/sdk/broker/obtain.ts'
import { ROOT } from './observability-files.ts'

interface Service {
  readonly environment?: Readonly<Record<string, unknown>>
  readonly tmpfs?: readonly string[]
  readonly volumes?: readonly string[]
  readonly secrets?: readonly { readonly source: string; readonly target: string }[]
  readonly healthcheck?: object
  readonly ports?: readonly string[]
  readonly stop_grace_period?: string
  readonly mem_limit?: string
  readonly pids_limit?: number
  readonly logging?: object
}

const text = await readFile(`${ROOT}docker-compose.yml`, 'utf8')
const { services, volumes } = parse(text, { merge: true }) as {
  services: Record<string, Service>
  volumes: Record<string, unknown>
}
const page = await readFile(`${ROOT}docs/deploy.md`, 'utf8')

describe('docker-compose.yml', () => {
  test.each(Object.entries(services))('%s is bounded', (_name, service) => {
    expect(service).toMatchObject({
      mem_limit: expect.any(String),
      pids_limit: expect.any(Number),
      logging: { options: { 'max-size': expect.any(String), 'max-file': expect.any(String) } },
    })
    for (const mount of service.tmpfs ?? []) expect(mount).toMatch(/[:,]size=\d+m\b/)
  })

  test('keeps the durable marks of control in a volume', () => {
    const { environment, volumes: mounts } = services.control ?? {}
    expect(mounts).toEqual([`marks:${environment?.PELTON_MARKS_FOLDER}`])
    expect(Object.keys(volumes)).toContain('marks')
  })

  test('sets what the code reads', () => {
    const known = {
      ...WORKER_SETTINGS,
      ...OPERATOR_SETTINGS,
      ...CONTROL_SERVICE_SETTINGS,
      ...GATEWAY_SETTINGS,
      ...TOPOLOGY_SETTINGS,
    }
    const set = Object.values(services).flatMap(({ environment }) => Object.keys(environment ?? {}))
    const unknown = set.filter((name) => name.startsWith('PELTON_') && !Object.hasOwn(known, name))
    expect(unknown).toEqual([])
  })

  test('gives a drain more time than the settings do', () => {
    const { 'worker-1': worker, control, gateway } = services
    expect(Number.parseInt(gateway?.stop_grace_period ?? '', 10) * 1_000).toBeGreaterThan(
      Number(gateway?.environment?.PELTON_GATEWAY_GRACE_MS),
    )
    expect(Number.parseInt(worker?.stop_grace_period ?? '', 10) * 1_000).toBeGreaterThan(
      Number(worker?.environment?.PELTON_GRACE_MS),
    )
    const grace = CONTROL_SERVICE_SETTINGS.PELTON_CONTROL_GRACE_MS.parse(undefined)
    expect(Number.parseInt(control?.stop_grace_period ?? '', 10) * 1_000).toBeGreaterThan(grace)
  })

  test('opens inference of the gateway to this machine alone, and its operations to nobody', () => {
    const { environment, ports } = services.gateway ?? {}
    expect(ports).toEqual([
      `127.0.0.1:\${PELTON_GATEWAY_PUBLISHED_PORT:-8480}:${environment?.PELTON_GATEWAY_PORT}`,
    ])
    expect(environment?.PELTON_HTTP_PORT).not.toBe(environment?.PELTON_GATEWAY_PORT)
  })

  test('has its variables explained in docs/deploy.md', () => {
    const variables = new Set([...text.matchAll(/\$\{([A-Z_]+)/g)].map(([, name]) => String(name)))
    expect([...variables].filter((name) => !page.includes(`\`${name}`))).toEqual([])
  })
})

/** What a variable is where nobody sets it, or as it is set. */
function interpolated(value: string, env: Readonly<Record<string, string>> = {}): string {
  return value.replaceAll(
    /\$\{([A-Z_]+):-([^}]*)\}/g,
    (_whole, name: string, otherwise: string) => env[name] || otherwise,
  )
}

/** Containers that connect to the brokers: all that Pelton itself is. */
const OWN = Object.entries(services).filter(
  ([, { environment }]) => environment?.PELTON_NATS_URL !== undefined,
)

/**
 * How Pelton reaches and names what is at the broker, setting by setting. `all`: each container hands on what stands in the
 * environment, the same for all of them. `each`: a value of its own. `mounted`: belongs to files or brokers that are not
 * those of this file, and comes with what mounts or starts them.
 */
const HANDED_ON: Readonly<Record<keyof typeof brokerSettings, 'all' | 'each' | 'mounted'>> = {
  PELTON_NATS_URL: 'all',
  PELTON_PREFIX: 'all',
  PELTON_DATA_PATH: 'all',
  PELTON_LOG_LEVEL: 'all',
  PELTON_NATS_USER: 'each',
  PELTON_NATS_PASSWORD: 'each',
  PELTON_NATS_INBOX_PREFIX: 'mounted',
  PELTON_NATS_CREDS: 'mounted',
  PELTON_NATS_NKEY: 'mounted',
  PELTON_NATS_USER_FILE: 'mounted',
  PELTON_NATS_PASSWORD_FILE: 'mounted',
  PELTON_NATS_TOKEN: 'mounted',
  PELTON_NATS_TOKEN_FILE: 'mounted',
  PELTON_NATS_TLS_CA: 'mounted',
  PELTON_NATS_TLS_CERT: 'mounted',
  PELTON_NATS_TLS_KEY: 'mounted',
  PELTON_NATS_TLS_FIRST: 'mounted',
  PELTON_NATS_DOMAIN: 'mounted',
}

describe('the containers of Pelton', () => {
  test('are those that are started with its image', () => {
    expect(OWN.map(([name]) => name)).toEqual([
      ...['provision', 'worker-1', 'worker-2', 'control', 'gateway', 'producer', 'subscriber'],
    ])
  })

  test.each(OWN)(
    '%s hands on how Pelton reaches and names what is at the broker',
    (_name, { environment = {} }) => {
      expect(Object.keys(HANDED_ON).sort()).toEqual(Object.keys(brokerSettings).sort())
      const set = Object.keys(brokerSettings).filter((name) => Object.hasOwn(environment, name))
      const wanted = Object.entries(HANDED_ON).flatMap(([name, how]) => (how === 'mounted' ? [] : [name]))
      expect(set.sort()).toEqual(wanted.sort())
      for (const [name, how] of Object.entries(HANDED_ON))
        if (how === 'all') expect(environment[name]).toBe(OWN[0]?.[1].environment?.[name])
      const prefixed = interpolated(String(environment.PELTON_PREFIX), { PELTON_PREFIX: 'staging' })
      expect([prefixed, interpolated(String(environment.PELTON_PREFIX))]).toEqual(['staging', ''])
    },
  )
})

describe('the brokers', () => {
  const { 'nats-1': broker } = services

  test('take the accounts of other users and prefixes, as docs/deploy.md makes them', async () => {
    const rename = /\| sed '(s\/.*\/)'/.exec(page)?.[1]
    expect(rename).toBe('s/NATS_STAGING_/NATS_/')
    const printed = renderAccountsFile(rightsOf({ prefixes: ['staging'] })).replaceAll(
      'NATS_STAGING_',
      'NATS_',
    )
    const folder = await mkdtemp(join(tmpdir(), 'pelton-compose-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    await cp(`${ROOT}infra/nats`, folder, { recursive: true })
    expect(broker?.volumes).toContain(
      `\${PELTON_ACCOUNTS:-./infra/nats/accounts.conf}:/etc/pelton/accounts.conf:ro`,
    )
    await writeFile(join(folder, 'accounts.conf'), printed)
    const settings = Object.entries(broker?.environment ?? {}).map(([name, value]) => [
      name,
      interpolated(String(value)),
    ])
    const env = { ...Object.fromEntries(settings), NATS_STORE: JSON.stringify(folder) }
    const { path: server } = await ensureBroker()
    const taken = spawnSync(server, ['--config', join(folder, 'cluster.conf'), '-t'], {
      env,
      encoding: 'utf8',
    })
    expect(taken.stderr).toContain('is valid')
    const users = [...printed.matchAll(/user: ([\w-]+), password/g)].map(([, user]) => user)
    for (const role of ['ADMIN', 'WORKER', 'CONTROL', 'GATEWAY', 'PRODUCER', 'SUBSCRIBER'])
      expect(users).toContain(`staging-${role.toLowerCase()}`)
  })
})

test('secrets that docs/deploy.md has one write beside docker-compose.yml are not committed by accident', async () => {
  const ignored = (await readFile(`${ROOT}.gitignore`, 'utf8')).split('\n')
  for (const written of ['from `./creds`', 'PELTON_ACCOUNTS=./accounts.conf', 'in `.env`'])
    expect(page).toContain(written)
  expect(ignored).toEqual(expect.arrayContaining(['/creds/', '/accounts.conf', '/.env']))
})

describe('infra/docker/credentials.compose.yml', async () => {
  const overlay = await readFile(`${ROOT}infra/docker/credentials.compose.yml`, 'utf8')
  const { services: changed, secrets } = parse(overlay, { merge: true }) as {
    services: Record<string, Service>
    secrets: Record<string, { readonly file: string }>
  }

  test('gives each container of Pelton credentials in place of user and password', () => {
    expect(Object.keys(changed)).toEqual(OWN.map(([name]) => name))
    for (const [name, { environment }] of OWN) {
      const user = interpolated(String(environment?.PELTON_NATS_USER))
      const { environment: set = {}, secrets: mounted = [] } = changed[name] ?? {}
      expect([set.PELTON_NATS_USER, set.PELTON_NATS_PASSWORD], name).toEqual(['', ''])
      expect(interpolated(String(set.PELTON_NATS_INBOX_PREFIX))).toBe(`_INBOX.${user}`)
      const [mount] = mounted
      expect(set.PELTON_NATS_CREDS).toBe(`/run/secrets/${mount?.target}`)
      expect(interpolated(secrets[mount?.source ?? '']?.file ?? '')).toBe(`./creds/${user}.creds`)
    }
  })

  test('sets what the code reads, by variables that docs/deploy.md explains', () => {
    const set = Object.values(changed).flatMap(({ environment }) => Object.keys(environment ?? {}))
    expect(set.filter((name) => !Object.hasOwn(brokerSettings, name))).toEqual([])
    const variables = new Set([...overlay.matchAll(/\$\{([A-Z_]+)/g)].map(([, name]) => String(name)))
    expect([...variables].filter((name) => !page.includes(`\`${name}`))).toEqual([])
  })
})
