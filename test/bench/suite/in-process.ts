import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { DEMO_MODELS } from '../../../services/demo/models.ts'
import { installPeers } from '../peers/install.ts'
import type { PeerTask } from '../peers/peer-task.ts'
import { obtainRedis, startRedis } from '../peers/redis.ts'
import type { Contestant, PeerLoad, Ready } from './contestant.ts'
import { measureOwn } from './own-store.ts'
import { CACHE, type Workplace } from './workplace.ts'

/** What a process without a broker of Pelton's is told. */
function taskEnv({ flightsFile }: Workplace, { warmUp, events }: PeerLoad): NodeJS.ProcessEnv {
  const task: PeerTask = { warmUp, events, flights: flightsFile, models: DEMO_MODELS }
  return { PELTON_BENCH_TASK: JSON.stringify(task) }
}

/** A contestant that is one of our processes and stores nothing. */
export function withoutStore(
  about: Omit<Contestant, 'prepare'> & { readonly settings: string; readonly program: string },
): Contestant {
  const { settings, program, ...contestant } = about
  return {
    ...contestant,
    prepare: async (workplace) => ({
      settings,
      measure: (load) =>
        measureOwn({
          program: { args: [workplace.entry(program)], env: taskEnv(workplace, load) },
          stores: [],
          signal: workplace.signal,
        }),
    }),
  }
}

/** BullMQ on a Redis of its own. @param concurrency jobs at the same time */
export function bullmq(concurrency: number): Contestant {
  return {
    name: `bullmq-${concurrency}`,
    isPeer: true,
    title: `BullMQ on Redis, ${concurrency} jobs at the same time`,
    share: 0.5,
    prepare: (workplace) => prepareBullmq(workplace, concurrency),
  }
}

async function prepareBullmq(workplace: Workplace, concurrency: number): Promise<Ready> {
  const { note, signal } = workplace
  const peers = await installPeers(CACHE, note)
  const program = await obtainRedis(CACHE, note)
  return {
    settings: `BullMQ ${await peers.version('bullmq')}, Redis ${program.version}, append-only, synced each second; results kept`,
    async measure(load) {
      const redis = await startRedis(program)
      try {
        const args = [peers.program('bullmq-process'), String(redis.port)]
        const env = taskEnv(workplace, load)
        await runToEnd([...args, 'fill'], env)
        const worker = { args: [...args, String(concurrency)], env }
        return await measureOwn({ program: worker, stores: [redis.pid], signal })
      } finally {
        await redis.stop()
      }
    },
  }
}

async function runToEnd(args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}`)
}
