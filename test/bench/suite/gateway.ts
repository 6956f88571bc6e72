import { cpus } from 'node:os'
import { DEMO_MODEL, DEMO_MODELS } from '../../../services/demo/models.ts'
import { createKey } from '../../../shared/operations/keys/keys.ts'
import { eventHeapFlags } from '../../../shared/runtime/heap-flags.ts'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { gatewayIsReady } from '../../kit/gateway-process.ts'
import { eventually } from '../../kit/wait.ts'
import { openStage, peakOf, type Stage } from '../../scale/stage.ts'
import { type CpuTime, startMeter } from '../compare/cpu.ts'
import {
  cpuFigures,
  latencyFigures,
  type Measured,
  OTHER_WORK,
  RATE,
  WORKER_CPU,
} from '../compare/figures.ts'
import { type MeteredProcess, startMetered } from '../compare/worker-under-test.ts'
import { openHttpConnection } from '../peers/http-connection.ts'
import type { PeerTask } from '../peers/peer-task.ts'
import { limit, type Ratio, ratio } from './bars.ts'
import type { BenchOptions } from './options.ts'
import { measureOwn, reached } from './own-store.ts'
import type { ScenarioResult, Subject, SubjectRun } from './result.ts'
import { measureAll } from './rounds.ts'
import type { Workplace } from './workplace.ts'

const LOAD = 'Requests over HTTP'
const ALONE = 'One request on an idle pipeline'
const P50 = 'latency p50 ms'
const ADDED = 'added p50 ms'
/** Where the load asks. */
export const PATH = `/v2/models/${DEMO_MODEL}/infer`
/** One after the other. */
const ONE_BY_ONE = 500

/** A way to ask the gateway. */
interface Way {
  readonly name: string
  readonly title: string
  readonly hasApiKey?: boolean
  readonly isIdempotent?: boolean
}

const WAYS: readonly Way[] = [
  { name: 'gateway', title: 'Pelton: an event on the stream, a worker, the answer back' },
  { name: 'api-key', title: 'the same, each request with an API key', hasApiKey: true },
  {
    name: 'idempotent',
    title: 'the same, each request with an idempotency key of its own',
    isIdempotent: true,
  },
]

/** Requests over 64 connections, the next as soon as one is answered; then one by one. Everything on the same cores. */
export async function measureGateway(
  workplace: Workplace,
  { rounds, events }: BenchOptions,
): Promise<ScenarioResult[]> {
  const task: PeerTask = {
    warmUp: Math.ceil(events / 4),
    events,
    flights: workplace.flightsFile,
    models: DEMO_MODELS,
  }
  const env = { PELTON_BENCH_TASK: JSON.stringify(task) }
  const naive = { args: [workplace.entry('test/bench/peers/fastify-process')], env }
  const runs = await measureAll(workplace, rounds, [
    {
      name: 'naive',
      measure: () => measureOwn({ program: naive, stores: [], signal: workplace.signal }),
    },
    ...WAYS.map((way) => ({ name: way.name, measure: () => measureWay(workplace, way, task) })),
  ])
  const alone = await measureAll(workplace, rounds, [
    {
      name: 'direct',
      measure: () => withGateway(workplace, {}, ({ stage }) => oneByOneDirect(workplace, stage)),
    },
    {
      name: 'http',
      measure: () => withGateway(workplace, {}, ({ address }) => oneByOneHttp(workplace, address)),
    },
  ])
  const told = { events, rounds }
  return [
    { scenario: 'gateway', title: LOAD, told, subjects: loadSubjects(), absent: [], runs },
    {
      scenario: 'gateway',
      title: ALONE,
      told: { events: ONE_BY_ONE, rounds },
      subjects: aloneSubjects(),
      absent: [],
      runs: [...alone, ...added(alone)],
    },
  ]
}

export function gatewayRatios(result: ScenarioResult): Ratio[] {
  if (result.title === ALONE)
    return [
      ...ratio(result, P50, ['http', 'direct']),
      ...limit(result, ADDED, 'added', { kind: 'at most', bar: 1.5 }),
    ]
  return [
    ...ratio(result, RATE, ['gateway', 'naive'], { kind: 'at least', bar: 0.35 }),
    ...ratio(result, RATE, ['api-key', 'gateway'], { kind: 'at least', bar: 0.7 }),
    ...ratio(result, RATE, ['idempotent', 'gateway'], { kind: 'at least', bar: 0.7 }),
  ]
}

function loadSubjects(): readonly Subject[] {
  const settings = '64 connections that stay, the load on the same cores; one worker, one gateway'
  return [
    {
      name: 'naive',
      title: 'Fastify with the model in its handler, nothing stored',
      settings: 'schemas, the same load',
      isPeer: true,
    },
    ...WAYS.map(({ name, title }) => ({ name, title, settings })),
  ]
}

function aloneSubjects(): readonly Subject[] {
  return [
    {
      name: 'direct',
      title: 'published by the SDK, and answered',
      settings: 'the next when one is answered',
    },
    { name: 'http', title: 'over HTTP', settings: 'over one connection, the next when one is answered' },
    { name: 'added', title: 'what HTTP adds', settings: 'the difference of each round' },
  ]
}

/** What of it is measured. */
export interface Running {
  readonly stage: Stage
  readonly worker: MeteredProcess
  readonly gateway: MeteredProcess
  /** Of the gateway. */
  readonly address: string
}

/** A broker, a worker and a gateway of their own. */
export async function withGateway<Result>(
  { entry, signal }: Workplace,
  env: NodeJS.ProcessEnv,
  measure: (running: Running) => Promise<Result>,
): Promise<Result> {
  const stage = await openStage()
  const started: MeteredProcess[] = []
  const start = async (program: string, its: NodeJS.ProcessEnv): Promise<MeteredProcess> => {
    const process = await startMetered(
      { args: [...eventHeapFlags(), entry(program)], env: its },
      stage.url,
      signal,
    )
    started.push(process)
    return process
  }
  try {
    const worker = await start('services/worker/main', {})
    const gateway = await start('services/gateway/main', { PELTON_GATEWAY_PORT: '0', ...env })
    const serving = () => gateway.process.log.find(({ msg }) => msg === 'serving')?.address
    const address = String(await eventually('the gateway to serve', serving))
    await gatewayIsReady(address)
    return await measure({ stage, worker, gateway, address })
  } finally {
    for (const { stop } of started.reverse()) await stop()
    await stage.close()
  }
}

function measureWay(workplace: Workplace, way: Way, task: PeerTask): Promise<Measured> {
  const env = way.hasApiKey === true ? { PELTON_GATEWAY_KEYS: 'always' } : {}
  return withGateway(workplace, env, (running) => measureLoad(workplace, running, way, task))
}

async function measureLoad(
  { entry, signal }: Workplace,
  { stage, worker, gateway, address }: Running,
  way: Way,
  task: PeerTask,
): Promise<Measured> {
  const headers = way.hasApiKey === true ? `Authorization: Bearer ${await keyOf(stage)}\r\n` : ''
  const args = [`${address}${PATH}`, headers, way.isIdempotent === true ? 'keyed' : '']
  const generator = await startMetered(
    {
      args: [entry('test/bench/peers/http-load-process'), ...args],
      env: { PELTON_BENCH_TASK: JSON.stringify(task) },
    },
    '',
    signal,
  )
  try {
    const warm = await reached(generator, 'warm', signal)
    const threads = { worker: worker.process.pid, brokers: [], threadNames: worker.threadNames }
    const sinceWorker = await startMeter(threads)
    const since = await startMeter({
      worker: gateway.process.pid,
      brokers: stage.brokerPids,
      generator: generator.process.pid,
      threadNames: gateway.threadNames,
    })
    const done = await reached(generator, 'done', signal)
    const [cpu, workerCpu] = [await since(), await sinceWorker()]
    const answered = done.answered - warm.answered
    const tookMs = done.atMs - warm.atMs
    const workerUs = workerCpu.us.worker ?? 0
    return {
      figures: {
        [RATE]: (answered * 1_000) / tookMs,
        ...cpuFigures(named(cpu, 'gateway'), answered),
        [WORKER_CPU]: workerUs / answered,
        'peak MiB gateway': await peakOf([gateway.process.pid]),
      },
      // What the worker had, the gateway's meter takes for the work of others.
      conditions: {
        [OTHER_WORK]: Math.max(0, 100 * (cpu.others - workerUs / (1_000 * tookMs * cpus().length))),
      },
    }
  } finally {
    await generator.stop()
  }
}

/** The times of a process that was metered as a worker, under its own name. */
export function named({ us, others }: CpuTime, name: string): CpuTime {
  const renamed = Object.entries(us).map(([key, value]) => [key.replace(/^worker/, name), value])
  return { us: Object.fromEntries(renamed), others }
}

async function keyOf({ connection }: Stage): Promise<string> {
  const window = new PublishWindow(connection)
  const wish = { name: 'bench', models: 'all', pool: 'default', highestLane: 'normal', by: 'bench' } as const
  const { text } = await createKey({ connection, window }, wish)
  window.close()
  return text
}

async function oneByOneDirect({ flights }: Workplace, { producer }: Stage): Promise<Measured> {
  return oneByOne((index) =>
    producer.request({ model: DEMO_MODEL, features: { ...flights[index % flights.length]?.features } }),
  )
}

async function oneByOneHttp({ flights }: Workplace, address: string): Promise<Measured> {
  const url = new URL(address)
  let onAnswer: (text: string) => void = () => undefined
  const socket = openHttpConnection(url, (text) => onAnswer(text))
  try {
    return await oneByOne(async (index) => {
      const body = JSON.stringify({ features: flights[index % flights.length]?.features })
      const lines = [`POST ${PATH} HTTP/1.1`, `Host: ${url.host}`, `Content-Length: ${body.length}`]
      const text = await new Promise<string>((resolve) => {
        onAnswer = resolve
        socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`)
      })
      if (!text.startsWith('HTTP/1.1 200')) throw new Error(text)
    })
  } finally {
    socket.destroy()
  }
}

/** The first fifth warms everything up. */
async function oneByOne(ask: (index: number) => Promise<unknown>): Promise<Measured> {
  const tookMs: number[] = []
  for (let index = 0; index < 1.25 * ONE_BY_ONE; index++) {
    const startedAt = performance.now()
    await ask(index)
    if (index >= 0.25 * ONE_BY_ONE) tookMs.push(performance.now() - startedAt)
  }
  return { figures: latencyFigures(tookMs), conditions: {} }
}

/** What HTTP adds, round by round. */
function added(runs: readonly SubjectRun[]): SubjectRun[] {
  return runs
    .filter(({ subject }) => subject === 'http')
    .map(({ round, figures }) => {
      const direct = runs.find((run) => run.subject === 'direct' && run.round === round)?.figures[P50]
      return {
        subject: 'added',
        round,
        figures: { [ADDED]: (figures[P50] ?? Number.NaN) - (direct ?? Number.NaN) },
        conditions: {},
      }
    })
}
