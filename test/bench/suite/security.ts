import { prepareSide } from '../compare/checkout.ts'
import { BROKER_CPU, RATE, WORKER_CPU } from '../compare/figures.ts'
import { type Ratio, ratio } from './bars.ts'
import { measureWorker, type WorkerLoad, warmUpOf } from './on-jetstream.ts'
import type { BenchOptions } from './options.ts'
import type { ScenarioResult, Subject } from './result.ts'
import { type Measurable, measureAll } from './rounds.ts'
import { openWays } from './ways-in.ts'
import type { Workplace } from './workplace.ts'

const OTHER = 'plain-other'

/** What a ratio is of: one subject by another. */
const PAIRS = [
  ['tls', 'plain'],
  ['rights', 'plain'],
  ['prefix', 'plain'],
  ['plain', OTHER],
] as const

/** A worker that drains the same backlog, by each way to its events. */
interface Secured {
  readonly subject: Subject
  readonly load: Omit<WorkerLoad, 'warmUp' | 'events' | 'truth'>
}

/** What TLS, rights and a prefix cost beside a worker that has none of them, and what that one costs beside another checkout's. */
export async function measureSecurity(
  workplace: Workplace,
  { rounds, events, other }: BenchOptions,
): Promise<ScenarioResult[]> {
  const all = [...(await ownWays(workplace)), ...(await otherWay(workplace, other))]
  const shared = { warmUp: warmUpOf(events), events, truth: await workplace.truth() }
  const measurables = all.map(({ subject: { name }, load }): Measurable => {
    return { name, measure: () => measureWorker(workplace, { ...load, ...shared }) }
  })
  const runs = await measureAll(workplace, rounds, measurables)
  const subjects = all.map(({ subject }) => subject)
  return [{ scenario: 'security', title: 'Security', told: { events, rounds }, subjects, absent: [], runs }]
}

/** Nothing is wanted of them: a price is told. */
export function securityRatios(result: ScenarioResult): Ratio[] {
  return [RATE, WORKER_CPU, BROKER_CPU].flatMap((figure) =>
    PAIRS.flatMap((pair) => ratio(result, figure, pair)),
  )
}

async function ownWays({ folder }: Workplace): Promise<readonly Secured[]> {
  const ways = await openWays(folder)
  return ways.map(({ name, title, settings, access, env }) => ({
    subject: { name, title, settings },
    load: { access, worker: { args: [], env } },
  }))
}

/** Its worker on its own streams, started with the same flags and asked the same events. */
async function otherWay(
  { otherFolder, note, signal }: Workplace,
  other: string | undefined,
): Promise<readonly Secured[]> {
  if (other === undefined) return []
  const side = await prepareSide('base', other, { folder: otherFolder, note, signal })
  const { label, program, provision } = side
  return [
    {
      subject: { name: OTHER, title: 'the worker of another checkout, in the clear', settings: label },
      load: { program, provision },
    },
  ]
}
