import { describe, expect } from 'vitest'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { openPipeline, settled } from '../kit/pipeline.ts'
import { readPrometheus } from '../kit/prometheus-text.ts'
import { staged } from '../kit/staged.ts'
import { eventually } from '../kit/wait.ts'
import { addressOf } from '../kit/worker-process.ts'

const MODEL = 'identity-fp32'

interface Readiness {
  readonly code: number
  readonly status: string
  readonly reasons: readonly string[]
}

const test = staged(openStage)

async function openStage() {
  const folder = await modelsFolder([MODEL])
  const pipeline = await openPipeline({ models: folder.path })
  const { broker, connection } = pipeline
  const producer = await createProducer({ connection, source: 'test' })
  const worker = await pipeline.startWorker({ PELTON_HTTP_PORT: '0' })
  const address = await addressOf(worker)

  async function readiness(): Promise<Readiness> {
    const response = await fetch(`${address}/readyz`)
    const { status, reasons } = (await response.json()) as Omit<Readiness, 'code'>
    return { code: response.status, status, reasons }
  }

  async function until(isSo: (now: Readiness) => boolean): Promise<Readiness> {
    const look = async (): Promise<Readiness | false> => {
      const now = await readiness()
      return isSo(now) && now
    }
    return eventually('another readiness', look, { seen: readiness })
  }

  async function publish(id: string): Promise<void> {
    const inputs = [{ name: 'x', shape: [1, 2], datatype: 'FP32' as const, data: [1, 2] }]
    await producer.publish({ model: MODEL, id, inputs })
  }

  /** Makes RESULTS refuse, until the returned function is called. */
  async function refuseResults(): Promise<() => Promise<unknown>> {
    const info = await streamInfo(connection, STREAMS.results)
    const update = (config: object) => requestApi(connection, `STREAM.UPDATE.${STREAMS.results}`, config)
    await publish('fills-it')
    await settled(connection, 1)
    await update({ ...info?.config, discard: 'new', max_msgs: 1 })
    return () => update({ ...info?.config })
  }

  async function close(): Promise<void> {
    await pipeline.endWorkers('SIGKILL')
    await producer.close()
    await pipeline.close()
    await folder.remove()
  }

  return { ...pipeline, broker, worker, address, readiness, until, publish, refuseResults, close }
}

const isReady = ({ code }: Readiness): boolean => code === 200

describe.concurrent('a worker', () => {
  test('is not ready while its broker is away, lives on, and is ready when it is back', async ({ stage }) => {
    const { broker, address, readiness, until } = stage
    expect(await readiness()).toEqual({ code: 200, status: 'ready', reasons: [] })
    await broker.kill()
    expect(await until((now) => !isReady(now))).toEqual({
      code: 503,
      status: 'not-ready',
      reasons: [expect.stringMatching(/^broker: no connection/)],
    })
    const why = await until(({ reasons }) => reasons.some((reason) => reason.includes('ECONNREFUSED')))
    expect(why.reasons).toEqual([expect.stringMatching(/^broker: no connection: /)])
    expect((await fetch(`${address}/livez`)).status).toBe(200)
    const metrics = async () => readPrometheus(await (await fetch(`${address}/metrics`)).text())
    expect((await metrics()).value('pelton_broker_reachable', {})).toBe(0)
    expect((await metrics()).value('pelton_ready', {})).toBe(0)
    await broker.restart()
    await until(isReady)
    expect((await metrics()).value('pelton_broker_reachable', {})).toBe(1)
    expect((await metrics()).value('pelton_ready', {})).toBe(1)
  })

  test('says which stream refuses, and why; while it drains it says that too', async ({ stage }) => {
    const { worker, address, until, publish, refuseResults } = stage
    const heal = await refuseResults()
    await publish('waits')
    const refused = await until((now) => !isReady(now))
    expect(refused.reasons).toEqual([
      expect.stringMatching(/^storage: RESULTS refuses \(.*maximum messages exceeded/),
    ])
    const scrape = readPrometheus(await (await fetch(`${address}/metrics`)).text())
    expect(scrape.value('pelton_storage_refusing', { stream_name: 'RESULTS' })).toBe(1)
    expect(scrape.value('pelton_lifecycle_state', { state: 'ready' })).toBe(1)
    expect(scrape.value('pelton_ready', {})).toBe(0)

    worker.kill('SIGTERM')
    const draining = await until(({ status }) => status === 'draining')
    expect(draining.code).toBe(503)
    expect(draining.reasons[0]).toBe('draining')
    await heal()
    expect(await worker.ended).toBe(0)
    const states = worker.log.filter(({ msg }) => msg === 'lifecycle').map(({ state }) => state)
    expect(states).toEqual(['starting', 'ready', 'draining', 'stopped'])
  })

  test('is ready again when the stream takes messages again', async ({ stage }) => {
    const { until, publish, refuseResults } = stage
    const heal = await refuseResults()
    await publish('waits')
    await until((now) => !isReady(now))
    await heal()
    expect(await until(isReady)).toEqual({ code: 200, status: 'ready', reasons: [] })
  })

  test('a port that is taken ends a worker with exit code 2 and the name of the setting', async ({
    stage,
  }) => {
    const { address, startWorker } = stage
    const second = startWorker({ PELTON_HTTP_PORT: new URL(address).port })
    await expect(second).rejects.toThrow(/ended \(2\)[\s\S]*PELTON_HTTP_PORT/)
  })

  test('serves health before the broker answers', async ({ stage }) => {
    const { broker, startWorker } = stage
    await broker.kill()
    const log: string[] = []
    const early = startWorker({ PELTON_HTTP_PORT: '0' }).catch((thrown: Error) => log.push(thrown.message))
    await early
    expect(log[0]).toMatch(/listening[\s\S]*broker-unavailable/)
  })
})
