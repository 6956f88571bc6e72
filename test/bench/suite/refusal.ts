import { DEMO_MODEL, DEMO_MODELS } from '../../../services/demo/models.ts'
import { LANES } from '../../../shared/sdk/contract/subjects.ts'
import { speakFlow } from '../../kit/flow.ts'
import { startMeter } from '../compare/cpu.ts'
import { cpuFigures, latencyFigures, type Measured, OTHER_WORK, RATE } from '../compare/figures.ts'
import { UsageError } from '../compare/options.ts'
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
/** All lanes are shut: whatever the worker behind says besides, every request is refused. */
const GATE = { limit: 'breaker', lanes: LANES, value: 1, measured: 2, retryAfterMs: 1_000 } as const

/**
 * The same steady load for both, from 64 connections: where a server has more than it can do, the next request is there before
 * it looks, and it is spared what waking up costs.
 */
export async function measureRefusal(
  workplace: Workplace,
  { rounds, events, rate }: BenchOptions,
): Promise<ScenarioResult[]> {
  if (!('perSecond' in rate)) throw new UsageError('refusal: --rate is requests a second')
  const load: Load = {
    task: { warmUp: events, events, flights: workplace.flightsFile, models: DEMO_MODELS },
    perSecond: rate.perSecond,
  }
  const runs = await measureAll(workplace, rounds, [
    { name: 'bare', measure: () => measureBare(workplace, load) },
    { name: 'gateway', measure: () => measureGatewayRefusal(workplace, load) },
  ])
  const settings = '64 connections that stay, at a steady rate, the load on the same cores'
  const subjects = [
    {
      name: 'bare',
      title: 'a bare Fastify route that reads the request as JSON and answers 503',
      settings: `no schema, no logger; ${settings}`,
    },
    {
      name: 'gateway',
      title: 'Pelton: a gateway that refuses it because of a gate, and says so',
      settings,
    },
  ]
  return [
    {
      scenario: 'refusal',
      title: TITLE,
      told: { events, rounds, 'requests/s': load.perSecond },
      subjects,
      absent: [],
      runs,
    },
  ]
}

export function refusalRatios(result: ScenarioResult): Ratio[] {
  return [
    ...ratio(result, CPU, ['gateway', 'bare'], { kind: 'at most', bar: 1.15 }),
    ...ratio(result, P99, ['gateway', 'bare'], { kind: 'at most', bar: 2 }),
  ]
}

async function measureBare(workplace: Workplace, load: Load): Promise<Measured> {
  const { entry, signal } = workplace
  const server = await startMetered({ args: [entry('test/bench/peers/bare-route-process')] }, '', signal)
  try {
    const { address } = server.process.messages.find(({ state }) => state === 'ready') as { address?: string }
    return await measureLoad(workplace, { server, address: String(address) }, load)
  } finally {
    await server.stop()
  }
}

function measureGatewayRefusal(workplace: Workplace, load: Load): Promise<Measured> {
  return withGateway(workplace, {}, async ({ stage, gateway: server, address }) => {
    const flow = speakFlow(stage.connection, DEMO_MODEL)
    flow.say({ gates: [GATE] })
    try {
      // The first one has the gateway hear the flow.
      await refusedOnce(address, workplace.signal)
      return await measureLoad(workplace, { server, address }, load)
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

interface Load {
  readonly task: PeerTask
  readonly perSecond: number
}

interface Measuring {
  readonly server: MeteredProcess
  readonly address: string
}

async function measureLoad(
  { entry, signal }: Workplace,
  { server, address }: Measuring,
  { task, perSecond }: Load,
): Promise<Measured> {
  const args = [entry('test/bench/peers/paced-load-process'), `${address}${PATH}`, String(perSecond), '503']
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
