import { type ErrorCode, PeltonError } from '../errors.ts'
import type { Names } from './names.ts'

/** Errors that name streams of the broker, and nothing a user gave. */
const OF_BROKER: ReadonlySet<ErrorCode> = new Set([
  ...(['broker-unavailable', 'not-provisioned', 'stream-full', 'undeliverable'] as const),
])

/**
 * An error for people, with the streams it names as the broker has them, and so its causes; anything else as it is. What is
 * named already stays.
 */
export function namedError(names: Names, thrown: unknown): unknown {
  if (!(thrown instanceof PeltonError) || names.prefix === undefined || !OF_BROKER.has(thrown.code))
    return thrown
  const { code, description, details, stack } = thrown
  const named = Object.entries(details).map(([key, text]) => [key, text && names.text(text)])
  const cause = namedError(names, thrown.cause)
  // Its description has the details in it already.
  const error = new PeltonError(code, names.text(description), {}, cause)
  // Where it comes from, not where it was named.
  if (stack !== undefined) error.stack = names.text(stack)
  return Object.assign(error, { details: Object.fromEntries(named) })
}
