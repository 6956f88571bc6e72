import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import type { Role } from '../../shared/operations/rights/table.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { createSubscriber } from '../../shared/sdk/subscriber.ts'
import { latestModels } from '../kit/models-folder.ts'
import { eventually } from '../kit/wait.ts'
import { startWorkerProcess } from '../kit/worker-process.ts'
import { runCli, succeeds } from './cli-process.ts'
import { type ControlProcess, startControl } from './control-process.ts'
import { serveAtDoor } from './rights-gateway-work.ts'
import type { RightsServer, SdkLogin } from './rights-server.ts'

const GOOD = Buffer.from(JSON.stringify({ features: EXAMPLE_FLIGHT }))
const BAD = Buffer.from('{"features":{"origin":"DTW"}}')
/** A replay with it is sent, and fails as before. */
const STILL_BAD = [{ op: 'add', path: '/features/destination', value: 'LAX' }]

/** How each role logs in. */
export interface Logins {
  envOf(role: Role): NodeJS.ProcessEnv
  loginOf(role: Role): SdkLogin
}

/**
 * Does with each role, under its own user, all that it is for: provisions, predicts, serves, watches, replays, audits.
 *
 * @param withCommands whether an operator does all of it by commands
 */
export async function workAsEachRole(
  { url, monitorUrl }: RightsServer,
  logins: Logins,
  withCommands: boolean,
): Promise<void> {
  await succeeds(['provision'], logins.envOf('admin'))
  const worker = await startWorkerProcess({ url, models: latestModels(), env: logins.envOf('worker') })
  try {
    await sendAndReceive(logins)
    await serveAtDoor(logins)
    const env = { ...logins.envOf('control'), PELTON_NATS_MONITOR_URL: monitorUrl }
    await operate(url, env, withCommands)
  } finally {
    worker.kill()
  }
  expect(await worker.ended).toBe(0)
}

async function sendAndReceive({ loginOf }: Logins): Promise<void> {
  const subscriber = await createSubscriber({
    ...loginOf('subscriber'),
    model: 'flight-delay',
    include: 'all',
    from: 'all',
  })
  const producer = await createProducer({ ...loginOf('producer'), source: 'rights' })
  const asked = await producer.request({ model: 'flight-delay', id: 'asked', data: GOOD })
  expect(asked.kind).toBe('prediction')
  const ids = ['a', 'b', 'c', 'd']
  await Promise.all(ids.map((id) => producer.publish({ model: 'flight-delay', id, data: GOOD })))
  await producer.publish({ model: 'flight-delay', id: 'bad', data: BAD })
  const kinds: string[] = []
  for await (const result of subscriber) {
    kinds.push(result.kind)
    result.ack()
    if (kinds.length === 6) break
  }
  await subscriber.close()
  await producer.close()
  expect(kinds.filter((kind) => kind === 'prediction')).toHaveLength(5)
  expect(kinds.filter((kind) => kind === 'failure')).toHaveLength(1)
}

/** What an operator does: by commands, each a process of its own, or by the service of control, whose watch looks on in any case. */
async function operate(url: string, env: NodeJS.ProcessEnv, withCommands: boolean): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'pelton-rights-work-'))
  const service = await startControl({ url, dataDir, env })
  try {
    await succeeds(['doctor'], env)
    await (withCommands ? operateByCommands(env) : operateOver(service))
  } finally {
    const how = await service.end()
    await rm(dataDir, { recursive: true, force: true })
    expect(how, JSON.stringify(service.log)).toBe(0)
  }
}

async function operateOver({ call }: ControlProcess): Promise<void> {
  const ask = async (method: 'GET' | 'POST', path: string, body?: object) => {
    const { status, text, json } = await call(method, path, { body })
    expect(status, `${method} ${path} ${text}`).toBeLessThan(300)
    return json
  }
  const audited = async (body: object): Promise<boolean> => (await ask('POST', '/v1/audit', body)).clean
  await ask('GET', '/v1/status')
  await ask('GET', '/v1/dead-letters')
  const replay = { patch: STILL_BAD }
  await ask('POST', '/v1/replays/plan', replay)
  const { task } = await ask('POST', '/v1/replays', {
    ...replay,
    all: true,
    rampSeconds: 0,
    maxFailureShare: 1,
  })
  const state = async (): Promise<string> => (await ask('GET', `/v1/replays/${task.id}`)).state
  await eventually('the replay to end', async () => (await state()) === 'done', { seen: state })
  await ask('GET', '/v1/replays')
  expect([await audited({}), await audited({ deep: true })]).toEqual([true, true])
  const [letter] = (await ask('GET', '/v1/dead-letters')).deadLetters
  await ask('POST', '/v1/dead-letters/discard', { which: [letter.token], because: 'a test', confirm: true })
  expect(await audited({})).toBe(true)
}

async function operateByCommands(env: NodeJS.ProcessEnv): Promise<void> {
  for (const command of [
    ['status'],
    ['dead-letters', 'list'],
    ['replay', 'plan'],
    ['replay', 'start', '--all', '--rate', '1000', '--ramp', '0'],
    ['replay', 'list'],
    ['audit'],
    ['audit', '--deep'],
  ])
    await succeeds(command, env)
  const [letter] = (await runCli(['dead-letters', 'list', '--json'], { env })).json()
  await succeeds(['dead-letters', 'discard', letter.token, '--because', 'a test', '--yes'], env)
  await succeeds(['audit'], env)
}
