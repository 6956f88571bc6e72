import { type DestinationStream, type Logger, type LoggerOptions, pino, stdTimeFunctions } from 'pino'
import { printableJson } from './printable.ts'

/**
 * The logger of a service: JSON lines on standard output with RFC 3339 times. Credentials never reach a log line, nor does
 * what a terminal would act on: it stands there escaped, as JSON escapes it.
 *
 * @param destination @default standard output
 */
export function createLogger(service: string, level: string, destination?: DestinationStream): Logger {
  const options: LoggerOptions = {
    name: service,
    level,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    hooks: { streamWrite: printableJson },
    redact: ['password', '*.password', '*.authorization'],
  }
  return destination === undefined ? pino(options) : pino(options, destination)
}
