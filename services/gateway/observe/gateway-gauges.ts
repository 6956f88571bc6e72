import { openMeters } from '../../../shared/runtime/meters.ts'
import type { GateReading } from '../../../shared/sdk/admission/admission.ts'

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
  /** What models are let in by that requests asked for lately. */
  gates(): readonly GateReading[]
}

/** What is looked up when somebody reads the metrics, and costs nothing in between. */
export function openGatewayGauges({ connections, inFlight, keys, gates }: GatewayGaugesOptions): void {
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
  gauge('gatewayGate', (report) => {
    for (const { pool, model, gate, value } of gates()) report(value, { pool, model, gate })
  })
  gauge('gatewayGateThreshold', (report) => {
    for (const { pool, model, gate, threshold } of gates())
      if (threshold !== undefined) report(threshold, { pool, model, gate })
  })
}
