import { type Logger, pino, stdTimeFunctions } from 'pino'

/** The logger of a service: JSON lines on standard output with RFC 3339 times. Credentials never reach a log line. */
export function createLogger(service: string, level: string): Logger {
  return pino({
    name: service,
    level,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: ['password', '*.password', '*.authorization'],
  })
}
