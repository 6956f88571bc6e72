import { createRandom } from '../kit/random.ts'
import type { Contestant } from './contestants/contestant.ts'
import type { RunWish } from './drive.ts'
import { type Phase, steady } from './load/schedule.ts'
import { drawShapes } from './load/shapes.ts'
import type { Timing } from './measure/timing.ts'
import type { ScenarioName } from './options.ts'

/** What the loads of a contestant go by. */
export interface LoadFacts {
  /** What it carries, events a second. */
  readonly capacity: number
  /** What everybody gets alike. */
  readonly shared: number
  readonly scenarios: readonly ScenarioName[]
  readonly timing: Timing
  /** Of the shapes that are drawn at random. */
  readonly seed: number
  readonly promises: Contestant['promises']
  /** Whether it has a stream that can be full, and a broker that can be killed. */
  readonly isPelton: boolean
}

/** The part of a threefold load that is of the hot source. */
const HOT_SHARE = 0.9

/** The loads beyond what is carried, in their order: after each everything is accounted for. */
export function loadsOf(facts: LoadFacts): readonly RunWish[] {
  return wishesOf(facts).map((wish) => ({ ...wish, isAudited: true }))
}

function wishesOf({ capacity, shared, promises, isPelton, ...facts }: LoadFacts): readonly RunWish[] {
  const { scenarios, timing, seed } = facts
  const { tripleSeconds, furtherSeconds, calmSeconds, settleSeconds, buildUpSeconds, spikeSeconds } = timing
  const calm = (name: string): Phase => steady(name, capacity / 2, calmSeconds)
  const over = (name: string, perSecond: number, seconds: number): RunWish => ({
    ...{ name, shown: 'overload', settleSeconds },
    phases: [calm('before'), steady('overload', perSecond, seconds), calm('after')],
  })
  const triple = over('3 ×', 3 * capacity, tripleSeconds)
  const has = (name: ScenarioName): boolean => scenarios.includes(name)
  if (promises === 'sources')
    return [
      triple,
      ...(has('throttling') ? [hotLoad(capacity, timing)] : []),
      ...(has('cascade') ? [cascadeLoad(capacity, timing)] : []),
    ]
  const drawn = { capacity, seconds: furtherSeconds, calmSeconds }
  const shapes = promises === 'doors' && has('shapes') ? drawShapes(createRandom(seed), drawn) : []
  return [
    triple,
    over('the same for all', shared, furtherSeconds),
    ...(has('build-up') ? [over('build-up, 2 ×', 2 * capacity, buildUpSeconds)] : []),
    ...(has('fivefold') ? [over('5 ×', 5 * capacity, furtherSeconds)] : []),
    ...(has('overload') ? [over('spike, 10 ×', 10 * capacity, spikeSeconds)] : []),
    ...(has('cascade') && promises === 'doors' ? [cascadeLoad(capacity, timing)] : []),
    ...(has('backfill') && promises === 'doors' ? [backfillLoad(triple, capacity, timing)] : []),
    ...(has('dropped') && isPelton ? [droppedLoad(capacity, timing)] : []),
    ...shapes.map((shape): RunWish => ({ ...shape, shown: 'overload', settleSeconds })),
  ]
}

/** The other source alone at first, then beside a hot one, at the same rate of its own. */
function hotLoad(capacity: number, timing: Timing): RunWish {
  const rates = { otherPerSecond: 3 * (1 - HOT_SHARE) * capacity, hotPerSecond: 3 * HOT_SHARE * capacity }
  return besideLoad('throttling, a hot source', rates, timing)
}

/** What two sources send, events a second. */
interface Rates {
  readonly otherPerSecond: number
  readonly hotPerSecond: number
}

/** The other source alone, then beside the hot one, then alone again. */
function besideLoad(
  name: string,
  { otherPerSecond, hotPerSecond }: Rates,
  { tripleSeconds, calmSeconds, settleSeconds }: Timing,
): RunWish {
  const perSecond = otherPerSecond + hotPerSecond
  return {
    ...{ name, shown: 'overload', settleSeconds },
    phases: [
      steady('before', otherPerSecond, tripleSeconds / 2),
      { ...steady('overload', perSecond, tripleSeconds), hotShare: hotPerSecond / perSecond },
      steady('after', otherPerSecond, calmSeconds),
    ],
  }
}

/** Events a second of a model that fails on every one: 200,000 in a minute. */
const FAILING_PER_SECOND = 200_000 / 60

/** Half of what is carried alone at first, then beside the events of a model that fails on all of them. */
function cascadeLoad(capacity: number, timing: Timing): RunWish {
  const rates = { otherPerSecond: capacity / 2, hotPerSecond: FAILING_PER_SECOND }
  return { ...besideLoad('cascade, a model that fails', rates, timing), hotFails: true }
}

/** Events without a deadline, and a tenth as many that are replayed: a million, where that is so many seconds' work at most. */
const MOST_BACKFILL = 1_000_000

/** Three times what is carried, beside events that nobody waits for. */
function backfillLoad(triple: RunWish, capacity: number, { backfillSeconds }: Timing): RunWish {
  const events = Math.round(Math.min(MOST_BACKFILL, backfillSeconds * capacity))
  return { ...triple, name: 'backfill', backfill: { events, replayed: Math.round(events / 10) } }
}

/** Seconds of what is carried that the stream takes where it is to be full. */
const FULL_SECONDS = 1

/** A spike in which the broker is killed, with a stream that takes one second of what is carried. */
function droppedLoad(capacity: number, { spikeSeconds, calmSeconds, settleSeconds }: Timing): RunWish {
  const calm = (name: string): Phase => steady(name, capacity / 2, calmSeconds)
  return {
    ...{ name: 'dropped, 10 × and the broker killed', shown: 'overload', settleSeconds },
    phases: [calm('before'), steady('overload', 10 * capacity, spikeSeconds), calm('after')],
    restartsAtMs: 1_000 * (calmSeconds + spikeSeconds / 2),
    streamEvents: Math.ceil(FULL_SECONDS * capacity),
  }
}
