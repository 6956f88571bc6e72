import type { FlowGate } from '../../sdk/contract/flow.ts'
import { LANES } from '../../sdk/contract/subjects.ts'
import type { Breaker, ModelRecord } from './model-record.ts'

/*
 * The circuit breaker of a model (M. T. Nygard, "Release It!"): closed, open once it fails on everything, half-open while a
 * probe runs a few of its events. It stands in the pool's record of the model, so that every worker knows it. All of it is
 * pure: each function gives the very same record where it changes nothing, and times are broker time, milliseconds since 1970.
 */

/** Events in a row that a model fails on, in one worker: then it is the model's fault, and no event can help. */
export const MOST_FAILURES = 20

/** Events that a probe runs at most. */
export const PROBE_EVENTS = 5

/**
 * So long what is parked leaves a probe that is due to events that come just then, milliseconds: where a model fails on what
 * one source has sent, it is not probed with that over and over while all others are refused.
 */
export const ARRIVALS_FIRST_MS = 1_000

const FIRST_PROBE_MS = 1_000
const MOST_PROBE_MS = 60_000

/** Characters that are kept of an error. */
const MOST_CAUSE = 300

/** How long until the next probe, milliseconds: doubling from a second to a minute. @param random a number in [0, 1) */
export function probeInMs(failedProbes: number, random: () => number = Math.random): number {
  const ms = Math.min(MOST_PROBE_MS, FIRST_PROBE_MS * 2 ** Math.min(failedProbes, 16))
  return Math.round(ms * (0.75 + random() / 4))
}

/** What opens a breaker. */
export interface Opening {
  readonly now: number
  /** The error of the last event. */
  readonly cause: string
  /** Events it failed on in a row. */
  readonly failures: number
}

/** The model fails on everything: from now on none of its events is run but by a probe. */
export function openBreaker(
  record: ModelRecord,
  { now, cause, failures }: Opening,
  random?: () => number,
): ModelRecord {
  if (record.breaker !== undefined) return record
  const nextProbeAt = now + probeInMs(0, random)
  return { ...record, breaker: { since: now, cause: cut(cause), failures, probes: 0, nextProbeAt } }
}

/**
 * Whether somebody may probe the model now.
 *
 * @param isGone whether a worker that has claimed the probe is known not to be at it. @default nobody is
 */
export function isProbeDue(
  breaker: Breaker | undefined,
  now: number,
  isGone: (worker: string) => boolean = () => false,
): boolean {
  if (breaker === undefined || now < breaker.nextProbeAt) return false
  const { probing } = breaker
  return probing === undefined || now >= probing.until || isGone(probing.by)
}

/** That a worker probes. */
export interface Claim {
  readonly by: string
  readonly now: number
  readonly until: number
  readonly isGone?: (worker: string) => boolean
}

/** A worker takes the probe that is due, until `until`: of several one has it. */
export function claimProbe(record: ModelRecord, { by, now, until, isGone }: Claim): ModelRecord {
  const { breaker } = record
  if (breaker === undefined || !isProbeDue(breaker, now, isGone)) return record
  return { ...record, breaker: { ...breaker, probing: { by, until } } }
}

/** What a probe says: that the model works again, that it does not, or nothing, because none of its events was run. */
export type ProbeVerdict = 'healed' | 'failed' | 'nothing'

/**
 * Judges a probe. One event that succeeds is enough: the model does not fail on everything, and one that fails on most is
 * better run than held, because it would hold those as well that it does not fail on.
 *
 * @param ran events that were run
 * @param isOver whether no more of its events will be run
 * @returns undefined while it is not decided
 */
export function judgeProbe(
  ran: { readonly succeeded: number; readonly failed: number },
  isOver: boolean,
): ProbeVerdict | undefined {
  if (ran.succeeded > 0) return 'healed'
  if (!isOver) return undefined
  return ran.failed > 0 ? 'failed' : 'nothing'
}

/** What a worker that probed has found. */
export interface Probed {
  /** Who probed: what it found counts as long as the probe is its own. */
  readonly by: string
  readonly verdict: ProbeVerdict
  readonly now: number
  /** Events the probe failed on, and the error of the last. */
  readonly failures: number
  readonly cause: string
}

/** Closes the breaker, opens it for longer, or leaves the probe to the next one. */
export function endProbe(record: ModelRecord, probed: Probed, random?: () => number): ModelRecord {
  const { breaker } = record
  if (breaker === undefined || breaker.probing?.by !== probed.by) return record
  if (probed.verdict === 'healed') return closeBreaker(record)
  const { probing: _over, ...open } = breaker
  if (probed.verdict === 'nothing') return { ...record, breaker: open }
  const probes = open.probes + 1
  return {
    ...record,
    breaker: {
      ...open,
      probes,
      cause: cut(probed.cause),
      failures: open.failures + probed.failures,
      nextProbeAt: probed.now + probeInMs(probes, random),
    },
  }
}

/** Its events are run again. */
export function closeBreaker({ breaker: _closed, ...record }: ModelRecord): ModelRecord {
  return record
}

/** Why its events are not run, for people. */
export function describeBreaker({ failures, cause, nextProbeAt }: Breaker): string {
  const at = new Date(nextProbeAt).toISOString()
  return `it failed on ${failures} events in a row, the last time because ${cause}; next probe: ${at}`
}

/** How soon a door may ask again while somebody probes, milliseconds. */
const PROBING_MS = 1_000

/**
 * What doors are told of a model: while its breaker is open they take no event for it. Once a probe is due they do, until
 * somebody has claimed it: where nothing waits, the next event that comes is what is probed with.
 */
export function gatesOf(record: ModelRecord | undefined, now: number): readonly FlowGate[] {
  const breaker = record?.breaker
  if (breaker === undefined || isProbeDue(breaker, now)) return []
  return [
    {
      limit: 'breaker',
      lanes: LANES,
      value: MOST_FAILURES,
      measured: breaker.failures,
      retryAfterMs: Math.max(PROBING_MS, breaker.nextProbeAt - now),
      because: `the model fails on everything: ${describeBreaker(breaker)}`,
    },
  ]
}

function cut(text: string): string {
  return text.length <= MOST_CAUSE ? text : `${text.slice(0, MOST_CAUSE - 1)}…`
}
