import type { Profile } from '../../scale/ground.ts'
import { openStage, type Stage } from '../../scale/stage.ts'
import type { Workplace } from '../suite/workplace.ts'
import { type Cost, cpuOf, drainBy, hold, meanBatchRows, startCrew } from './crew.ts'
import type { Line } from './figures.ts'
import { openFlood } from './flood.ts'

/** How much is measured, and how often. */
export interface ScaleLoad {
  readonly rounds: number
  /** That count in a drain, after a warm-up. */
  readonly events: number
}

/** Copies, and whether each write is synced. */
const GROUNDS: readonly { readonly profile: Profile; readonly servers: 1 | 3; readonly title: string }[] = [
  { profile: 'process', servers: 1, title: 'R1' },
  { profile: 'power', servers: 1, title: 'R1 synced' },
  { profile: 'process', servers: 3, title: 'R3' },
  { profile: 'power', servers: 3, title: 'R3 synced' },
]

/** Answered by each process before anything counts: code that is not compiled yet costs several times as much. */
const WARM_UP = 2_000

/** Processes that answer the events of one consumer. */
interface Answering {
  /** Of one process: its arguments of `node`. */
  readonly args: readonly string[]
  readonly name: string
  readonly sizes: readonly number[]
}

/** What one leader of FEATURES takes, and what it hands out to processes that do as little as can be. */
export async function measureLeader(
  workplace: Workplace,
  load: ScaleLoad,
  only?: string,
): Promise<readonly Line[]> {
  const floor = { args: [workplace.entry('test/bench/floor/floor-process')], name: 'floor', sizes: [1, 2, 4] }
  const lines: Line[] = []
  for (const { profile, servers, title } of GROUNDS.filter(
    (ground) => only === undefined || ground.title === only,
  )) {
    const stage = await openStage({ profile, servers })
    try {
      lines.push(...(await measureSizes(workplace, stage, floor, load, `${title}, `)))
    } finally {
      await stage.close()
    }
  }
  return lines
}

/** Workers of Pelton on the same consumers. */
export async function measureWorkers(workplace: Workplace, load: ScaleLoad): Promise<readonly Line[]> {
  const worker = { args: [workplace.entry('services/worker/main')], name: 'workers', sizes: [1, 2, 4] }
  const stage = await openStage()
  try {
    return await measureSizes(workplace, stage, worker, load, '')
  } finally {
    await stage.close()
  }
}

/** Each round begins with another size. */
async function measureSizes(
  workplace: Workplace,
  stage: Stage,
  { args, name, sizes }: Answering,
  { rounds, events }: ScaleLoad,
  label: string,
): Promise<readonly Line[]> {
  const lines: Line[] = []
  let from = 0
  for (let round = 0; round < rounds; round++) {
    const first = round % sizes.length
    for (const size of [...sizes.slice(first), ...sizes.slice(0, first)]) {
      workplace.signal.throwIfAborted()
      const warmUp = size * WARM_UP
      await hold(stage, true)
      const published = await publish(workplace, stage, from, warmUp + events)
      from += warmUp + events
      lines.push({ subject: `${label}published`, figures: published })
      const crew = await startCrew(stage.url, args, Array(size).fill({}))
      try {
        const cost = await drainBy(stage, crew, { flights: workplace.flights, warmUp, events })
        lines.push({ subject: `${label}${size} ${name}`, figures: await figuresOf(stage, cost) })
      } finally {
        await crew.stop()
      }
      workplace.note(
        `${label}${round + 1}/${rounds} ${size} ${name}: ${JSON.stringify(lines.at(-1)?.figures)}`,
      )
    }
  }
  return lines
}

async function figuresOf(stage: Stage, cost: Cost): Promise<Line['figures']> {
  return {
    'events/s': cost.perSecond,
    'µs broker': cost.brokerUs,
    'µs all processes': cost.crewUs,
    'rows a batch': await meanBatchRows(stage, cost),
  }
}

async function publish(
  { entry }: Workplace,
  { url, brokerPids }: Stage,
  from: number,
  count: number,
): Promise<Line['figures']> {
  const routes = [{ pool: 'default', lane: 'normal' }] as const
  const flood = await openFlood(entry('test/bench/scale/publish-process'), { url, from, count, routes })
  try {
    const before = await cpuOf(brokerPids)
    const ms = await flood.publish()
    const us = (await cpuOf(brokerPids)) - before
    return { 'events/s': (count * 1_000) / ms, 'µs broker': us / count }
  } finally {
    flood.stop()
  }
}
