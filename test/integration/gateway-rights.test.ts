import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import type { Role } from '../../shared/operations/rights/table.ts'
import { type GatewayProcess, startGateway } from '../kit/gateway-process.ts'
import { latestModels } from '../kit/models-folder.ts'
import { eventually } from '../kit/wait.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'
import { runCli } from './cli-process.ts'
import { FORMS } from './rights-forms.ts'
import { type RightsServer, startServerOf } from './rights-server.ts'

const FLIGHT = JSON.stringify({ features: EXAMPLE_FLIGHT })
const EVENT = {
  specversion: '1.0',
  id: 'NW332',
  source: 'gate/7',
  type: 'flight',
  data: { features: EXAMPLE_FLIGHT },
}

/** A domain and a prefix under users with passwords: what is refused an operator's users is no different. */
const SOME = FORMS.filter(({ title }) => !/\(operator\)|inboxes|without a prefix/.test(title))

describe.each(SOME)('a gateway under its own user: $title', (form) => {
  let server: RightsServer
  let worker: WorkerProcess
  let gateway: GatewayProcess
  let key = ''
  const envOf = (role: Role): NodeJS.ProcessEnv => ({ ...server.envOf(form.userOf(role)), ...form.env })

  beforeAll(async () => {
    server = await startServerOf(form)
    expect(await runCli(['provision'], { env: envOf('admin') })).toMatchObject({ code: 0 })
    const { url } = server
    worker = await startWorkerProcess({ url, models: latestModels(), env: envOf('worker') })
    gateway = await startGateway({ url, env: { ...envOf('gateway'), PELTON_GATEWAY_KEYS: 'always' } })
    const made = await runCli(['keys', 'create', 'shop', '--all-models', '--json'], { env: envOf('control') })
    expect(made, made.err).toMatchObject({ code: 0 })
    key = String(made.json()[0].key)
  })
  afterAll(async () => {
    gateway?.kill()
    worker?.kill()
    expect([await gateway?.ended, await worker?.ended]).toEqual([0, 0])
    await server?.stop()
  })

  const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`${gateway.address}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${key}`, ...init.headers },
    })
  const post = (path: string, body: string, headers: Record<string, string> = {}): Promise<Response> =>
    ask(path, { method: 'POST', body, headers })
  const infer = (headers: Record<string, string> = {}): Promise<Response> =>
    post('/v2/models/flight-delay/infer', FLIGHT, headers)

  test('answers, remembers, finds results, and knows which keys are good; the server refuses it nothing', async () => {
    await eventually('the key to be known', async () => (await infer()).status === 200)
    const [first, again] = [
      await infer({ 'idempotency-key': 'order-17' }),
      await infer({ 'idempotency-key': 'order-17' }),
    ]
    expect([first.status, again.status]).toEqual([200, 200])
    expect(again.headers.get('pelton-token')).toBe(first.headers.get('pelton-token'))
    const later = await infer({ prefer: 'respond-async' })
    // One that is answered before the stream has said anything needs no handle.
    if (later.status === 202) await foundBehind(later)
    else expect(later.status).toBe(200)
    const published = await post('/v1/models/flight-delay/events?lane=low', JSON.stringify(EVENT), {
      'content-type': 'application/cloudevents+json',
    })
    expect(published.status).toBe(202)
    await foundBehind(published)
    expect((await ask('/v2/models/flight-delay')).status).toBe(200)
    expect((await ask('/v2/health/ready')).status).toBe(200)
    expect(await runCli(['keys', 'revoke', 'shop'], { env: envOf('control') })).toMatchObject({ code: 0 })
    await eventually('the key to be refused', async () => (await infer()).status === 401)
    expect(gateway.log.filter(({ level }) => Number(level) >= 40)).toEqual([])
    const lines = (await server.log()).split('\n')
    expect(lines.filter((line) => /violation|authorization/i.test(line))).toEqual([])
  })

  async function foundBehind(accepted: Response): Promise<void> {
    const location = accepted.headers.get('location') ?? ''
    await eventually(
      'the result',
      async () => (await ask(location, { headers: { prefer: 'wait=5' } })).status === 200,
    )
  }
})
