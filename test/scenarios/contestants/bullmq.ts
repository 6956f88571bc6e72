import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type MeteredProcess, startMetered } from '../../bench/compare/worker-under-test.ts'
import { type InstalledPeers, installPeers } from '../../bench/peers/install.ts'
import { obtainRedis, type RedisProgram, startRedis } from '../../bench/peers/redis.ts'
import { CACHE, type Workplace } from '../../bench/suite/workplace.ts'
import { startGenerator } from '../load/generator.ts'
import type { Candidate, Contestant, Opened, ScenarioModel } from './contestant.ts'

interface Settings {
  readonly processes: number
  /** Jobs at the same time in each. */
  readonly concurrency: number
}

const SETTINGS: readonly Settings[] = [
  { processes: 2, concurrency: 1 },
  { processes: 1, concurrency: 1 },
  { processes: 2, concurrency: 16 },
  { processes: 1, concurrency: 16 },
]

const QUEUE = 'flights'

/** A queue in Redis: priorities, attempts with a growing pause, as its documentation advises. */
export const BULLMQ: Contestant = {
  name: 'bullmq',
  title:
    'BullMQ on an append-only Redis: jobs with priorities, three attempts, answers by the events of the queue',
  isPeer: true,
  prepare: async (workplace, model) => {
    const { note } = workplace
    const peers = await installPeers(CACHE, note)
    const redis = await obtainRedis(CACHE, note)
    const version = `BullMQ ${await peers.version('bullmq')}, Redis ${redis.version}`
    return SETTINGS.map(
      (settings): Candidate => ({
        settings: `${version}, ${settings.processes} workers, ${settings.concurrency} jobs at the same time in each`,
        open: ({ carries } = {}) => open(workplace, model, { peers, redis, settings, carries }),
      }),
    )
  },
}

interface Ready {
  readonly peers: InstalledPeers
  readonly redis: RedisProgram
  readonly settings: Settings
  readonly carries: number | undefined
}

/** A little more than is carried: its limiter holds jobs back, it refuses none. */
const limitOf = (carries = 0): number => Math.ceil(1.05 * carries)

async function open(
  { entry, flightsFile, signal }: Workplace,
  { path, folder }: ScenarioModel,
  { peers, redis: program, settings, carries }: Ready,
): Promise<Opened> {
  const redis = await startRedis(program)
  const workers: MeteredProcess[] = []
  const close = async (): Promise<void> => {
    for (const { stop } of workers) await stop()
    await redis.stop()
  }
  try {
    const worker = peers.program('bullmq-overload-process')
    const task = { flights: flightsFile, models: folder, path, queue: QUEUE }
    const env = { PELTON_BENCH_TASK: JSON.stringify(task) }
    for (let each = 0; each < settings.processes; each++) {
      const args = [worker, String(redis.port), String(settings.concurrency), String(limitOf(carries))]
      workers.push(await startMetered({ args, env }, '', signal))
    }
    const door = { kind: 'bullmq', port: redis.port, packages: worker, queue: QUEUE } as const
    const generator = await startGenerator(
      entry('test/scenarios/load/generator-process'),
      { door, flights: flightsFile },
      signal,
    )
    const pids = workers.map(({ process }) => process.pid)
    return {
      generator,
      roles: { worker: pids, redis: [redis.pid], generator: [generator.pid] },
      settle: (limitMs) => settle(redis.port, limitMs),
      outcomesOf: async (_drive, driven) => ({ fates: driven }),
      async close() {
        await generator.stop()
        await close()
      },
    }
  } catch (thrown) {
    await close()
    throw thrown
  }
}

const WAITING = ['LLEN bull:flights:wait', 'ZCARD bull:flights:prioritized', 'LLEN bull:flights:active']

/** Until no job waits, and none is under way. */
async function settle(port: number, limitMs: number): Promise<void> {
  const until = performance.now() + limitMs
  while (performance.now() < until && (await countJobs(port)) > 0) await sleep(50)
}

async function countJobs(port: number): Promise<number> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
  })
  socket.write(`${WAITING.join('\r\n')}\r\nQUIT\r\n`)
  await once(socket, 'close')
  return [...text.matchAll(/^:(\d+)/gm)].reduce((sum, [, count]) => sum + Number(count), 0)
}
