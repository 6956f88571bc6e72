import { randomBytes } from 'node:crypto'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { freePorts } from '../kit/ports.ts'
import { type Finished, run, whyNoEngine } from './engine.ts'

const missing = whyNoEngine()
const title = `the profile \`observability\`${missing === undefined ? '' : ` (not here: ${missing})`}`

const PATIENT = { timeout: 60_000, interval: 500 }

const project = `pelton-test-${randomBytes(4).toString('hex')}`
const compose = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Finished> =>
  run('docker', ['compose', '-p', project, '--profile', 'demo', '--profile', 'observability', ...args], env)

interface Service {
  readonly image: string
  readonly environment?: Readonly<Record<string, string>>
  readonly networks?: Readonly<Record<string, unknown>>
}

/** The services as compose understands them. */
async function services(env: NodeJS.ProcessEnv = {}): Promise<Readonly<Record<string, Service>>> {
  const { code, text } = await compose(['config', '--format', 'json'], env)
  expect(code, text).toBe(0)
  return JSON.parse(text).services
}

describe.skipIf(missing !== undefined)(title, () => {
  afterAll(() => compose(['down', '-v', '--timeout', '5']))

  test('is understood by compose, and sends nothing anywhere unless told', async () => {
    const { 'worker-1': worker, 'otel-collector': collector } = await services()
    expect(collector).toBeDefined()
    expect(worker?.environment).toMatchObject({ OTEL_EXPORTER_OTLP_ENDPOINT: '' })
  })

  test('PELTON_OTLP_ENDPOINT reaches every process of Pelton', async () => {
    const endpoint = 'http://otel-collector:4318'
    const all = await services({ PELTON_OTLP_ENDPOINT: endpoint })
    const told = Object.entries(all).filter(([, { environment }]) => environment?.PELTON_NATS_URL)
    expect(told.map(([name]) => name).sort()).toEqual([
      ...['control', 'gateway', 'producer', 'provision', 'subscriber', 'worker-1', 'worker-2'],
    ])
    for (const [name, { environment }] of told)
      expect(environment?.OTEL_EXPORTER_OTLP_ENDPOINT, name).toBe(endpoint)
  })

  test('monitoring of the brokers is for them, control and the exporter', async () => {
    const all = Object.entries(await services())
    const there = all.filter(([, { networks }]) => Object.hasOwn(networks ?? {}, 'monitoring'))
    expect(there.map(([name]) => name).sort()).toEqual([
      ...['control', 'nats-1', 'nats-2', 'nats-3', 'nats-exporter'],
    ])
  })

  test('Prometheus gets well with our files and reads the rules', async (context) => {
    const image = (await services()).prometheus?.image ?? ''
    const known = await run('docker', ['image', 'inspect', image])
    if (known.code !== 0 && (await run('docker', ['pull', '-q', image])).code !== 0)
      context.skip(`there is no ${image} here`)
    const env = { PELTON_PROMETHEUS_PORT: String((await freePorts(1))[0]) }
    const up = await compose(['up', '-d', '--no-deps', 'prometheus'], env)
    expect(up.code, up.text).toBe(0)
    // Whoever asks a published port before the container listens may wait for ever.
    const rules = `http://127.0.0.1:${env.PELTON_PROMETHEUS_PORT}/api/v1/rules`
    const answer = await vi.waitFor(() => fetch(rules, { signal: AbortSignal.timeout(2_000) }), PATIENT)
    const { data } = (await answer.json()) as { data: { groups: { rules: unknown[] }[] } }
    expect(data.groups.flatMap(({ rules }) => rules).length).toBeGreaterThan(10)
    // The image of Prometheus holds promtool, a stand-in for it may not.
    if ((await compose(['exec', '-T', 'prometheus', 'promtool', '--version'])).code !== 0) return
    await vi.waitFor(async () => {
      const asked = ['inspect', '--format', '{{.State.Health.Status}}', `${project}-prometheus-1`]
      expect((await run('docker', asked)).text.trim()).toBe('healthy')
    }, PATIENT)
  })
})
