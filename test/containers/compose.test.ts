import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { afterAll, describe, expect, test } from 'vitest'
import { freePorts } from '../kit/ports.ts'
import { type Finished, run, whyNoEngine } from './engine.ts'

const missing = whyNoEngine()
const title = missing === undefined ? 'docker compose up' : `docker compose up (not here: ${missing})`

/** A project, an image and ports of its own: nothing that runs on this machine is touched. */
const project = `pelton-test-${randomBytes(4).toString('hex')}`
const env: NodeJS.ProcessEnv = {
  PELTON_IMAGE: `${project}:test`,
  PELTON_DEMO_FLIGHTS: '20000',
  // Its brokers have the rights of the Pelton without one.
  PELTON_PREFIX: '',
  PELTON_WORKER_PASSWORD: 'a test',
  PELTON_CONTROL_TOKEN: randomBytes(24).toString('base64url'),
}

const compose = (...args: string[]): Promise<Finished> =>
  run('docker', ['compose', '-p', project, '--profile', 'demo', ...args], env)

/** The first line of a command of `docker`, for a container of this project. */
async function inspect(service: string, format: string): Promise<string> {
  const { text } = await run('docker', ['inspect', '--format', format, `${project}-${service}-1`])
  return text.trim()
}

async function succeed(finished: Promise<Finished>): Promise<string> {
  const { code, text } = await finished
  expect(code, text.slice(-4_000)).toBe(0)
  return text
}

/** Runs a script in a container of this project. */
const inNode = (service: string, script: string): Promise<Finished> =>
  compose('exec', '-T', service, 'node', '--input-type=module', '-e', script)

const BROKERS = ['nats-1', 'nats-2', 'nats-3']
const SERVICES = [...BROKERS, 'worker-1', 'worker-2', 'control', 'gateway']

describe.skipIf(missing !== undefined)(title, () => {
  afterAll(async () => {
    await compose('down', '-v', '--remove-orphans', '--timeout', '5')
    await run('docker', ['image', 'rm', '--force', env.PELTON_IMAGE ?? ''])
  })

  test('builds the image, and everything gets well', async () => {
    const [nats, control, gateway] = await freePorts(3)
    Object.assign(env, {
      PELTON_NATS_PORT: String(nats),
      PELTON_CONTROL_PUBLISHED_PORT: String(control),
      PELTON_GATEWAY_PUBLISHED_PORT: String(gateway),
    })
    await succeed(compose('build', 'provision'))
    await succeed(compose('up', '--wait', '--no-build', ...SERVICES))
    for (const service of SERVICES)
      expect(await inspect(service, '{{.State.Health.Status}}'), service).toBe('healthy')
    expect(await inspect('provision', '{{.State.ExitCode}}')).toBe('0')
  })

  test.each(SERVICES)('%s runs without root, rights and a file system to write to', async (service) => {
    const [user, readOnly, dropped, options] = (
      await inspect(
        service,
        '{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}',
      )
    ).split(' ')
    expect({ user, readOnly, dropped, options }).toEqual({
      user: '1000:1000',
      readOnly: 'true',
      dropped: '[ALL]',
      options: '[no-new-privileges:true]',
    })
  })

  test('streams have three copies and are synced before anything is acknowledged', async () => {
    const told = await succeed(compose('exec', '-T', 'control', 'pelton', 'doctor'))
    expect(told).toMatch(
      /ok +durability: profile power; 3 copies of each stream, synced to disk with each write/,
    )
    const { text } = await run('docker', [
      'exec',
      `${project}-nats-1-1`,
      'wget',
      ...['-q', '-O', '-', 'http://nats-1-monitoring:8222/jsz?config=true'],
    ])
    expect(JSON.parse(text).config).toMatchObject({ sync_always: true })
  })

  test('control knows that what is asked of the brokers is met', async () => {
    const script = "const r = await fetch('http://127.0.0.1:8470/metrics'); console.log(await r.text())"
    const text = await succeed(inNode('control', script))
    expect(text).toMatch(/^pelton_durability_met(\{.*\})? 1$/m)
  })

  test.each([
    ['control', 'http://nats-2-monitoring:8222/varz', /^200$/],
    ['worker-1', 'http://nats-2-monitoring:8222/varz', /^(ENOTFOUND|EAI_AGAIN)$/],
    ['worker-1', 'http://nats-2:8222/varz', /^ECONNREFUSED$/],
  ])('%s asks %s: %s', async (service, url, answer) => {
    const script = `const r = await fetch('${url}').catch((e) => ({ status: e.cause.code })); console.log(r.status)`
    expect((await succeed(inNode(service, script))).trim()).toMatch(answer)
  })

  test('clients on this machine reach a broker, the control service and the gateway, which asks for a key', async () => {
    const socket = connect(Number(env.PELTON_NATS_PORT), '127.0.0.1')
    const [greeting] = await once(socket, 'data')
    socket.destroy()
    expect(String(greeting)).toMatch(/^INFO .*"server_name":"nats-1"/)
    const url = `http://127.0.0.1:${env.PELTON_CONTROL_PUBLISHED_PORT}/readyz`
    expect((await fetch(url, { signal: AbortSignal.timeout(5_000) })).status).toBe(200)
    const index = `http://127.0.0.1:${env.PELTON_GATEWAY_PUBLISHED_PORT}/v2/repository/index`
    const refused = await fetch(index, { method: 'POST', signal: AbortSignal.timeout(5_000) })
    expect(refused.status).toBe(401)
  })

  test('the image holds no package manager', async () => {
    const script =
      "const { readdirSync } = await import('node:fs'); console.log(readdirSync('/usr/local/bin').join())"
    const programs = (await succeed(inNode('worker-1', script))).trim().split(',')
    expect(programs).toContain('pelton')
    expect(programs.filter((name) => /^(npm|npx|corepack|yarn)/.test(name))).toEqual([])
  })

  test('the image has the locale that text models load', async () => {
    const model = await readFile(new URL('../models/locale-default.onnx', import.meta.url), 'base64')
    const load = `await InferenceSession.create(Buffer.from('${model}', 'base64'))`
    const script = `import { InferenceSession } from 'onnxruntime-node'; ${load}; console.log('loaded')`
    expect(await succeed(inNode('worker-1', script))).toContain('loaded')
  })

  test('answers every flight once while a broker is killed, and the audit closes', async () => {
    await succeed(compose('up', '-d', '--no-build', '--no-deps', 'subscriber', 'producer'))
    for (let text = ''; !/\n.*?[1-9]\d{3} of 20000 flights answered/.test(text); )
      ({ text } = await compose('logs', '--no-log-prefix', 'subscriber'))
    await succeed(compose('kill', '--signal', 'SIGKILL', 'nats-1'))
    expect(await inspect('subscriber', '{{.State.Running}}'), 'killed in the middle').toBe('true')

    const waited = await run('docker', ['wait', `${project}-producer-1`, `${project}-subscriber-1`])
    const account = await compose('logs', '--no-log-prefix', 'producer', 'subscriber')
    expect(waited.text, account.text).toBe('0\n0\n')
    expect(account.text).toContain('20000 in = 19800 predictions + 200 dead letters\n')
    expect(account.text).toContain('0 unanswered, 0 doubled, 0 unexpected')
    const audited = await succeed(compose('exec', '-T', 'control', 'pelton', 'audit', '--deep'))
    expect(audited).toContain('Every event is accounted for')
  })

  test('the killed broker comes back to the others', async () => {
    await succeed(compose('up', '--wait', '--no-build', '--no-recreate', 'nats-1'))
    expect(await inspect('nats-1', '{{.State.Health.Status}}')).toBe('healthy')
  })

  test('a worker, the gateway and the control service drain when they are stopped', async () => {
    const stopped = ['worker-1', 'gateway', 'control']
    await succeed(compose('stop', ...stopped))
    for (const service of stopped) expect(await inspect(service, '{{.State.ExitCode}}'), service).toBe('0')
  })

  test('nothing of it is left after `down -v`', async () => {
    await succeed(compose('down', '-v'))
    const label = `label=com.docker.compose.project=${project}`
    for (const kind of [
      ['ps', '-aq'],
      ['volume', 'ls', '-q'],
      ['network', 'ls', '-q'],
    ])
      expect((await run('docker', [...kind, '--filter', label])).text).toBe('')
  })
})
