import { spawnSync } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { parseDocument, type Scalar } from 'yaml'
import { readTopology, TOPOLOGY_SETTINGS } from '../../services/cli/topology-settings.ts'
import { CONTROL_SERVICE_SETTINGS, readControlServiceSettings } from '../../services/control/config.ts'
import { GATEWAY_SETTINGS, readGatewaySettings } from '../../services/gateway/config.ts'
import { readWorkerSettings, WORKER_SETTINGS } from '../../services/worker/config.ts'
import { OPERATOR_SETTINGS, readOperatorSettings } from '../../shared/operations/broker/operator-settings.ts'
import { brokerSettings, httpSettings } from '../../shared/runtime/config.ts'
import { ensureBroker } from '../../shared/sdk/broker/obtain.ts'
import {
  envOf,
  readPods,
  readRollout,
  readServicePorts,
  readValues,
  readVolumeClaims,
  serverConfig,
  serverEnv,
  VALUES,
} from './kubernetes-files.ts'
import { ROOT } from './observability-files.ts'

const pods = await readPods()
const values = await readValues()
const volumeClaims = await readVolumeClaims()
const folder = await mkdtemp(join(tmpdir(), 'pelton-kubernetes-'))
afterAll(() => rm(folder, { recursive: true, force: true }))

function pod(name: string) {
  const found = pods.get(name)
  if (found === undefined) throw new Error(`infra/kubernetes/pelton.yaml has no ${name}`)
  return { ...found, container: found.containers[0], env: envOf(found.containers[0]) }
}

describe('infra/kubernetes/values.yaml', () => {
  test('syncs always, in quotes', async () => {
    const document = parseDocument(await readFile(VALUES, 'utf8'))
    const sync = document.getIn(['config', 'jetstream', 'merge', 'sync_interval'], true) as Scalar
    expect([sync.value, sync.type]).toEqual(['always', 'QUOTE_DOUBLE'])
  })

  test('has three servers on three nodes, and lets one go at a time', () => {
    expect(values.config.cluster.replicas).toBe(3)
    expect(values.podTemplate.topologySpreadConstraints).toHaveProperty(['kubernetes.io/hostname'])
    expect(values.podDisruptionBudget.enabled).toBe(true)
  })

  test('becomes a file that the server takes, with the accounts of infra/nats', async () => {
    const { path: server } = await ensureBroker()
    await mkdir(join(folder, 'nats-config'))
    await cp(`${ROOT}infra/nats/accounts.conf`, join(folder, 'pelton', 'accounts.conf'))
    const file = join(folder, 'nats-config', 'nats.conf')
    await writeFile(file, serverConfig(values, folder))
    const env = serverEnv(values)
    const take = (given: NodeJS.ProcessEnv) =>
      spawnSync(server, ['--config', file, '-t'], { env: given, encoding: 'utf8' })
    expect(take(env).stderr).toContain('is valid')
    // Nothing more is set than has to be.
    for (const name of Object.keys(env).filter((each) => each.startsWith('NATS_')))
      expect(take({ ...env, [name]: undefined }).status, name).not.toBe(0)
  })
})

describe('infra/kubernetes/pelton.yaml', () => {
  test.each([
    ['pelton-provision', { ...brokerSettings, ...TOPOLOGY_SETTINGS }],
    ['pelton-worker', WORKER_SETTINGS],
    ['pelton-control', { ...brokerSettings, ...OPERATOR_SETTINGS, ...CONTROL_SERVICE_SETTINGS }],
    ['pelton-gateway', { ...brokerSettings, ...httpSettings, ...GATEWAY_SETTINGS }],
  ])('%s sets what the code reads', (name, settings) => {
    const unknown = Object.keys(pod(name).env).filter((variable) => !Object.hasOwn(settings, variable))
    expect(unknown).toEqual([])
  })

  test('every workload has the same prefix, none', () => {
    const prefixes = [...pods.keys()].map((name) => pod(name).env.PELTON_PREFIX)
    expect(prefixes).toEqual(['', '', '', ''])
    expect(readWorkerSettings(pod('pelton-worker').env)).not.toHaveProperty('PELTON_PREFIX')
  })

  test('asks for three copies, and for what survives a loss of power', () => {
    expect(readTopology(pod('pelton-provision').env)).toMatchObject({ replicas: 3 })
    const control = readOperatorSettings(pod('pelton-control').env)
    expect(control).toMatchObject({ PELTON_DURABILITY: 'power' })
    expect(control.PELTON_NATS_MONITOR_URL).toHaveLength(values.config.cluster.replicas)
  })

  test('keeps the durable marks of control in a volume', () => {
    const { container, env } = pod('pelton-control')
    const mount = container.volumeMounts?.find(({ mountPath }) => mountPath === env.PELTON_MARKS_FOLDER)
    expect(mount?.name).toBe('marks')
    expect(volumeClaims.get('pelton-control')).toEqual(['marks'])
  })

  test('gives a drain more time than the settings do', () => {
    const worker = pod('pelton-worker')
    const control = pod('pelton-control')
    expect(Number(worker.terminationGracePeriodSeconds) * 1_000).toBeGreaterThan(
      readWorkerSettings(worker.env).PELTON_GRACE_MS,
    )
    expect(Number(control.terminationGracePeriodSeconds) * 1_000).toBeGreaterThan(
      readControlServiceSettings(control.env).PELTON_CONTROL_GRACE_MS,
    )
  })

  test('gives a gateway time until nothing more is sent to it, and then for its drain', () => {
    const { container, env, terminationGracePeriodSeconds } = pod('pelton-gateway')
    const [sleep, seconds] = container.lifecycle?.preStop.exec.command ?? []
    expect([sleep, Number(seconds)]).toEqual(['sleep', expect.any(Number)])
    expect((Number(terminationGracePeriodSeconds) - Number(seconds)) * 1_000).toBeGreaterThan(
      readGatewaySettings(env).PELTON_GATEWAY_GRACE_MS,
    )
  })

  test('keeps as many gateways as there are while they are replaced, and one when a node is emptied', async () => {
    expect(await readRollout('pelton-gateway')).toEqual({
      replicas: 2,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      budget: 1,
    })
  })

  test('serves inference, and not the operations of gateways', async () => {
    const { container, env } = pod('pelton-gateway')
    expect(env.PELTON_GATEWAY_HOST).toBe('0.0.0.0')
    const inference = { name: 'inference', containerPort: Number(env.PELTON_GATEWAY_PORT) }
    expect(container.ports).toContainEqual(inference)
    expect(await readServicePorts('pelton-gateway')).toEqual([
      { name: 'inference', port: 8480, targetPort: 'inference' },
    ])
  })

  test.each([
    ['pelton-worker', 'PELTON_HTTP_PORT', 'PELTON_HTTP_HOST'],
    ['pelton-gateway', 'PELTON_HTTP_PORT', 'PELTON_HTTP_HOST'],
    ['pelton-control', 'PELTON_CONTROL_PORT', 'PELTON_CONTROL_HOST'],
  ])('%s is asked where it listens', (name, port, host) => {
    const { container, env } = pod(name)
    expect(container.ports?.[0]).toEqual({ name: 'http', containerPort: Number(env[port]) })
    expect(container.livenessProbe?.httpGet).toEqual({ path: '/livez', port: 'http' })
    expect(container.readinessProbe?.httpGet).toEqual({ path: '/readyz', port: 'http' })
    expect(env[host]).toBe('0.0.0.0')
  })

  test.each([...pods.keys()])('%s runs without root, rights and a file system to write to', (name) => {
    const { container, securityContext, enableServiceLinks } = pod(name)
    expect(securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000 })
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    // PELTON_CONTROL_PORT and PELTON_GATEWAY_PORT would be addresses of services.
    expect(enableServiceLinks).toBe(false)
  })
})
