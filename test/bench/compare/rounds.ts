import { loadFlights } from '../../../services/demo/flights.ts'
import { median } from '../../scale/stage.ts'
import type { Side } from './checkout.ts'
import { type DrainTarget, measureDrain } from './drain.ts'
import {
  type Measured,
  OTHER_WORK,
  type Phase,
  RATE,
  type Run,
  type SideName,
  WORKER_CPU,
} from './figures.ts'
import { measureOpenLoop } from './open-loop.ts'
import type { CompareOptions } from './options.ts'
import { orderOf } from './pacing.ts'

/** Drained before a drain counts: by then the code is compiled to its last stage. */
const DRAIN_WARM_UP = 10_000
const OPEN_WARM_UP_SECONDS = 3

export interface Rounds {
  readonly sides: Readonly<Record<SideName, Side>>
  readonly options: CompareOptions
  readonly note: (text: string) => void
  readonly signal: AbortSignal
}

/** All runs, in the order they were made, and the rate of the open loop. */
export async function measureRounds(
  rounds: Rounds,
): Promise<{ readonly runs: readonly Run[]; readonly perSecond: number | undefined }> {
  const { options, signal } = rounds
  const flights = await loadFlights({ count: 20_000 })
  const load = { flights, warmUp: DRAIN_WARM_UP, events: options.events }
  const drains =
    options.only === 'open'
      ? []
      : await inTurn('drain', rounds, (side) => measureDrain(drainOf(side), load, signal))
  if (options.only === 'drain') return { runs: drains, perSecond: undefined }
  const perSecond = rateOf(options.rate, drains)
  const openLoad = {
    perSecond,
    warmUp: Math.ceil(perSecond * OPEN_WARM_UP_SECONDS),
    events: Math.ceil(perSecond * options.seconds),
  }
  const opens = await inTurn('open', rounds, (side) => measureOpenLoop(side, openLoad, signal))
  return { runs: [...drains, ...opens], perSecond }
}

function drainOf({ program, provision }: Side): DrainTarget {
  return { program: { args: [program] }, provision }
}

/** Both sides in each round, the one that was second is first in the next. */
async function inTurn(
  phase: Phase,
  { sides, options, note, signal }: Rounds,
  measure: (side: Side) => Promise<Measured>,
): Promise<readonly Run[]> {
  const runs: Run[] = []
  for (let round = 0; round < options.rounds; round++) {
    for (const side of orderOf(round)) {
      signal.throwIfAborted()
      const run = { phase, side, round, ...(await measure(sides[side])) }
      runs.push(run)
      note(`${phase} ${round + 1}/${options.rounds} ${side}: ${headline(run)}`)
    }
  }
  return runs
}

function headline({ figures, conditions, void: reason }: Run): string {
  const all = { ...figures, ...conditions }
  const shown = [RATE, 'latency p50 ms', 'latency p99 ms', WORKER_CPU, OTHER_WORK]
    .filter((name) => all[name] !== undefined)
    .map((name) => `${name} ${all[name]?.toFixed(1)}`)
  return [...shown, ...(reason === undefined ? [] : [`void: ${reason}`])].join(', ')
}

function rateOf(rate: CompareOptions['rate'], drains: readonly Run[]): number {
  if ('perSecond' in rate) return rate.perSecond
  const capacities = (['base', 'head'] as const).map((side) =>
    median(drains.filter((run) => run.side === side).map(({ figures }) => figures[RATE] ?? Number.NaN)),
  )
  return Math.round(rate.ofCapacity * Math.min(...capacities))
}
