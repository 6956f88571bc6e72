import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { createAuthority, serverTls } from '../kit/certificates.ts'
import { latestModels } from '../kit/models-folder.ts'
import { createTestOperator } from '../kit/operator.ts'
import { readPrometheus } from '../kit/prometheus-text.ts'
import { type SecuredServer, startSecuredServer } from '../kit/secured-server.ts'
import { eventually, PATIENT } from '../kit/wait.ts'
import { addressOf, startWorkerProcess } from '../kit/worker-process.ts'
import { runCli, startCli } from './cli-process.ts'
import { put } from './security-forms.ts'

const DAY_S = 24 * 3_600
const inDays = (days: number): Date => new Date(Date.now() + days * DAY_S * 1_000)
const operator = createTestOperator()

let folder: string
let server: SecuredServer
let env: NodeJS.ProcessEnv
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pelton-expiry-'))
  const authority = await createAuthority(folder)
  const { cert, key } = await authority.issue('client', { until: inDays(2) })
  const ca = JSON.stringify(authority.file)
  server = await startSecuredServer({
    config: `${operator.config()}\n${await serverTls(authority, `verify: true, ca_file: ${ca}`)}`,
  })
  env = {
    PELTON_NATS_URL: `tls://localhost:${server.port}`,
    PELTON_NATS_TLS_CA: authority.file,
    PELTON_NATS_TLS_CERT: cert,
    PELTON_NATS_TLS_KEY: key,
    PELTON_NATS_CREDS: await put(folder, 'user.creds', operator.user({ until: inDays(4) }).creds),
    PELTON_DATA: join(folder, 'data'),
  }
  expect((await runCli(['provision'], { env })).code).toBe(0)
})
afterAll(async () => {
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
})

test.each([
  [30, 'ok', 0],
  [4, 'warn', 0],
  [0.5, 'fail', 1],
])('doctor says of credentials with %s days left: %s', async (days, level, code) => {
  const creds = await put(folder, 'other.creds', operator.user({ until: inDays(days) }).creds)
  const doctor = await runCli(['doctor', '--json'], { env: { ...env, PELTON_NATS_CREDS: creds } })
  const found = doctor.json().filter(({ check }) => ['credentials', 'certificate'].includes(check))
  expect(found).toEqual([
    expect.objectContaining({ check: 'credentials', level, text: expect.stringContaining(creds) }),
    expect.objectContaining({ check: 'certificate', level: 'warn' }),
  ])
  expect(doctor.code).toBe(code)
})

test('control alerts of its own, and the metrics of control and workers say how long each is let in', async () => {
  const control = startCli(['control'], {
    env: { ...env, PELTON_CONTROL_PORT: '0', PELTON_CONTROL_TOKEN: 'x'.repeat(32), PELTON_WATCH_MS: '200' },
  })
  onTestFinished(async () => {
    control.child.kill('SIGKILL')
    await control.ended
  })
  const served = /"address":"(http:[^"]+)".*"serving"/
  const address = await eventually('a control service that serves', () => served.exec(control.out())?.[1], {
    seen: () => control.out() + control.err(),
  })
  const worker = await startWorkerProcess({
    ...{ url: String(env.PELTON_NATS_URL), models: latestModels() },
    env: { ...env, PELTON_HTTP_PORT: '0' },
  })
  onTestFinished(async () => {
    worker.kill('SIGKILL')
    await worker.ended
  })
  for (const each of [address, await addressOf(worker)]) {
    const metrics = readPrometheus(await (await fetch(`${each}/metrics`)).text())
    const left = (kind: string): number =>
      (metrics.value('pelton_credentials_left_seconds', { kind }) ?? Number.NaN) / DAY_S
    expect(left('credentials')).toBeCloseTo(4, 0)
    expect(left('certificate')).toBeCloseTo(2, 0)
  }
  await vi.waitFor(async () => {
    const { out } = await runCli(['status'], { env })
    expect(out).toContain('credentials-end')
    expect(out).toContain('user.creds end in ')
  }, PATIENT)
})
