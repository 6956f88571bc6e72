import { DEMO_MODEL, DEMO_MODELS } from '../../../services/demo/models.ts'
import { speakFlow } from '../../kit/flow.ts'
import { startMeter } from '../compare/cpu.ts'
import { cpuFigures, latencyFigures, type Measured, OTHER_WORK, RATE } from '../compare/figures.ts'
import { type MeteredProcess, startMetered } from '../compare/worker-under-test.ts'
import type { PeerTask } from '../peers/peer-task.ts'
import { type Ratio, ratio } from './bars.ts'
import { named, PATH, withGateway } from './gateway.ts'
import type { BenchOptions } from './options.ts'
import { type Milestone, reached } from './own-store.ts'
import type { ScenarioResult } from './result.ts'
import { measureAll } from './rounds.ts'
import type { Workplace } from './workplace.ts'

const TITLE = 'Requests that are refused'
const CPU = 'µs/event server'
const P99 = 'latency p99 ms'
/** Rows of the highest lane that wait, as the pool says: hours of work. */
const BACKLOG = { high: 1e9, normal: 0, low: 0 }

/** Requests over 64 connections, the next as soon as one is refused: by a gateway, and by a bare route. */
export async function measureRefusal(
  workplace: Workplace,
  { rounds, events }: BenchOptions,
): Promise<ScenarioResult[]> {
  const task: PeerTask = { warmUp: events, events, flights: workplace.flightsFile, models: DEMO_MODELS }
  const runs = await measureAll(workplace, rounds, [
    { name: 'bare', measure: () => measureBare(workplace, task) },
    { name: 'gateway', measure: () => measureGatewayRefusal(workplace, task) },
  ])
  const subjects = [
    {
      name: 'bare',
      title: 'a bare Fastify route that reads the request as JSON and answers 503',
      settings: 'no schema, no logger; 64 connections that stay, the load on the same cores',
    },
    {
      name: 'gateway',
      title: 'Pelton: a gateway that refuses it for what waits, and says so',
      settings: 'metrics on; 64 connections that stay, the load on the same cores',
    },
  ]
  return [{ scenario: 'refusal', title: TITLE, told: { events, rounds }, subjects, absent: [], runs }]
}

export function refusalRatios(result: ScenarioResult): Ratio[] {
  return [
    ...ratio(result, CPU, ['gateway', 'bare'], { kind: 'at most', bar: 1.15 }),
    ...ratio(result, P99, ['gateway', 'bare'], { kind: 'at most', bar: 2 }),
  ]
}

async function measureBare(workplace: Workplace, task: PeerTask): Promise<Measured> {
  const { entry, signal } = workplace
  const server = await startMetered({ args: [entry('test/bench/peers/bare-route-process')] }, '', signal)
  try {
    const { address } = server.process.messages.find(({ state }) => state === 'ready') as { address?: string }
    return await measureLoad(workplace, { server, address: String(address) }, task)
  } finally {
    await server.stop()
  }
}

function measureGatewayRefusal(workplace: Workplace, task: PeerTask): Promise<Measured> {
  return withGateway(workplace, {}, async ({ stage, gateway: server, address }) => {
    const flow = speakFlow(stage.connection, DEMO_MODEL)
    flow.say({ held: BACKLOG })
    try {
      // The first one has the gateway hear the flow.
      await refusedOnce(address, workplace.signal)
      return await measureLoad(workplace, { server, address }, task)
    } finally {
      flow.stop()
    }
  })
}

async function refusedOnce(address: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted()
    const answer = await fetch(`${address}${PATH}`, { method: 'POST', body: '{"features": {}}' })
    if (answer.status === 503) return
  }
}

interface Measuring {
  readonly server: MeteredProcess
  readonly address: string
}

async function measureLoad(
  { entry, signal }: Workplace,
  { server, address }: Measuring,
  task: PeerTask,
): Promise<Measured> {
  const args = [entry('test/bench/peers/http-load-process'), `${address}${PATH}`, '', '', '503']
  const env = { PELTON_BENCH_TASK: JSON.stringify(task) }
  const generator = await startMetered({ args, env }, '', signal)
  try {
    const warm = await reached(generator, 'warm', signal)
    const { pid } = server.process
    const since = await startMeter({
      ...{ worker: pid, brokers: [], generator: generator.process.pid, threadNames: server.threadNames },
    })
    const done = (await reached(generator, 'done', signal)) as Milestone & { latenciesMs: number[] }
    const cpu = await since()
    const answered = done.answered - warm.answered
    return {
      figures: {
        [RATE]: (answered * 1_000) / (done.atMs - warm.atMs),
        ...cpuFigures(named(cpu, 'server'), answered),
        ...latencyFigures(done.latenciesMs),
      },
      conditions: { [OTHER_WORK]: 100 * cpu.others },
    }
  } finally {
    await generator.stop()
  }
}
