// What telemetry costs: how many flights one worker predicts a second without it, with metrics (scraped every five
// seconds), and with metrics and traces where one event in a hundred is sampled. The events are the same in all three.
// The processor time of the main thread, where all of it happens, is told as well: what else the machine does hits it
// far less than the rate (Linux).
// npx tsx test/bench/telemetry.ts [--events=30000] [--runs=5]
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { loadFlights } from '../../services/demo/flights.ts'
import { DEMO_MODEL, DEMO_MODELS } from '../../services/demo/models.ts'
import { type OtlpReceiver, startOtlpReceiver } from '../kit/otlp-receiver.ts'
import { startWorkerProcess } from '../kit/worker-process.ts'
import { median, numberArgument, openStage, rateOf, type Stage } from '../scale/stage.ts'

const events = numberArgument('events', 30_000)
const runs = numberArgument('runs', 5)
const SAMPLED_EVERY = 100
const SCRAPE_EVERY_MS = 5_000
const CHUNK = 5_000
const flights = await loadFlights({ count: 20_000 })

const MODES: Readonly<Record<string, (receiver: OtlpReceiver) => NodeJS.ProcessEnv>> = {
  off: () => ({}),
  metrics: () => ({ PELTON_HTTP_PORT: '0' }),
  'metrics and traces': ({ url }) => ({
    PELTON_HTTP_PORT: '0',
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${url}/v1/traces`,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: String(1 / SAMPLED_EVERY),
  }),
}

async function publishAll({ producer }: Stage): Promise<void> {
  for (let done = 0; done < events; done += CHUNK) {
    const chunk = Array.from({ length: Math.min(CHUNK, events - done) }, (_event, offset) => {
      const index = done + offset
      const flags = index % SAMPLED_EVERY === 0 ? '01' : '00'
      return producer.publish({
        model: DEMO_MODEL,
        id: `event-${index}`,
        features: { ...flights[index % flights.length]?.features },
        traceparent: `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-${flags}`,
      })
    })
    await Promise.all(chunk)
  }
}

interface Cost {
  /** Events a second, from the first outcome to the last. */
  readonly rate: number
  /** Processor time of the worker's main thread, microseconds an event. */
  readonly cpuUs: number
}

/** Processor time of the main thread of a process so far, in ticks of 10 ms. */
async function ticksOf(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/task/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? []
  return Number(fields[11]) + Number(fields[12])
}

async function measure(env: NodeJS.ProcessEnv): Promise<Cost> {
  const stage = await openStage()
  try {
    await publishAll(stage)
    const worker = await startWorkerProcess({ url: stage.url, models: DEMO_MODELS, env })
    const before = await ticksOf(worker.pid)
    const address = worker.log.find(({ msg }) => msg === 'listening')?.address
    const scraper = setInterval(() => void scrape(address), SCRAPE_EVERY_MS)
    try {
      const rate = rateOf(await stage.answered(events))
      return { rate, cpuUs: (((await ticksOf(worker.pid)) - before) * 10_000) / events }
    } finally {
      clearInterval(scraper)
      worker.kill('SIGTERM')
      await worker.ended
    }
  } finally {
    await stage.close()
  }
}

async function scrape(address: unknown): Promise<void> {
  if (address !== undefined) await (await fetch(`${address}/metrics`)).text()
}

const receiver = await startOtlpReceiver()
const costs = new Map(Object.keys(MODES).map((mode) => [mode, [] as Cost[]]))
for (let run = 0; run < runs; run++) {
  // Each mode is first in its turn: what a machine does meanwhile hits all of them.
  const names = Object.keys(MODES)
  const turn = run % names.length
  for (const mode of [...names.slice(turn), ...names.slice(0, turn)])
    costs.get(mode)?.push(await measure(MODES[mode]?.(receiver) ?? {}))
  const shown = [...costs].map(([mode, all]) => `${mode} ${show(all.slice(-1))}`)
  console.log(`run ${run + 1}: ${shown.join('; ')}`)
}
await receiver.close()
const off = costs.get('off') ?? []
for (const [mode, all] of costs) {
  const rate = median(all.map((cost) => cost.rate)) / median(off.map((cost) => cost.rate))
  const cpu = median(all.map((cost) => cost.cpuUs)) / median(off.map((cost) => cost.cpuUs))
  console.log(`${mode}: median ${show(all)}; of off: rate ${rate.toFixed(3)}, main thread ${cpu.toFixed(3)}`)
}
console.log(`${receiver.spans.length} spans received in ${runs} runs`)

function show(all: readonly Cost[]): string {
  const rate = median(all.map((cost) => cost.rate))
  return `${rate.toFixed(0)} events/s, ${median(all.map(({ cpuUs }) => cpuUs)).toFixed(1)} µs/event`
}
