import type { Logger } from 'pino'
import { openMeters } from '../../../shared/runtime/meters.ts'
import type { RefusedRequest } from '../core/figures.ts'
import { boundedModel, boundedReason } from './request-counters.ts'

/** Between two lines in the log, milliseconds. */
const LINE_MS = 60_000
/** What is told apart for a line at most. */
const MOST_KINDS = 1_000

export interface RefusalsOptions {
  readonly log: Logger
  /** Whether somebody reads metrics. */
  readonly hasMetrics: boolean
}

/** Who is told of requests that are not let in. */
export interface Refusals {
  told(refused: RefusedRequest): void
  /** Says what was only counted. May be called again. */
  close(): void
}

/**
 * Counts requests that are not let in, and says so in the log: of the first at once, of the others once a minute, also where no
 * more come.
 */
export function watchRefusals({ log, hasMetrics }: RefusalsOptions): Refusals {
  const count = hasMetrics ? countRefused() : undefined
  let kinds = new Map<string, Kind>()
  /** The one that was told of last: mostly the next is of the same kind. */
  let last: Kind | undefined
  let total = 0
  let minute: NodeJS.Timeout | undefined
  const tell = (): void => {
    const [most = ''] = [...kinds].sort(([, one], [, other]) => other.count - one.count)[0] ?? []
    log.warn({ refused: total, most }, 'requests are not let in')
    kinds = new Map()
    last = undefined
    total = 0
  }
  const turn = (): void => {
    minute = undefined
    if (total === 0) return
    tell()
    minute = setTimeout(turn, LINE_MS).unref()
  }
  const kindOf = (refused: RefusedRequest): Kind | undefined => {
    const text = describe(refused)
    let kind = kinds.get(text)
    if (kind === undefined && kinds.size < MOST_KINDS) {
      kind = { refused, count: 0 }
      kinds.set(text, kind)
    }
    return kind
  }
  return {
    told: (refused) => {
      count?.(refused)
      total++
      if (last === undefined || !isAlike(last.refused, refused)) last = kindOf(refused)
      if (last !== undefined) last.count++
      if (minute === undefined) turn()
    },
    close: () => {
      clearTimeout(minute)
      if (total > 0) tell()
    },
  }
}

/** Refusals that are told as one. */
interface Kind {
  /** The first of them. */
  readonly refused: RefusedRequest
  count: number
}

function isAlike(one: RefusedRequest, other: RefusedRequest): boolean {
  return (
    one.limit === other.limit &&
    one.lane === other.lane &&
    one.model === other.model &&
    one.pool === other.pool &&
    one.isEnforced === other.isEnforced
  )
}

function countRefused(): (refused: RefusedRequest) => void {
  const refusals = openMeters('gateway').counter('gatewayRefused')
  const modelOf = boundedModel()
  const limitOf = boundedReason()
  return ({ model, lane, limit, isEnforced }) =>
    refusals(1, { model: modelOf(model), lane, limit: limitOf(limit), enforced: isEnforced })
}

function describe({ pool, model = '', lane, limit, isEnforced }: RefusedRequest): string {
  return `model ${model}, pool ${pool}, lane ${lane}: ${limit}${isEnforced ? '' : ' (only observed)'}`
}
