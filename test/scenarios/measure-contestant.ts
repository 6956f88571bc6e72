import type { Candidate, Contestant, Opened } from './contestants/contestant.ts'
import { driveRun, type Run, warmUp } from './drive.ts'
import { steady } from './load/schedule.ts'
import { capacityOf, nextStep, type Step } from './measure/staircase.ts'
import type { Flight, Timing } from './measure/timing.ts'
import type { ScenarioName } from './options.ts'

/** Rate of the first step. */
const FIRST_PER_SECOND = 100
/** What the generator is trusted with. */
const MOST_PER_SECOND = 20_000

/** A step of a staircase that was held, for people. */
export interface HeldStep extends Step {
  readonly seconds: number
  readonly lateP99Ms: number
}

export interface Capacity {
  readonly settings: string
  readonly perSecond: number
  readonly steps: readonly HeldStep[]
}

/** A contestant as it was measured. */
export interface Measured {
  readonly name: string
  readonly title: string
  readonly isPeer: boolean
  readonly capacity: Capacity
  /** What other settings carried, by short steps. */
  readonly tried: readonly { readonly settings: string; readonly perSecond: number | undefined }[]
  readonly runs: readonly Run[]
}

export interface Chosen {
  readonly contestant: Contestant
  readonly candidate: Candidate
  readonly capacity: Capacity
  readonly tried: Measured['tried']
}

type Note = (text: string) => void

/** The best settings of a contestant, and what it carries with them. @throws Error where it carries nothing */
export async function findCapacity(
  contestant: Contestant,
  candidates: readonly Candidate[],
  timing: Timing,
  note: Note,
): Promise<Chosen> {
  const [coarse, ...finer] = timing.stairs
  if (coarse === undefined) throw new Error('no stairs')
  const tried: { candidate: Candidate; capacity: Capacity | undefined }[] = []
  for (const candidate of candidates.slice(0, timing.settingsTried)) {
    const flights = candidates.length === 1 ? timing.stairs : timing.stairs.slice(0, 2)
    const capacity = await withOpened(candidate, (opened) => climb(opened, candidate, flights, timing))
    note(`${contestant.name}: ${candidate.settings}: ${capacity?.perSecond.toFixed(0) ?? 'nothing'} a second`)
    tried.push({ candidate, capacity })
  }
  const best = [...tried].sort((a, b) => (b.capacity?.perSecond ?? 0) - (a.capacity?.perSecond ?? 0))[0]
  if (best?.capacity === undefined) throw new Error('carries no load at all within its deadline')
  const { candidate, capacity: rough } = best
  const isFine = candidates.length === 1 || finer.length < 2
  const capacity = isFine
    ? rough
    : await withOpened(candidate, (opened) =>
        climb(opened, candidate, finer.slice(1), timing, rough.perSecond),
      )
  if (capacity === undefined) throw new Error('carries nothing that it carried before')
  note(`${contestant.name} carries ${capacity.perSecond.toFixed(0)} a second`)
  const others = tried.map((each) => ({
    settings: each.candidate.settings,
    perSecond: each.capacity?.perSecond,
  }))
  return { contestant, candidate, capacity, tried: others }
}

async function climb(
  opened: Opened,
  { settings }: Candidate,
  flights: readonly Flight[],
  { warmUpSeconds, settleSeconds }: Timing,
  from = FIRST_PER_SECOND,
): Promise<Capacity | undefined> {
  await warmUp(opened, from / 2, warmUpSeconds)
  const held: HeldStep[] = []
  let start = from
  for (const { factor, seconds } of flights) {
    const steps: HeldStep[] = []
    const stairs = { start, factor, most: MOST_PER_SECOND }
    for (let next = nextStep(steps, stairs); next !== undefined; next = nextStep(steps, stairs)) {
      const step = await holdStep(opened, next, seconds, settleSeconds)
      steps.push(step)
      held.push(step)
    }
    const carried = capacityOf(steps)
    if (carried === undefined) return undefined
    start = carried
  }
  return { settings, perSecond: start, steps: held }
}

async function holdStep(
  opened: Opened,
  perSecond: number,
  seconds: number,
  settleSeconds: number,
): Promise<HeldStep> {
  const phases = [steady('step', perSecond, seconds)]
  const run = await driveRun(opened, { name: 'step', phases, shown: 'step', settleSeconds })
  const { inTime, offered } = run.account.all
  return {
    perSecond,
    seconds,
    inTime: offered === 0 ? 0 : inTime / offered,
    lateP99Ms: run.punctuality.lateMs.p99,
  }
}

/** What is carried, three times as much, the same load as everybody gets, and the scenarios: everything started anew for each. */
export async function measureChosen(
  chosen: Chosen,
  sharedPerSecond: number,
  scenarios: readonly ScenarioName[],
  timing: Timing,
  note: Note,
): Promise<Measured> {
  const { contestant, candidate, capacity, tried } = chosen
  const { perSecond } = capacity
  const runs: Run[] = []
  for (const wish of wishesOf(perSecond, sharedPerSecond, scenarios, timing)) {
    const run = await withOpened(
      candidate,
      async (opened) => {
        await warmUp(opened, perSecond / 2, timing.warmUpSeconds)
        return driveRun(opened, wish)
      },
      perSecond,
    )
    note(
      `${contestant.name}, ${run.name}: ${run.goodputPerSecond.toFixed(0)} of ${run.offeredPerSecond.toFixed(0)} a second in time`,
    )
    runs.push(run)
  }
  const { name, title, isPeer } = contestant
  return { name, title, isPeer, capacity, tried, runs }
}

function wishesOf(
  capacity: number,
  shared: number,
  scenarios: readonly ScenarioName[],
  timing: Timing,
): readonly Parameters<typeof driveRun>[1][] {
  const { capacitySeconds, tripleSeconds, calmSeconds, settleSeconds } = timing
  const calm = (name: string) => steady(name, capacity / 2, calmSeconds)
  const over = (name: string, perSecond: number, seconds: number) => ({
    name,
    phases: [calm('before'), steady('overload', perSecond, seconds), calm('after')],
    shown: 'overload',
    settleSeconds,
  })
  const own = {
    name: '1 ×',
    phases: [steady('load', capacity, capacitySeconds)],
    shown: 'load',
    settleSeconds,
    capacity,
  }
  return [
    own,
    over('3 ×', 3 * capacity, tripleSeconds),
    over('the same for all', shared, tripleSeconds),
    ...(scenarios.includes('build-up') ? [over('build-up, 2 ×', 2 * capacity, timing.buildUpSeconds)] : []),
    ...(scenarios.includes('overload') ? [over('spike, 10 ×', 10 * capacity, timing.spikeSeconds)] : []),
  ]
}

async function withOpened<Result>(
  candidate: Candidate,
  measure: (opened: Opened) => Promise<Result>,
  carries?: number,
): Promise<Result> {
  const opened = await candidate.open(carries)
  try {
    return await measure(opened)
  } finally {
    await opened.close()
  }
}
