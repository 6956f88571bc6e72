import type { Expiry } from '../sdk/jetstream/expiry.ts'
import type { State } from './lifecycle.ts'
import { watchLoopDelay } from './loop-delay.ts'
import { openMeters } from './meters.ts'
import type { MetricSource } from './metrics.ts'
import { type Readiness, whyNotReady } from './readiness.ts'

export interface ProcessFacts extends Readiness {
  readonly isBrokerReachable: () => boolean
  /** Until when the broker lets this process in. */
  readonly expiries: () => readonly Expiry[]
}

const STATES: readonly State[] = ['starting', 'ready', 'draining', 'stopped', 'failed']

/** The metrics every service has of its process. Call it once, where metrics are read. */
export function measureProcess(source: MetricSource, facts: ProcessFacts): void {
  const { state, isBrokerReachable, expiries } = facts
  const meters = openMeters(source)
  const delay = watchLoopDelay()
  meters.gauge('lifecycleState', (report) => {
    for (const each of STATES) report(each === state() ? 1 : 0, { state: each })
  })
  meters.gauge('ready', (report) => report(whyNotReady(facts).length === 0 ? 1 : 0))
  meters.gauge('brokerReachable', (report) => report(isBrokerReachable() ? 1 : 0))
  meters.gauge('credentialsLeft', (report) => {
    for (const { kind, expiresAt } of expiries()) report((expiresAt - Date.now()) / 1_000, { kind })
  })
  meters.gauge('memoryUsage', (report) => report(process.memoryUsage.rss()))
  meters.gauge('eventLoopDelayP99', (report) => report(delay.p99))
  // The last to be read: it begins the next window.
  meters.gauge('eventLoopDelayMax', (report) => {
    report(delay.max)
    delay.begin()
  })
}
