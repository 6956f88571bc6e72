import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { METRICS, type Metric } from '../../shared/runtime/metrics.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { settled } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'
import { addressOf, startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'
import { type Expositions, fillEveryMetric } from './exposition.ts'
import { findProgram } from './find-program.ts'
import { type PanelQuery, RULES, readPanelQueries, readRules } from './observability-files.ts'
import { type PrometheusProcess, startPrometheus } from './prometheus-process.ts'
import { selectorsOf } from './promql-names.ts'

const found = findProgram('prometheus', 'PELTON_PROMETHEUS')
const binary = 'path' in found ? found.path : ''
const note = 'missing' in found ? ` (skipped: ${found.missing})` : ''

const ENOUGH_SCRAPES = 15

/** Asks until every query has an answer; names those that have none after enough scrapes. */
async function unanswered(
  prometheus: PrometheusProcess,
  queries: readonly PanelQuery[],
): Promise<readonly string[]> {
  let left = queries
  const look = async (): Promise<string[] | undefined> => {
    const [scrapes] = await prometheus.query('min(sum_over_time(up[10m]))')
    const results = await Promise.all(left.map(({ expr }) => prometheus.query(expr)))
    left = left.filter((_query, index) => results[index]?.length === 0)
    const isEnough = Number(scrapes?.value[1] ?? 0) >= ENOUGH_SCRAPES
    return left.length === 0 || isEnough ? left.map(({ panel, expr }) => `${panel}: ${expr}`) : undefined
  }
  return eventually('answers to all queries, or enough scrapes', look, { everyMs: 500, seen: () => left })
}

describe.skipIf(binary === '')(`a Prometheus that has seen every metric of the table${note}`, () => {
  let expositions: Expositions
  let server: Server
  let prometheus: PrometheusProcess

  beforeAll(async () => {
    expositions = await fillEveryMetric()
    server = createServer((request, response) => {
      const [, source = ''] = /^\/(worker|control|gateway|exporter)$/.exec(request.url ?? '') ?? []
      const scrape = expositions[source as 'worker' | 'control' | 'gateway' | 'exporter']
      void scrape().then((text) => response.setHeader('content-type', 'text/plain; version=0.0.4').end(text))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const targets = [`127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`]
    const jobs = [
      { job: 'pelton-worker', targets, path: '/worker' },
      { job: 'pelton-control', targets, path: '/control' },
      { job: 'pelton-gateway', targets, path: '/gateway' },
      { job: 'nats', targets, path: '/exporter' },
    ]
    prometheus = await startPrometheus(binary, jobs, RULES)
  })

  afterAll(async () => {
    await prometheus?.stop()
    server?.closeAllConnections()
    server?.close()
    await expositions?.close()
  })

  test('answers every query of the dashboard', async () => {
    const queries = await readPanelQueries()
    expect(queries.length).toBeGreaterThan(40)
    expect(await unanswered(prometheus, queries)).toEqual([])
  })

  test('can evaluate every rule', async () => {
    const written = await readRules()
    const look = async () => {
      const read = await prometheus.rules()
      return read.every(({ health }) => health !== 'unknown') && read
    }
    const rules = await eventually('every rule to be evaluated', look, { everyMs: 500 })
    expect(rules.length).toBe(written.length)
    expect(rules.filter(({ health }) => health !== 'ok')).toEqual([])
  })

  test('names what is no query', async () => {
    await expect(prometheus.query('sum(')).rejects.toThrow(/parse error/)
  })
})

/** Nothing was retried, and every model is servable: these panels stay empty, and so they should. */
const EMPTY_WHERE_ALL_IS_WELL: ReadonlySet<string> = new Set([
  'Retried and returned',
  'Events that wait for their model',
  'Models that are not servable',
])

describe.skipIf(binary === '')(`a Prometheus that scrapes a real worker${note}`, () => {
  const MODEL = 'identity-fp32'
  let broker: TestBroker
  let folder: Awaited<ReturnType<typeof modelsFolder>>
  let worker: WorkerProcess
  let prometheus: PrometheusProcess

  beforeAll(async () => {
    folder = await modelsFolder([MODEL])
    broker = await startTestBroker()
    await broker.provision()
    worker = await startWorkerProcess({
      url: broker.url,
      models: folder.path,
      env: { PELTON_HTTP_PORT: '0' },
    })
    const { host } = new URL(await addressOf(worker))
    prometheus = await startPrometheus(binary, [{ job: 'pelton-worker', targets: [host] }], RULES)
  })

  afterAll(async () => {
    await prometheus?.stop()
    worker?.kill('SIGKILL')
    await worker?.ended
    await broker?.stop()
    await folder?.remove()
  })

  test('answers every query that asks workers alone', async () => {
    const connection = await broker.connect()
    const producer = await createProducer({ connection, source: 'drift' })
    for (let id = 0; id < 50; id++) {
      const isGood = id > 0
      const inputs = [
        { name: 'x', shape: isGood ? [1, 2] : [1], datatype: 'FP32' as const, data: isGood ? [id, 0] : [0] },
      ]
      await producer.publish({ model: MODEL, id: `e-${id}`, inputs })
    }
    await settled(connection, 50)
    await producer.close()
    const own = new Set(
      Object.values<Metric>(METRICS)
        .filter(({ sources }) => sources.includes('worker'))
        .map(({ prometheus: name }) => name),
    )
    const isOwn = (name: string): boolean =>
      own.has(name) || own.has(name.replace(/_(bucket|sum|count)$/, ''))
    const queries = (await readPanelQueries()).filter(
      ({ panel, expr }) =>
        selectorsOf(expr).every(({ name }) => isOwn(name)) && !EMPTY_WHERE_ALL_IS_WELL.has(panel),
    )
    expect(queries.length).toBeGreaterThan(20)
    expect(await unanswered(prometheus, queries)).toEqual([])
    const [answers] = await prometheus.query('sum(pelton_outcomes_total{outcome=~"predicted|dead-lettered"})')
    expect(answers?.value[1]).toBe('50')
  })
})
