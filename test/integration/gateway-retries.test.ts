import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { type GatewayProcess, startGateway } from '../kit/gateway-process.ts'
import { type HttpAnswer, type HttpLoad, openHttpLoad } from '../kit/http-load.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'

const MODEL = 'loops-by-input'
/** As often the model loops: some milliseconds of honest work, one event at a time. */
const LOOPS = 20_000
const PATH = `/v2/models/${MODEL}/infer`
const MANIFEST = 'batching:\n  maxRows: 1\n'
const DEADLINE_MS = 2_000
/** Each asks again as soon as it was answered: together for three times what is worked off within the shares of deadlines. */
const REQUESTS_EACH = 2

let folder: Awaited<ReturnType<typeof modelsFolder>>
let pipeline: Pipeline
let gateway: GatewayProcess
let load: HttpLoad

beforeAll(async () => {
  folder = await modelsFolder([MODEL])
  await writeFile(join(folder.path, MODEL, 'manifest.yaml'), MANIFEST)
  pipeline = await openPipeline({ models: folder.path })
  await pipeline.startWorker()
  gateway = await startGateway({ url: pipeline.broker.url, env: pipeline.env })
  load = openHttpLoad(() => [gateway.address], 256)
})

afterAll(async () => {
  load?.close()
  await gateway?.end()
  await pipeline?.close()
  await folder?.remove()
})

function ask(timeoutMs = DEADLINE_MS): Promise<HttpAnswer> {
  const inputs = [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [LOOPS, 1] }]
  return load.send('POST', PATH, JSON.stringify({ inputs, parameters: { timeout: 1_000 * timeoutMs } }))
}

/** How long an event takes while all are asked at once, milliseconds. */
async function paceMs(): Promise<number> {
  const startedAt = performance.now()
  const events = 30
  const all = await Promise.all(Array.from({ length: events }, () => ask(600_000)))
  expect(all.map(({ status }) => status)).toEqual(all.map(() => 200))
  return (performance.now() - startedAt) / events
}

interface Told {
  sent: number
  predicted: number
  refused: number
  /** Let in and not predicted: too late, or given up early. */
  lost: number
}

/** A client that waits as it is told, until it has its answer. */
function persist(told: Told): Promise<boolean> {
  const askOnce = async (): Promise<boolean> => {
    told.sent++
    const { status, headers, body } = await ask()
    if (status === 200) {
      told.predicted++
      return true
    }
    const { reason } = JSON.parse(body.toString()) as { readonly reason?: string }
    if (status === 504 || reason !== undefined) told.lost++
    else told.refused++
    expect([503, 504]).toContain(status)
    await sleep(1_000 * Number(headers['retry-after'] ?? 0))
    return false
  }
  return eventually('an answer to a client that obeys', askOnce, { limitMs: 600_000, everyMs: 1 })
}

test('clients that obey Retry-After come to success at three times the load, and all adds up', async () => {
  const eachMs = await paceMs()
  // What waits at once of so many is three times the share of its deadline that `normal` may wait.
  const clients = Math.ceil((3 * 0.4 * DEADLINE_MS) / eachMs)
  const before = await pipeline.lastIn(STREAMS.features)
  const told: Told = { sent: 0, predicted: 0, refused: 0, lost: 0 }
  await Promise.all(
    Array.from({ length: clients }, async () => {
      for (let each = 0; each < REQUESTS_EACH; each++) await persist(told)
    }),
  )
  expect(told.refused).toBeGreaterThan(0)
  expect(told.predicted).toBe(REQUESTS_EACH * clients)
  expect(told.sent).toBe(told.predicted + told.refused + told.lost)
  const events = await pipeline.lastIn(STREAMS.features)
  // What was refused is no event.
  expect(events - before).toBe(told.predicted + told.lost)
  const { predictions, failures } = await pipeline.settled(events)
  expect(predictions.size + failures.size).toBe(events)
  expect(failures.size).toBeLessThanOrEqual(told.lost)
})
