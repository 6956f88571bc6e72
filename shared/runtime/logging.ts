import {
  type DestinationStream,
  type LogFn,
  type Logger,
  type LoggerOptions,
  pino,
  stdTimeFunctions,
} from 'pino'
import { namedError } from '../sdk/contract/named-error.ts'
import type { Names } from '../sdk/contract/names.ts'
import { printableJson } from './printable.ts'

/** Fields that hold sentences, or the name of a stream: all others are values, of events and of whoever sent them. */
const SENTENCES: ReadonlySet<string> = new Set(['because', 'problem', 'reason', 'remedy', 'stream'])

/**
 * The logger of a service: JSON lines on standard output with RFC 3339 times. Credentials never reach a log line, nor does
 * what a terminal would act on: it stands there escaped, as JSON escapes it. What a line says of streams and buckets has
 * their names at the broker.
 *
 * @param destination @default standard output
 */
export function createLogger(
  service: string,
  level: string,
  names: Names,
  destination?: DestinationStream,
): Logger {
  const options: LoggerOptions = {
    name: service,
    level,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    hooks: {
      streamWrite: printableJson,
      ...(names.prefix !== undefined && { logMethod: namedLines(names) }),
    },
    redact: ['password', '*.password', '*.authorization'],
  }
  return destination === undefined ? pino(options) : pino(options, destination)
}

/** What a line is made of: a sentence, or fields and perhaps a sentence. */
function namedLines(names: Names) {
  return function logNamed(this: Logger, given: Parameters<LogFn>, method: LogFn): void {
    const named = given.map((part: unknown) => namedPart(names, part))
    method.apply(this, named as Parameters<LogFn>) // what they were, but for names
  }
}

function namedPart(names: Names, part: unknown): unknown {
  if (typeof part === 'string') return names.text(part)
  if (part instanceof Error) return namedError(names, part)
  if (typeof part !== 'object' || part === null) return part
  return Object.fromEntries(
    Object.entries(part).map(([field, value]) => [field, namedField(names, field, value)]),
  )
}

function namedField(names: Names, field: string, value: unknown): unknown {
  if (field === 'err') return namedError(names, value)
  return typeof value === 'string' && SENTENCES.has(field) ? names.text(value) : value
}
