import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventually } from '../../kit/wait.ts'
import { type Measured, RATE } from '../compare/figures.ts'
import { slowLoad } from './heavy.ts'
import { measureWorker, type WorkerLoad, warmUpOf } from './on-jetstream.ts'
import type { BenchOptions } from './options.ts'
import type { ScenarioResult } from './result.ts'
import { measureAll } from './rounds.ts'
import { type CpuProfile, stageTimes } from './stage-times.ts'
import type { Workplace } from './workplace.ts'

const PROFILE = fileURLToPath(new URL('./profile.cjs', import.meta.url))

/** Of a model that takes its time, milliseconds a row, and for how many seconds of it there are events. */
const SLOW = { rowMs: 10, seconds: 5 }

/** Where the time of an event goes on the main thread of a worker that drains a backlog: of a quick and of a slow model. */
export async function measureStages(
  workplace: Workplace,
  { rounds, events }: BenchOptions,
): Promise<ScenarioResult[]> {
  const quick = { warmUp: warmUpOf(events), events, truth: await workplace.truth() }
  const { load: slow } = await slowLoad(workplace, SLOW.rowMs, SLOW.seconds)
  const settings = 'with the profiler on'
  return [
    {
      scenario: 'stages',
      title: 'Main thread by stage',
      told: { events, rounds },
      subjects: [
        { name: 'quick', title: 'one worker that drains a backlog of flights', settings },
        { name: 'slow', title: `the same of a model of ${SLOW.rowMs} ms a row`, settings },
      ],
      absent: [],
      runs: await measureAll(workplace, rounds, [
        { name: 'quick', measure: () => withProfile(workplace, quick) },
        { name: 'slow', measure: () => withProfile(workplace, slow) },
      ]),
    },
  ]
}

/** A drain whose worker is profiled from its first counted event to its last. */
async function withProfile(workplace: Workplace, load: WorkerLoad): Promise<Measured> {
  const file = join(workplace.folder, 'main.cpuprofile')
  await rm(file, { force: true }) // of another run
  const measured = await measureWorker(workplace, {
    ...load,
    worker: { args: ['--require', PROFILE], env: { PELTON_BENCH_PROFILE: file } },
    beside: async (_stage, pid) => {
      process.kill(pid, 'SIGUSR2')
      return async () => void process.kill(pid, 'SIGUSR2')
    },
  })
  const text = await eventually('the profile', () => readFile(file, 'utf8').catch(() => undefined))
  const times = [...stageTimes(JSON.parse(text) as CpuProfile)].sort(([, a], [, b]) => b - a)
  const perEvent = times.map(([stage, us]) => [`µs/event ${stage}`, us / load.events])
  return {
    ...measured,
    figures: { [RATE]: measured.figures[RATE] ?? Number.NaN, ...Object.fromEntries(perEvent) },
  }
}
