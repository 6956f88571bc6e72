import { PeltonError } from '../errors.ts'

/** What to say where a stream, bucket or consumer of Pelton is missing. @param what it is, and its name */
export function notOnBroker(what: string, cause?: unknown): PeltonError {
  const remedy = 'Run `pelton provision`, or `pelton up`, once.'
  return new PeltonError('not-provisioned', `${what} does not exist on this broker`, { remedy }, cause)
}
