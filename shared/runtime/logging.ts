import { type Logger, pino, stdTimeFunctions } from 'pino'
import { printableJson } from './printable.ts'

/**
 * The logger of a service: JSON lines on standard output with RFC 3339 times. Credentials never reach a log line, nor does
 * what a terminal would act on: it stands there escaped, as JSON escapes it.
 */
export function createLogger(service: string, level: string): Logger {
  return pino({
    name: service,
    level,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    hooks: { streamWrite: printableJson },
    redact: ['password', '*.password', '*.authorization'],
  })
}
