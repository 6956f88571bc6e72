import { expect } from 'vitest'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import type { Role } from '../../shared/operations/rights/table.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { createSubscriber } from '../../shared/sdk/subscriber.ts'
import { latestModels } from '../kit/models-folder.ts'
import { startWorkerProcess } from '../kit/worker-process.ts'
import { runCli, startCli } from './cli-process.ts'
import { serveAtDoor } from './rights-gateway-work.ts'
import type { RightsServer, SdkLogin } from './rights-server.ts'

const GOOD = Buffer.from(JSON.stringify({ features: EXAMPLE_FLIGHT }))
const BAD = Buffer.from('{"features":{"origin":"DTW"}}')

/** How each role logs in. */
export interface Logins {
  envOf(role: Role): NodeJS.ProcessEnv
  loginOf(role: Role): SdkLogin
}

/** Does with each role, under its own user, all that it is for: provisions, predicts, serves, watches, replays, audits. */
export async function workAsEachRole({ url, monitorUrl }: RightsServer, logins: Logins): Promise<void> {
  const provisioned = await runCli(['provision'], { env: logins.envOf('admin') })
  expect(provisioned, provisioned.err).toMatchObject({ code: 0 })
  const worker = await startWorkerProcess({ url, models: latestModels(), env: logins.envOf('worker') })
  try {
    await sendAndReceive(logins)
    await serveAtDoor(logins)
    await operate({ ...logins.envOf('control'), PELTON_NATS_MONITOR_URL: monitorUrl })
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

async function operate(env: NodeJS.ProcessEnv): Promise<void> {
  const service = startCli(['control'], {
    env: { ...env, PELTON_CONTROL_PORT: '0', PELTON_CONTROL_TOKEN: 'x'.repeat(32), PELTON_WATCH_MS: '200' },
  })
  await service.until('"state":"ready"')
  for (const command of [
    ['status'],
    ['doctor'],
    ['dead-letters', 'list'],
    ['replay', 'plan'],
    ['replay', 'start', '--all', '--rate', '1000', '--ramp', '0'],
    ['replay', 'list'],
    ['audit'],
    ['audit', '--deep'],
  ]) {
    const { code, out, err } = await runCli(command, { env })
    expect(code, `${command.join(' ')}\n${out}${err}`).toBe(0)
  }
  const [letter] = (await runCli(['dead-letters', 'list', '--json'], { env })).json()
  const discarded = await runCli(['dead-letters', 'discard', letter.token, '--because', 'a test', '--yes'], {
    env,
  })
  expect(discarded, discarded.err).toMatchObject({ code: 0 })
  expect((await runCli(['audit'], { env })).code).toBe(0)
  service.child.kill('SIGTERM')
  expect(await service.ended, service.err()).toBe(0)
}
