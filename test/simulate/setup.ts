import { type DoorLaw, LAWS } from './doors/laws.ts'
import { demandOf, type Shape } from './load/shapes.ts'
import { FLOW, type FlowSetup } from './pool/flow.ts'
import { LanesOrder } from './pool/order.ts'
import { capacityOf, type PoolSetup } from './pool/pool-setup.ts'
import type { Setup } from './run.ts'

/** The model of the scenarios: 2 ms a row, and batches help nobody out. */
const DEEP: Pick<PoolSetup, 'cost' | 'mostRows'> = {
  cost: { fixedMs: 0.2, perRowMs: 2 },
  mostRows: 8,
}

/** A model that costs 20 ms a row, for large fleets. */
export const HEAVY: Pick<PoolSetup, 'cost' | 'mostRows'> = {
  cost: { fixedMs: 2, perRowMs: 20 },
  mostRows: 2,
}

export const DEADLINE_MS = 250

/** Everything of a run that may be wished for. */
export interface Wish {
  readonly shape: Shape
  /** Load, as a multiple of what is carried. */
  readonly times: number
  readonly seconds: number
  readonly doors: number
  readonly workers: number
  readonly law: DoorLaw
  readonly seed: number
  readonly flow: Partial<FlowSetup>
  readonly model: Pick<PoolSetup, 'cost' | 'mostRows'>
}

/** What is simulated where nothing else is wished for. */
export const USUAL: Wish = {
  ...{ shape: 'step', times: 3, seconds: 5, doors: 10, workers: 2, law: LAWS.pelton.make, seed: 1 },
  ...{ flow: {}, model: DEEP },
}

/** The setup of a run. */
export function setupOf(wish: Partial<Wish>): Setup {
  const { shape, times, seconds, doors, workers, law, seed, flow, model } = { ...USUAL, ...wish }
  const pool: PoolSetup = {
    ...{ workers, ...model, endShare: 0.25, wayMs: 0.5, mostOfLane: 1_000_000 },
    order: () => new LanesOrder(),
  }
  const demand = demandOf(shape, { capacity: capacityOf(pool), times, seconds, deadlineMs: DEADLINE_MS })
  return { seed, demand, pool, doors, law, flow: { ...FLOW, ...flow } }
}
