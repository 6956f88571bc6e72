import { mkdtemp, rename, rm, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import type { ConnectionTrouble } from '../../shared/sdk/jetstream/trouble.ts'
import { createProducer, type Producer } from '../../shared/sdk/producer.ts'
import { createAuthority } from '../kit/certificates.ts'
import { latestModels } from '../kit/models-folder.ts'
import { createTestOperator } from '../kit/operator.ts'
import { startSecuredServer } from '../kit/secured-server.ts'
import { PATIENT } from '../kit/wait.ts'
import { addressOf, startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'
import { runCli } from './cli-process.ts'
import { mutualTls, put, urlOf } from './security-forms.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pelton-rotation-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const GOOD = { model: 'flight-delay', features: EXAMPLE_FLIGHT }

/** As a secret is replaced: the new file is there at once, whole. */
async function replace(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text)
  await rename(`${path}.new`, path)
}

async function startWorker(url: string, env: NodeJS.ProcessEnv): Promise<WorkerProcess> {
  expect((await runCli(['provision'], { env: { ...env, PELTON_NATS_URL: url } })).code).toBe(0)
  const worker = await startWorkerProcess({
    url,
    models: latestModels(),
    env: { ...env, PELTON_HTTP_PORT: '0' },
  })
  onTestFinished(async () => {
    worker.kill('SIGKILL')
    await worker.ended
  })
  return worker
}

async function openProducer(options: Parameters<typeof createProducer>[0]): Promise<Producer> {
  const producer = await createProducer(options)
  onTestFinished(() => producer.close({ timeoutMs: 0 }).catch(() => undefined))
  return producer
}

async function reasonsOf(worker: WorkerProcess): Promise<string> {
  const response = await fetch(`${await addressOf(worker)}/readyz`)
  return ((await response.json()) as { reasons: string[] }).reasons.join('\n')
}

const warned = ({ log }: WorkerProcess, text: string): number =>
  log.filter(({ reason }) => String(reason).includes(text)).length

test('credentials replaced on disk are used when the old ones are revoked: worker and producer go on', async () => {
  const operator = createTestOperator()
  const [first, second] = [operator.user(), operator.user()]
  const credsFile = await put(folder, 'user.creds', first.creds)
  const server = await startSecuredServer({ config: operator.config() })
  onTestFinished(() => server.stop())
  const url = `nats://127.0.0.1:${server.port}`
  const worker = await startWorker(url, { PELTON_NATS_CREDS: credsFile })
  const troubles: ConnectionTrouble[] = []
  const onTrouble = (trouble: ConnectionTrouble): void => void troubles.push(trouble)
  const producer = await openProducer({ url, credsFile, source: 'rotation', onTrouble })
  expect((await producer.request({ ...GOOD, id: 'before' })).kind).toBe('prediction')

  await server.restart(operator.config({ revoked: [first.publicKey] }))
  await vi.waitFor(async () => expect(await reasonsOf(worker)).toContain('they are revoked'), PATIENT)
  expect(warned(worker, 'they are revoked')).toBe(1)
  await vi.waitFor(
    () => expect(troubles.filter(({ text }) => text.includes('revoked'))).toHaveLength(1),
    PATIENT,
  )
  expect(troubles.at(-1)).toMatchObject({ kind: 'away', remedy: expect.stringContaining('credsFile') })

  await replace(credsFile, second.creds)
  await vi.waitFor(async () => expect(await reasonsOf(worker)).toBe(''), PATIENT)
  expect((await producer.request({ ...GOOD, id: 'after' })).kind).toBe('prediction')
  expect(JSON.stringify(worker.log)).not.toContain(first.seed)
})

test('credentials that end under a worker are told, and new ones are used', async () => {
  const operator = createTestOperator()
  const credsFile = await put(folder, 'user.creds', operator.user().creds)
  const server = await startSecuredServer({ config: operator.config() })
  onTestFinished(() => server.stop())
  const url = `nats://127.0.0.1:${server.port}`
  const worker = await startWorker(url, { PELTON_NATS_CREDS: credsFile })
  await replace(credsFile, operator.user({ until: new Date(Date.now() + 8_000) }).creds)
  await server.restart() // it connects again, with these
  await vi.waitFor(
    async () => expect(await reasonsOf(worker)).toContain('the credentials have expired, at'),
    PATIENT,
  )
  expect(warned(worker, 'the credentials have expired')).toBeGreaterThan(0)
  await replace(credsFile, operator.user().creds)
  await vi.waitFor(async () => expect(await reasonsOf(worker)).toBe(''), PATIENT)
})

test('a client certificate replaced on disk is used when the broker has changed its authority', async () => {
  const form = await mutualTls(folder)
  const server = await startSecuredServer(form)
  onTestFinished(() => server.stop())
  const url = urlOf(form, server.port)
  const worker = await startWorker(url, form.env)
  // The same names of files, all of another authority.
  await server.pause()
  const authority = await createAuthority(folder)
  await authority.issue('server', { hosts: ['127.0.0.1'] })
  await server.restart()
  await vi.waitFor(async () => expect(await reasonsOf(worker)).toContain('client certificate'), PATIENT)
  await authority.issue('client')
  await vi.waitFor(async () => expect(await reasonsOf(worker)).toBe(''), PATIENT)
})

test('a file that is missing at a reconnect is told with its path; what it held before is used', async () => {
  const operator = createTestOperator()
  const credsFile = await put(folder, 'user.creds', operator.user().creds)
  const server = await startSecuredServer({ config: operator.config() })
  onTestFinished(() => server.stop())
  const troubles: ConnectionTrouble[] = []
  const connection = await connectBroker({
    ...{ url: `nats://127.0.0.1:${server.port}`, name: 'test', credsFile },
    onTrouble: (trouble) => void troubles.push(trouble),
  })
  onTestFinished(() => connection.close())
  await unlink(credsFile)
  await server.restart()
  await vi.waitFor(() => expect(troubles.map(({ kind }) => kind)).toContain('file'), PATIENT)
  expect(troubles.find(({ kind }) => kind === 'file')?.text).toContain(credsFile)
  await vi.waitFor(async () => expect((await connection.rtt()) > 0).toBe(true), PATIENT)
})
