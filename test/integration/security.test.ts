import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import { openOutbox } from '../../shared/sdk/outbox.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { createSubscriber } from '../../shared/sdk/subscriber.ts'
import { waitFor } from '../../shared/sdk/wait-for.ts'
import { latestModels } from '../kit/models-folder.ts'
import { startSecuredServer } from '../kit/secured-server.ts'
import { startWorkerProcess } from '../kit/worker-process.ts'
import { startCli, succeeds } from './cli-process.ts'
import { FORMS, type Form, inDomain, mutualTls, urlOf, withCredentials } from './security-forms.ts'

const MODEL = 'flight-delay'
const GOOD = { features: EXAMPLE_FLIGHT }
const BAD = { features: { origin: 'DTW' } }
const OPERATOR = ['credentials file, operator mode', withCredentials] as const

/** A server of a form, a folder for its files, and the environment of whoever uses it; ended with the test. */
async function open(make: (folder: string) => Promise<Form>) {
  const folder = await mkdtemp(join(tmpdir(), 'pelton-security-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const form = await make(folder)
  const server = await startSecuredServer(form)
  onTestFinished(() => server.stop())
  const url = urlOf(form, server.port)
  const env = { ...form.env, PELTON_NATS_URL: url, PELTON_DATA: join(folder, 'data'), USER: 'ops' }
  return { folder, form, server, url, env }
}

/** Forms that change more than how a connection is made, or are easily told to others: with them more commands are tried. */
const FAR_REACHING = [
  OPERATOR[0],
  'user and password in the address',
  'JetStream domain',
  'inbox prefix, and no right to any other inbox',
]

describe('commands, a worker and the package work with', () => {
  test('forms that are there', () => {
    expect(FAR_REACHING.filter((name) => !(name in FORMS))).toEqual([])
  })

  test.each(Object.entries(FORMS))('%s', async (name, make) => {
    const { folder, form, url, env } = await open(make)
    const said: string[] = []
    const run = async (...args: readonly string[]): Promise<void> => void said.push(await succeeds(args, env))
    await run('provision')
    await run('doctor')
    const worker = await startWorkerProcess({ url, models: latestModels(), env })
    onTestFinished(async () => {
      worker.kill('SIGKILL')
      await worker.ended
    })
    const producer = await createProducer({ ...form.options, url, source: 'security' })
    onTestFinished(() => producer.close())
    const answer = await producer.request({ model: MODEL, id: 'asked', ...GOOD })
    expect(answer.kind).toBe('prediction')
    const subscriber = await createSubscriber({ ...form.options, url, include: 'all', from: 'all' })
    onTestFinished(() => subscriber.close())
    await producer.publish({ model: MODEL, id: 'bad', ...BAD })
    const kinds: string[] = []
    for await (const result of subscriber) {
      kinds.push(result.kind)
      result.ack()
      if (kinds.length === 2) break
    }
    expect(kinds).toEqual(['prediction', 'failure'])
    const outbox = await openOutbox({ ...form.options, url, source: 'outbox', path: join(folder, 'outbox') })
    onTestFinished(() => outbox.close())
    await outbox.publish({ model: MODEL, id: 'kept', ...GOOD })
    await outbox.flush()
    if (FAR_REACHING.includes(name)) {
      await run('status')
      await run('replay', 'start', '--all', '--rate', '1000', '--ramp', '0', '--max-failure-share', '1')
      await run('dead-letters', 'list')
    }
    await run('audit', '--deep')
    worker.kill()
    expect(await worker.ended, JSON.stringify(worker.log)).toBe(0)
    for (const secret of form.secrets)
      expect(said.join('') + JSON.stringify(worker.log)).not.toContain(secret)
  })
})

describe('a system of its own at a broker that is kept from others', () => {
  test.each([OPERATOR, ['client certificate', mutualTls] as const])('demo: %s', async (_form, make) => {
    const { env } = await open(make)
    await succeeds(['demo', '--flights', '3000'], env)
  })

  test.each([OPERATOR, ['JetStream domain', inDomain] as const])('up: %s', async (_form, make) => {
    const { form, url, env } = await open(make)
    const up = startCli(['up'], { env: { ...env, PELTON_CONTROL_PORT: '0', PELTON_MODELS: latestModels() } })
    onTestFinished(async () => {
      up.child.kill('SIGKILL')
      await up.ended
    })
    await up.until('takes events')
    await up.until('control: ')
    const producer = await createProducer({ ...form.options, url, source: 'security' })
    onTestFinished(() => producer.close())
    const { token } = await producer.publish({ model: MODEL, id: 'one', ...GOOD })
    expect((await waitFor(producer, { model: MODEL, token })).kind).toBe('prediction')
    up.child.kill('SIGINT')
    expect(await up.ended, up.out() + up.err()).toBe(0)
    for (const secret of form.secrets) expect(up.out() + up.err()).not.toContain(secret)
  })
})

test('a broker of its own is asked without any of it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pelton-security-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const other = { PELTON_NATS_CREDS: '/none', PELTON_NATS_TLS_CA: '/none', PELTON_NATS_DOMAIN: 'hub' }
  const env = { ...other, PELTON_DATA: join(folder, 'data'), PELTON_MODELS: latestModels() }
  const up = startCli(['up', '--no-control'], { env })
  onTestFinished(async () => {
    up.child.kill('SIGKILL')
    await up.ended
  })
  await up.until('takes events')
  await succeeds(['status'], env)
  up.child.kill('SIGINT')
  expect(await up.ended, up.out() + up.err()).toBe(0)
})
