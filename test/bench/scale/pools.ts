import { setTimeout as sleep } from 'node:timers/promises'
import { LANES } from '../../../shared/sdk/contract/subjects.ts'
import { provision } from '../../../shared/sdk/jetstream/provision.ts'
import { openStage, type Stage } from '../../scale/stage.ts'
import type { Workplace } from '../suite/workplace.ts'
import { type Crew, meterFor, startCrew } from './crew.ts'
import type { Line } from './figures.ts'
import { type FloodLoad, openFlood } from './flood.ts'

const POOLS = Array.from({ length: 16 }, (_pool, index) => `pool-${index}`)
const ALL = ['default', ...POOLS]
/** After the start of a worker: it looks at its models, and measures what they cost. */
const SETTLE_MS = 20_000
const WARM_UP_MS = 1_500
const METERED_MS = 4_000

type Routes = FloodLoad['routes']

/** The same load, in turn: to nobody, to one lane, to sixteen pools, to three lanes of one. */
const SUBJECTS: Readonly<Record<string, Routes>> = {
  'no events': [],
  'one pool, one lane': [{ pool: 'default', lane: 'normal' }],
  'sixteen pools': POOLS.map((pool) => ({ pool, lane: 'normal' })),
  'one pool, three lanes': LANES.map((lane) => ({ pool: 'default', lane })),
}

/** One broker and a worker for each of 17 pools, all the time: only where events go differs. */
export async function measurePools(
  workplace: Workplace,
  { rounds, perSecond }: { readonly rounds: number; readonly perSecond: number },
): Promise<readonly Line[]> {
  const stage = await openStage({
    provision: (connection, options) => provision(connection, { ...options, pools: ALL }),
  })
  const lines: Line[] = []
  let from = 0
  try {
    const environments = ALL.map((pool) => ({ PELTON_POOL: pool, PELTON_WORKER: pool }))
    const crew = await startCrew(stage.url, [workplace.entry('services/worker/main')], environments)
    try {
      await sleep(SETTLE_MS, undefined, { signal: workplace.signal })
      for (let round = 0; round < rounds; round++) {
        for (const [subject, routes] of Object.entries(SUBJECTS)) {
          const count = Math.ceil((perSecond * (WARM_UP_MS + METERED_MS + 1_500)) / 1_000)
          const load = { url: stage.url, from, count, perSecond, routes }
          from += count
          lines.push({ subject, figures: await measure(workplace, stage, crew, load) })
          workplace.note(`${round + 1}/${rounds} ${subject}: ${JSON.stringify(lines.at(-1)?.figures)}`)
        }
      }
    } finally {
      await crew.stop()
    }
  } finally {
    await stage.close()
  }
  return lines
}

async function measure(
  { entry, signal }: Workplace,
  stage: Stage,
  { pids }: Crew,
  load: FloodLoad,
): Promise<Line['figures']> {
  signal.throwIfAborted()
  if (load.routes.length === 0) return idleFigures(await meterFor(stage, pids, METERED_MS))
  const flood = await openFlood(entry('test/bench/scale/publish-process'), load)
  try {
    const published = flood.publish()
    await sleep(WARM_UP_MS)
    const metered = await meterFor(stage, pids, METERED_MS)
    await published
    return {
      ...idleFigures(metered),
      'events/s': metered.outcomes,
      'µs broker': (1_000 * metered.broker) / metered.outcomes,
      'µs workers': (1_000 * metered.crew) / metered.outcomes,
    }
  } finally {
    flood.stop()
  }
}

function idleFigures(metered: Awaited<ReturnType<typeof meterFor>>): Line['figures'] {
  return {
    'broker ms/s': metered.broker,
    'all workers ms/s': metered.crew,
    'messages to the broker/s': metered.requests,
  }
}
