import { noConnection } from '../../../shared/runtime/broker-reach.ts'
import { showCount } from '../../../shared/runtime/quantities.ts'
import type { Names } from '../../../shared/sdk/contract/names.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { showValue } from '../../../shared/sdk/errors.ts'
import type { NotServable } from '../settle/outcome.ts'
import type { WaitingEvents } from '../settle/parking.ts'

/** What a worker's readiness depends on. Being busy is not among it: its broker would only give to others. */
export interface WorkerFacts {
  readonly isBrokerReachable: boolean
  /** Why it is not, where that is known. */
  readonly whyAway?: string | undefined
  /** Versions of models that are served. */
  readonly models: number
  /** Streams that do not take what there is to store, each with a reason. */
  readonly refusing: ReadonlyMap<string, string>
  /** Why nothing is pulled although all do: the ledger is nearly full. */
  readonly ledgerStops: string | undefined
  readonly skewMs: number
  /** What its broker calls the streams. */
  readonly names: Pick<Names, 'text'>
}

/** A clock further off than this makes times in headers and logs wrong, milliseconds. */
const MAX_SKEW_MS = 5_000

/** Why a worker that starts takes no events yet. */
export function inspectingReason({ served, of }: { readonly served: number; readonly of: number }): string {
  return `models: ${served} of ${of} are ready, the others are inspected`
}

/** Why a worker takes no events, or should not: empty when it is ready. */
export function reasonsAgainst(facts: WorkerFacts): string[] {
  const { isBrokerReachable, whyAway, models, refusing, ledgerStops, skewMs, names } = facts
  const reasons = [...refusing].map(([stream, because]) => `storage: ${stream} refuses (${because})`)
  if (ledgerStops !== undefined) reasons.push(`storage: ${STREAMS.ledger} is nearly full (${ledgerStops})`)
  if (!isBrokerReachable) reasons.unshift(noConnection({ whyAway }))
  if (models === 0) reasons.push('models: none is served')
  if (Math.abs(skewMs) > MAX_SKEW_MS)
    reasons.push(
      `clock: ${(skewMs / 1_000).toFixed(1)} s off the broker's, at most ${MAX_SKEW_MS / 1_000} s are right`,
    )
  return reasons.map(names.text)
}

/** What a worker does not serve, as it can be seen from outside. */
export interface UnservedFacts {
  readonly models: readonly (NotServable & { readonly model: string })[]
  readonly waiting: readonly WaitingEvents[]
  /** Consumers of lanes that stand. */
  readonly lanes: readonly string[]
}

/** Models named in notes: the rest is a count. */
const MOST_NAMED = 10

/**
 * What is wrong with a worker that is ready all the same: one model of many that is not servable here makes it serve the
 * others no worse.
 */
export function notesOn({ models, waiting, lanes }: UnservedFacts): string[] {
  const notes = models.slice(0, MOST_NAMED).map(({ model, cause, text }) => {
    const of = waiting.filter((one) => one.model === model)
    const counts = of.map(
      ({ place, events }) => `, ${showCount(events)} ${place === 'parked' ? place : 'held back'}`,
    )
    return `model: ${showValue(model)} is not servable here (${cause})${counts.join('')}: ${text}`
  })
  if (models.length > MOST_NAMED) notes.push(`model: ${showCount(models.length - MOST_NAMED)} more are not`)
  for (const consumer of lanes) notes.push(`lane: ${consumer} stands, no more events may be held back`)
  return notes
}
