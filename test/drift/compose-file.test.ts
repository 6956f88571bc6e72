import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { TOPOLOGY_SETTINGS } from '../../services/cli/topology-settings.ts'
import { CONTROL_SERVICE_SETTINGS } from '../../services/control/config.ts'
import { WORKER_SETTINGS } from '../../services/worker/config.ts'
import { OPERATOR_SETTINGS } from '../../shared/operations/broker/operator-settings.ts'
import { ROOT } from './observability-files.ts'

interface Service {
  readonly environment?: Readonly<Record<string, unknown>>
  readonly tmpfs?: readonly string[]
  readonly volumes?: readonly string[]
  readonly healthcheck?: object
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
      ...TOPOLOGY_SETTINGS,
    }
    const set = Object.values(services).flatMap(({ environment }) => Object.keys(environment ?? {}))
    const unknown = set.filter((name) => name.startsWith('PELTON_') && !Object.hasOwn(known, name))
    expect(unknown).toEqual([])
  })

  test('gives a drain more time than the settings do', () => {
    const { 'worker-1': worker, control } = services
    expect(Number.parseInt(worker?.stop_grace_period ?? '', 10) * 1_000).toBeGreaterThan(
      Number(worker?.environment?.PELTON_GRACE_MS),
    )
    const grace = CONTROL_SERVICE_SETTINGS.PELTON_CONTROL_GRACE_MS.parse(undefined)
    expect(Number.parseInt(control?.stop_grace_period ?? '', 10) * 1_000).toBeGreaterThan(grace)
  })

  test('has its variables explained in docs/deploy.md', () => {
    const variables = new Set([...text.matchAll(/\$\{([A-Z_]+)/g)].map(([, name]) => String(name)))
    expect([...variables].filter((name) => !page.includes(`\`${name}`))).toEqual([])
  })
})
