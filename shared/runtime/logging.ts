import { trace } from '@opentelemetry/api'
import { type Logger, pino, stdTimeFunctions } from 'pino'

/**
 * The logger of a service: JSON lines on standard output with RFC 3339 times, with `trace_id` and `span_id` while a span
 * is active. Credentials never reach a log line.
 */
export function createLogger(service: string, level: string): Logger {
  return pino({
    name: service,
    level,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    mixin: activeSpan,
    redact: ['password', '*.password', '*.authorization'],
  })
}

/** A line that names its own trace keeps it. */
function activeSpan(): object {
  const place = trace.getActiveSpan()?.spanContext()
  return place === undefined ? {} : { trace_id: place.traceId, span_id: place.spanId }
}
