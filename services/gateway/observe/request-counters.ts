import { openMeters } from '../../../shared/runtime/meters.ts'
import { UNKNOWN_MODEL } from '../../../shared/runtime/metrics.ts'
import type { EndedRequest } from '../core/figures.ts'

/** Values of one label at most: names are those of served models, reasons of a closed set; this is the wall behind both. */
const MOST_VALUES = 500
const OTHER_REASON = '(other)'

/** Opens the counters of requests; made only where somebody reads them. @returns counts one that ended */
export function countRequests(): (request: EndedRequest) => void {
  const meters = openMeters('gateway')
  const requests = meters.counter('gatewayRequests')
  const abandoned = meters.counter('gatewayAbandoned')
  const modelOf = boundedModel()
  const reasonOf = boundedReason()
  return ({ model, reason, protocol, ended, status }) => {
    // A name that no worker serves came from outside.
    const bounded = modelOf(reason === 'unknown-model' ? undefined : model)
    requests(1, {
      model: bounded,
      protocol,
      ended,
      ...(reason !== undefined && { reason: reasonOf(reason) }),
      'http.response.status_code': status,
    })
    if (ended === 'left') abandoned(1, { model: bounded })
  }
}

/** A label for models: undefined is one that nobody serves. */
export function boundedModel(): (model: string | undefined) => string {
  const modelOf = boundedBy(MOST_VALUES, UNKNOWN_MODEL)
  return (model) => (model === undefined ? UNKNOWN_MODEL : modelOf(model))
}

/** A label for reasons and limits. */
export function boundedReason(): (reason: string) => string {
  return boundedBy(MOST_VALUES, OTHER_REASON)
}

/** The first values stay what they are, any further ones become one. */
function boundedBy(most: number, otherwise: string): (value: string) => string {
  const known = new Set<string>()
  return (value) => {
    if (known.has(value)) return value
    if (known.size >= most) return otherwise
    known.add(value)
    return value
  }
}
