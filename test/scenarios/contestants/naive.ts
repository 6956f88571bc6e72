import { setTimeout as sleep } from 'node:timers/promises'
import { EXAMPLE_FLIGHT } from '../../../services/demo/models.ts'
import { startMetered } from '../../bench/compare/worker-under-test.ts'
import type { Workplace } from '../../bench/suite/workplace.ts'
import { startGenerator } from '../load/generator.ts'
import { ofSources } from '../load/schedule.ts'
import type { Candidate, Contestant, Opened, ScenarioModel } from './contestant.ts'

interface Settings {
  readonly processes: number
  /** Of a session of the runtime. */
  readonly threads: number
  readonly keepsAlive: boolean
}

const SETTINGS: readonly Settings[] = [
  { processes: 2, threads: 1, keepsAlive: true },
  { processes: 1, threads: 1, keepsAlive: true },
  { processes: 1, threads: 2, keepsAlive: true },
  { processes: 2, threads: 1, keepsAlive: false },
]

/** What one writes first: the model in the handler of a request. */
export const NAIVE: Contestant = {
  name: 'naive',
  title: 'Fastify with the model in its handler: no queue, no lanes, nothing stored',
  isPeer: true,
  prepare: async (workplace, model) =>
    SETTINGS.map(
      (settings): Candidate => ({
        settings: `${settings.processes} processes, ${settings.threads} threads a session, ${settings.keepsAlive ? 'connections that stay' : 'a connection for each request'}`,
        open: () => open(workplace, model, settings),
      }),
    ),
}

/** What the process says when it serves. */
interface Serving {
  readonly address: string
  /** Of its cluster, beside its own. */
  readonly pids: readonly number[]
}

async function open(
  { entry, flightsFile, signal }: Workplace,
  { path }: ScenarioModel,
  { processes, threads, keepsAlive }: Settings,
): Promise<Opened> {
  const settings = [path, String(processes), String(threads), keepsAlive ? 'keep' : 'close']
  const args = [entry('test/scenarios/contestants/naive-process'), ...settings]
  const server = await startMetered({ args }, '', signal)
  try {
    const { address, pids } = server.process.messages.find(
      ({ state }) => state === 'ready',
    ) as unknown as Serving
    const url = `${address}/predict`
    const door = { kind: 'http', addresses: ofSources(() => url), hasParameters: false, keepsAlive } as const
    const generator = await startGenerator(
      entry('test/scenarios/load/generator-process'),
      { door, flights: flightsFile },
      signal,
    )
    return {
      generator,
      roles: { server: [server.process.pid, ...pids], generator: [generator.pid] },
      settle: (limitMs) => settle(url, processes, limitMs),
      outcomesOf: async (_drive, driven) => ({ fates: driven }),
      async close() {
        await generator.stop()
        await server.stop()
      },
    }
  } catch (thrown) {
    await server.stop()
    throw thrown
  }
}

/** Requests are answered in turn: one that comes back soon had nobody before it. */
const SOON_MS = 50

async function settle(url: string, processes: number, limitMs: number): Promise<void> {
  const until = performance.now() + limitMs
  for (let soon = 0; soon < 2 * processes && performance.now() < until; ) {
    const startedAt = performance.now()
    await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', connection: 'close' },
      body: JSON.stringify({ features: EXAMPLE_FLIGHT }),
      signal: AbortSignal.timeout(Math.ceil(Math.max(1, until - startedAt))),
    }).then(
      (answer) => answer.arrayBuffer(),
      () => undefined,
    )
    soon = performance.now() - startedAt < SOON_MS ? soon + 1 : 0
    await sleep(10)
  }
}
