import { openMeters } from '../../../shared/runtime/meters.ts'

/** What there is of something, and how much there may be; undefined for no limit. */
export interface Used {
  readonly count: number
  readonly limit: number | undefined
}

export interface GatewayGaugesOptions {
  /** Connections that are open. */
  connections(): Used
  /** What was taken and is not answered yet. */
  inFlight(): { readonly requests: Used; readonly bytes: Used }
  /** API keys that are known; undefined where none is needed. */
  keys(): number | undefined
}

/** What is looked up when somebody reads the metrics, and costs nothing in between. */
export function openGatewayGauges({ connections, inFlight, keys }: GatewayGaugesOptions): void {
  const { gauge } = openMeters('gateway')
  gauge('gatewayConnections', (report) => report(connections().count))
  gauge('gatewayInFlightRequests', (report) => report(inFlight().requests.count))
  gauge('gatewayInFlightBytes', (report) => report(inFlight().bytes.count))
  gauge('gatewayKeys', (report) => {
    const known = keys()
    if (known !== undefined) report(known)
  })
  gauge('gatewayLimitUsed', (report) => {
    const all = { connections: connections(), ...inFlight() }
    for (const [name, { count, limit }] of Object.entries(all))
      if (limit !== undefined && limit > 0) report(Math.min(1, count / limit), { limit: name })
  })
}
