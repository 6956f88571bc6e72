import { createTraceState, type SpanContext, TraceFlags } from '@opentelemetry/api'
import { HEADERS, type Headers, readHeader } from '../sdk/contract/headers.ts'

/** W3C Trace Context, version 00 or a later one that begins alike. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/

/** The place in a trace that a `traceparent` names; `undefined` where it is missing or malformed. */
export function readTraceparent(
  traceparent: string | undefined,
  tracestate?: string,
): SpanContext | undefined {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent ?? '') ?? []
  if (traceId === undefined || spanId === undefined) return undefined
  const traceFlags = Number.parseInt(flags ?? '00', 16) & TraceFlags.SAMPLED
  const place = { traceId, spanId, traceFlags, isRemote: true }
  return tracestate === undefined ? place : { ...place, traceState: createTraceState(tracestate) }
}

/** Where the flags end, in every version. */
const FLAGS_END = 54

/** Where a message's sender was, if that is sampled. */
export function sampledContext(headers: Headers): SpanContext | undefined {
  const traceparent = headers.get(HEADERS.traceparent)
  // Most events are not sampled, which the last of the flags tells before anything is made of them.
  if (traceparent === undefined || !(Number.parseInt(traceparent[FLAGS_END] ?? '', 16) & TraceFlags.SAMPLED))
    return undefined
  const place = readTraceparent(traceparent, readHeader(headers, HEADERS.tracestate))
  return place !== undefined && place.traceFlags === TraceFlags.SAMPLED ? place : undefined
}

/** The header `traceparent` of a place in a trace (W3C Trace Context, version 00). */
export function writeTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`
}
