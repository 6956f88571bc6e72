import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import { STORES } from '../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { startTestBroker } from '../kit/broker.ts'
import { type GatewayProcess, spawnGateway, startGateway } from '../kit/gateway-process.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'

let pipeline: Pipeline
beforeAll(async () => {
  pipeline = await openPipeline()
  // What the pool has is known from here on, also while no worker is there.
  await pipeline.startWorker()
  await pipeline.endWorkers()
})
afterAll(() => pipeline.close())

async function opened(url = pipeline.broker.url, env: NodeJS.ProcessEnv = {}): Promise<GatewayProcess> {
  const gateway = await startGateway({ url, env: { PELTON_PREFIX: pipeline.broker.place.prefix, ...env } })
  onTestFinished(() => gateway.kill('SIGKILL'))
  return gateway
}

/** A request that waits for a worker. */
function ask({ address }: GatewayProcess, headers: Record<string, string> = {}): Promise<Response> {
  const body = JSON.stringify({ features: EXAMPLE_FLIGHT, parameters: { timeout: 600_000_000 } })
  const asked = fetch(`${address}/v2/models/flight-delay/infer`, { method: 'POST', body, headers })
  asked.catch(() => undefined) // one that is cut is looked at later
  return asked
}

const stored = (): Promise<unknown> =>
  eventually('an event', async () => {
    const { state } = await requestApi<{ state: { messages: number } }>(
      pipeline.connection,
      'STREAM.INFO.FEATURES',
    )
    return state.messages > 0
  })

describe('a gateway that is to end', () => {
  test.each([{}, { 'idempotency-key': 'k' }])(
    'answers what is in flight (%j), and leaves with 0',
    async (headers) => {
      // On a crowded machine a worker takes its time.
      const gateway = await opened(undefined, { PELTON_GATEWAY_GRACE_MS: '300000' })
      const asked = ask(gateway, headers as Record<string, string>)
      await stored()
      gateway.kill()
      await eventually('the drain', () => gateway.log.some(({ state }) => state === 'draining'))
      await pipeline.startWorker()
      expect((await asked).status).toBe(200)
      expect(await gateway.ended).toBe(0)
      await pipeline.endWorkers()
    },
  )

  test('tells those whose answers do not come in time where they will be, and leaves with 0', async () => {
    const gateway = await opened(undefined, { PELTON_GATEWAY_GRACE_MS: '4000' })
    const asked = ask(gateway)
    await stored()
    gateway.kill()
    const late = await asked
    expect([late.status, late.headers.get('location')]).toEqual([
      504,
      expect.stringContaining('/v1/results/'),
    ])
    expect(await gateway.ended).toBe(0)
    const next = await opened()
    await pipeline.startWorker()
    const location = `${next.address}${late.headers.get('location')}`
    await eventually('the result', async () => (await fetch(location)).status === 200)
    await pipeline.endWorkers()
    next.kill()
    expect(await next.ended).toBe(0)
  })

  test('is forced by a second signal, and what it took is answered all the same', async () => {
    const gateway = await opened()
    const later = await ask(gateway, { prefer: 'respond-async' })
    expect(later.status).toBe(202)
    const asked = ask(gateway)
    await eventually(
      'both',
      async () =>
        (await requestApi<{ state: { messages: number } }>(pipeline.connection, 'STREAM.INFO.FEATURES')).state
          .messages === 2,
    )
    gateway.kill()
    await eventually('the drain', () => gateway.log.some(({ state }) => state === 'draining'))
    gateway.kill()
    await expect(asked).rejects.toThrow()
    expect(await gateway.ended).toBe(3)
    const next = await opened()
    await pipeline.startWorker()
    const location = `${next.address}${later.headers.get('location')}`
    await eventually('the result', async () => (await fetch(location)).status === 200)
    await pipeline.endWorkers()
    next.kill()
    expect(await next.ended).toBe(0)
  })

  test('ends although its broker is away', async () => {
    const broker = await startTestBroker()
    onTestFinished(() => broker.stop())
    await broker.provision()
    const gateway = await opened(broker.url)
    await broker.kill()
    await eventually(
      'the gateway to know',
      async () => !(await fetch(`${gateway.address}/v2/health/ready`)).ok,
    )
    gateway.kill()
    expect(await gateway.ended, JSON.stringify(gateway.log.slice(-4))).toBe(0)
  })
})

test('a broker without the buckets of gateways is told what to do', async () => {
  const broker = await startTestBroker()
  onTestFinished(() => broker.stop())
  await broker.provision()
  const connection = await broker.connect()
  for (const store of [STORES.keys, STORES.requests]) {
    await requestApi(connection, `STREAM.DELETE.${store}`)
    const gateway = spawnGateway({ url: broker.url, env: { PELTON_PREFIX: broker.place.prefix } })
    expect(await gateway.ended).toBe(1)
    const said = gateway.log.find(({ msg }) => msg === 'failed')
    expect(said).toMatchObject({
      err: { message: expect.stringMatching(/not-provisioned: stream .*does not exist.*pelton provision/) },
    })
  }
})
