import type { EndedRequest, Figures } from '../core/figures.ts'
import { countRequests } from './request-counters.ts'
import { createStatistics, type ModelStatistics } from './statistics.ts'

export interface FiguresOptions {
  /** Whether somebody reads metrics: without, there are the statistics alone. */
  readonly hasMetrics: boolean
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number
}

/** Counts of requests, and what the Open Inference Protocol tells of them. */
export interface GatewayFigures extends Figures {
  /** Of each version of a model that was asked for here, of one model, or of one version of it. */
  statistics(model?: string, version?: string): readonly ModelStatistics[]
}

/** What becomes of requests for predictions, counted for metrics and statistics. Memory is bounded, whatever is asked for. */
export function createFigures({ hasMetrics, now = Date.now }: FiguresOptions): GatewayFigures {
  const count = hasMetrics ? countRequests() : undefined
  const statistics = createStatistics()
  return {
    ended(request) {
      count?.(request)
      if (isOfStatistics(request)) statistics.add(request.model, request, now())
    },
    statistics: (model, version) => statistics.read(model, version),
  }
}

/**
 * Whoever fetches an outcome again has nothing predicted again, and a model that nobody has is none: names from outside
 * would push out those of models.
 */
function isOfStatistics(request: EndedRequest): request is EndedRequest & { readonly model: string } {
  return request.model !== undefined && request.protocol !== 'results' && request.reason !== 'unknown-model'
}
