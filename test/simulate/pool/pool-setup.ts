import { type CostLine, costOf } from '../../../shared/models/batch-cost.ts'
import type { Order } from './order.ts'

/** What a model costs, and how the workers of its pool are set. */
export interface PoolSetup {
  readonly workers: number
  /** What a batch takes, milliseconds. */
  readonly cost: CostLine
  /** Rows of a batch, at most. */
  readonly mostRows: number
  /** What ending an event without a run takes, as a part of what its row would. */
  readonly endShare: number
  /** One way between any two processes, milliseconds. */
  readonly wayMs: number
  /** Events of a lane that the stream takes. */
  readonly mostOfLane: number
  /** One for each worker. */
  readonly order: () => Order
}

/** Events a second that a pool carries. */
export function capacityOf({ workers, cost, mostRows }: PoolSetup): number {
  return (1_000 * workers * mostRows) / costOf(cost, mostRows)
}

/** How long what is pulled beyond two batches has to last, beside the way there and back, milliseconds. */
const AHEAD_MS = 20

/** Rows that a worker holds at most: two batches, and what it runs until the next are there. */
export function roomOf(setup: PoolSetup): number {
  const perMs = capacityOf(setup) / setup.workers / 1_000
  return 2 * setup.mostRows + Math.ceil(perMs * (2 * setup.wayMs + AHEAD_MS))
}
