// How fast the events of a model whose breaker is open are parked, with a few events of another model behind all of them, in the
// same lane. One worker with one thread; server, worker and this process share the machine.
// npx tsx test/bench/parking.ts [--events=20000]
import { openPoolModels } from '../../shared/operations/models/pool-models.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { startTestBroker } from '../kit/broker.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { eventually } from '../kit/wait.ts'
import { startWorkerProcess } from '../kit/worker-process.ts'
import { numberArgument } from '../scale/stage.ts'
import { processUs } from './compare/cpu.ts'

const events = numberArgument('events', 20_000)
const [FAILING, OTHER] = ['gather', 'identity-fp32'] as const
const OTHERS = 100
const AT_ONCE = 2_000
/** Nobody probes meanwhile, milliseconds. */
const LONG_MS = 24 * 3_600_000
const LIMIT_MS = 1_800_000

const folder = await modelsFolder([FAILING, OTHER])
const broker = await startTestBroker()
await broker.provision({ topology: { featuresMaxMessages: 2 * events } })
const connection = await broker.connect()
const records = await openPoolModels(connection, { pool: 'default' })
const now = Date.now()
const state = { failures: 20, probes: 9, nextProbeAt: now + LONG_MS }
await records.update(FAILING, (record) => ({
  ...record,
  breaker: { since: now, cause: 'a bench', ...state },
}))

const producer = await createProducer({ ...broker.place, source: 'bench' })
const index = { name: 'index', datatype: 'INT64', shape: [1], data: BigInt64Array.of(1_000n) } as const
const x = { name: 'x', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(1, 2) } as const
for (let from = 0; from < events; from += AT_ONCE)
  await Promise.all(
    Array.from({ length: Math.min(AT_ONCE, events - from) }, (_item, at) =>
      producer.publish({ model: FAILING, id: `held-${from + at}`, inputs: [index] }),
    ),
  )
for (let at = 0; at < OTHERS; at++) await producer.publish({ model: OTHER, id: `other-${at}`, inputs: [x] })

const stateOf = async (stream: string) => (await streamInfo(connection, stream))?.state
const bounds = { PELTON_PARKED_EVENTS: String(2 * events), PELTON_RETRIES_EVENTS: String(4 * events) }
const env = { PELTON_THREADS: '1', ...bounds }
const worker = await startWorkerProcess({ url: broker.url, models: folder.path, env })
const [began, before] = [performance.now(), await Promise.all([worker.pid, broker.pid].map(processUs))]
const everyMs = 50
await eventually(
  'the others to be answered',
  async () => (await stateOf(STREAMS.results))?.messages === OTHERS,
  { everyMs, limitMs: LIMIT_MS },
)
const seconds = (performance.now() - began) / 1_000
const after = await Promise.all([worker.pid, broker.pid].map(processUs))
// Each look at a parked event puts two messages there: the copy that is due, and the one that is parked again.
const looks = Math.max(0, ((await stateOf(STREAMS.retries))?.last_seq ?? 0) - events) / 2
const perEvent = (at: number): string =>
  (((after[at] ?? 0) - (before[at] ?? 0)) / (events + looks)).toFixed(0)
console.log(
  `${events} events were parked in ${seconds.toFixed(1)} s: ${(events / seconds).toFixed(0)} a second`,
)
console.log(`besides, ${looks.toFixed(0)} looks at parked ones: ${(looks / seconds).toFixed(0)} a second`)
console.log(`processor time of each: worker ${perEvent(0)} µs, broker ${perEvent(1)} µs`)

worker.kill('SIGKILL')
await worker.ended
await producer.close()
await records.close()
await broker.stop()
await folder.remove()
