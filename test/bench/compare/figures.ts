import { quantile } from '../../scale/stage.ts'
import type { CpuTime } from './cpu.ts'

export type SideName = 'base' | 'head'
export type Phase = 'drain' | 'open'

/** Numbers by name, in the order they are shown. */
export type Figures = Readonly<Record<string, number>>

/** What a measurement of one side came to. */
export interface Measured {
  readonly figures: Figures
  /** What it was measured under. Tells of the machine and the generator, so it is shown but not compared. */
  readonly conditions: Figures
  /** Why it, and so its round, does not count. */
  readonly void?: string
}

/** One measurement of one side in one round. */
export interface Run extends Measured {
  readonly phase: Phase
  readonly side: SideName
  /** From 0. */
  readonly round: number
}

/** Figures that are spoken of by name. */
export const RATE = 'events/s'
export const WORKER_CPU = 'µs/event worker'
export const BROKER_CPU = 'µs/event broker'
/** Resident memory of the worker at its highest since it began. */
export const PEAK_MEMORY = 'peak MiB worker'
export const BROKER_MEMORY = 'peak MiB broker'
/** From being stored to being started, of a steady load. */
export const QUEUE_P50 = 'queue p50 ms'
export const QUEUE_P99 = 'queue p99 ms'
export const OTHER_WORK = 'other work %'

/** Processor time of each of so many events, by process and by thread of the worker. */
export function cpuFigures({ us }: CpuTime, events: number): Figures {
  const perEvent = Object.entries(us).map(([name, each]): [string, number] => [
    `µs/event ${name}`,
    each / events,
  ])
  return Object.fromEntries(perEvent.sort(([a], [b]) => (a < b ? -1 : 1)))
}

const SHARES = { p50: 0.5, p90: 0.9, p99: 0.99, 'p99.9': 0.999 } as const

export function latencyFigures(latenciesMs: readonly number[]): Figures {
  return Object.fromEntries(
    Object.entries(SHARES).map(([name, share]) => [`latency ${name} ms`, quantile(latenciesMs, share)]),
  )
}
