import { STREAMS } from '../../sdk/contract/topology.ts'
import type { StatusSnapshot } from './snapshot.ts'

/** What two looks at a broker tell about its pace. */
export interface DrainPace {
  /** Outcomes stored per second. */
  readonly resultsPerSecond: number
  /** How long the backlog takes at this pace; undefined while nothing is answered. */
  readonly backlogSeconds: number | undefined
}

/** The pace between two snapshots, by the broker's clock. */
export function paceBetween(earlier: StatusSnapshot, later: StatusSnapshot): DrainPace {
  const seconds = Math.max(0.001, (later.at - earlier.at) / 1_000)
  const last = (snapshot: StatusSnapshot): number =>
    snapshot.streams.find(({ name }) => name === STREAMS.results)?.lastSequence ?? 0
  const resultsPerSecond = Math.max(0, last(later) - last(earlier)) / seconds
  if (later.backlog === 0) return { resultsPerSecond, backlogSeconds: 0 }
  return {
    resultsPerSecond,
    backlogSeconds: resultsPerSecond === 0 ? undefined : later.backlog / resultsPerSecond,
  }
}
