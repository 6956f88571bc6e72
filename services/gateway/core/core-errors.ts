import { PeltonError, showValue } from '../../../shared/sdk/errors.ts'

/** What whoever waits is told when the gateway ends. */
export function closed(): PeltonError {
  return new PeltonError('closed', 'the gateway ends', { remedy: 'Ask again: another gateway answers.' })
}

/** What a request with an idempotency key is told whose event has an id. */
export function twoIdentities(id: string): PeltonError {
  return new PeltonError('invalid-argument', 'an event with an id of its own takes no idempotency key', {
    field: 'Idempotency-Key',
    value: `beside id ${showValue(id)}`,
    remedy: 'Leave it out: the id does the same for an event.',
  })
}

/** What a request is told whose time is over before the stream has said anything. @param token of its event, where it has one */
export function unknownFate(token: string | undefined): PeltonError {
  const details = token === undefined ? {} : { field: 'token', value: token }
  const problem = 'the stream did not answer in time, so it is unknown whether the event is stored'
  return new PeltonError('broker-unavailable', problem, { ...details, remedy: 'Ask again later.' })
}
