import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventually } from '../../kit/wait.ts'
import { type Measured, RATE } from '../compare/figures.ts'
import { measureWorker, warmUpOf } from './on-jetstream.ts'
import type { BenchOptions } from './options.ts'
import type { ScenarioResult } from './result.ts'
import { measureAll } from './rounds.ts'
import { type CpuProfile, stageTimes } from './stage-times.ts'
import type { Workplace } from './workplace.ts'

const PROFILE = fileURLToPath(new URL('./profile.cjs', import.meta.url))

/** Where the time of an event goes on the main thread of a worker that drains a backlog. */
export async function measureStages(
  workplace: Workplace,
  { rounds, events }: BenchOptions,
): Promise<ScenarioResult[]> {
  const file = join(workplace.folder, 'main.cpuprofile')
  const measurables = [{ name: 'pelton', measure: () => withProfile(workplace, events, file) }]
  return [
    {
      scenario: 'stages',
      title: 'Main thread by stage',
      told: { events, rounds },
      subjects: [
        { name: 'pelton', title: 'one worker that drains a backlog', settings: 'with the profiler on' },
      ],
      absent: [],
      runs: await measureAll(workplace, rounds, measurables),
    },
  ]
}

/** A drain whose worker is profiled from its first counted event to its last. */
async function withProfile(workplace: Workplace, events: number, file: string): Promise<Measured> {
  await rm(file, { force: true }) // of another round
  const measured = await measureWorker(workplace, {
    warmUp: warmUpOf(events),
    events,
    truth: await workplace.truth(),
    worker: { args: ['--require', PROFILE], env: { PELTON_BENCH_PROFILE: file } },
    beside: async (_stage, pid) => {
      process.kill(pid, 'SIGUSR2')
      return async () => void process.kill(pid, 'SIGUSR2')
    },
  })
  const text = await eventually('the profile', () => readFile(file, 'utf8').catch(() => undefined))
  const times = [...stageTimes(JSON.parse(text) as CpuProfile)].sort(([, a], [, b]) => b - a)
  const perEvent = times.map(([stage, us]) => [`µs/event ${stage}`, us / events])
  return {
    ...measured,
    figures: { [RATE]: measured.figures[RATE] ?? Number.NaN, ...Object.fromEntries(perEvent) },
  }
}
