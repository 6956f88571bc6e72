import type { Candidate, Contestant, Opened, OpenWish } from './contestants/contestant.ts'
import { driveRun, type Run, type RunWish, warmUp } from './drive.ts'
import { steady } from './load/schedule.ts'
import { capacityOf, nextStep, type Step } from './measure/staircase.ts'
import type { Flight, Timing } from './measure/timing.ts'
import { REACHED_SHARE } from './measure/verdict.ts'

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

export interface Chosen {
  readonly contestant: Contestant
  readonly candidate: Candidate
  readonly capacity: Capacity
  /** What other settings carried, by short steps. */
  readonly tried: readonly { readonly settings: string; readonly perSecond: number | undefined }[]
  /** Its capacity, offered once more to what was started anew. */
  readonly own: Run
}

export type Note = (text: string) => void

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
  const others = tried.map((each) => ({
    settings: each.candidate.settings,
    perSecond: each.capacity?.perSecond,
  }))
  const confirmed = await confirm(candidate, capacity, timing)
  note(`${contestant.name} carries ${confirmed.capacity.perSecond.toFixed(0)} a second`)
  return { contestant, candidate, tried: others, ...confirmed }
}

/** Steps down from a step that was carried once, and is not again. */
const MOST_STEPS_DOWN = 6

/**
 * Offers what is carried once more, to what was started anew. A step that stands close below saturation is carried or not by
 * chance: one that is not carried again is no capacity, and the next lower one is tried.
 */
async function confirm(
  candidate: Candidate,
  { steps, settings, perSecond }: Capacity,
  timing: Timing,
): Promise<Pick<Chosen, 'capacity' | 'own'>> {
  const factor = timing.stairs.at(-1)?.factor ?? 1
  for (let rate = perSecond, down = 0; ; rate /= factor, down++) {
    const own = await withOpened(
      candidate,
      async (opened) => {
        await warmUp(opened, rate / 2, timing.warmUpSeconds)
        return driveRun(opened, ownLoad(rate, timing))
      },
      { carries: rate },
    )
    const isCarriedAgain = own.goodputPerSecond >= REACHED_SHARE * rate
    if (isCarriedAgain || down === MOST_STEPS_DOWN)
      return { capacity: { steps, settings, perSecond: rate }, own }
  }
}

function ownLoad(capacity: number, { capacitySeconds, settleSeconds }: Timing): RunWish {
  const phases = [steady('load', capacity, capacitySeconds)]
  return { name: '1 ×', phases, shown: 'load', settleSeconds, capacity }
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

/** Opens a contestant anew, and closes it whatever happens. */
export async function withOpened<Result>(
  candidate: Candidate,
  measure: (opened: Opened) => Promise<Result>,
  wish?: OpenWish,
): Promise<Result> {
  const opened = await candidate.open(wish)
  try {
    return await measure(opened)
  } finally {
    await opened.close()
  }
}
