import { PeltonError } from '../errors.ts'
import type { OutboxSettings } from './settings.ts'

/** What an outbox holds, and what keeps it from holding less. */
export interface Fill {
  readonly waiting: number
  readonly rejected: number
  readonly problem: PeltonError | undefined
}

export function closedError(): PeltonError {
  return new PeltonError('closed', 'this outbox is closed')
}

export function neverFits(sizeBytes: number, maxBytes: number): PeltonError {
  const details = {
    field: 'maxBytes',
    value: String(maxBytes),
    remedy: 'Send fewer rows, or raise maxBytes.',
  }
  return new PeltonError(
    'too-large',
    `the event takes ${sizeBytes} bytes, more than the outbox holds`,
    details,
  )
}

/** @param held events there are, of `settings.maxEvents` */
export function fullError(settings: OutboxSettings, held: number, { rejected, problem }: Fill): PeltonError {
  const { maxEvents, maxBytes } = settings
  const isByCount = held >= maxEvents
  const why = problem?.message ?? 'the broker takes events more slowly than they come'
  const aside = rejected === 0 ? '' : `, ${rejected} of its events are rejected ones`
  const instead = rejected === 0 ? '' : ' remove rejected events,'
  return new PeltonError('outbox-full', `the outbox is full${aside}: ${why}`, {
    field: isByCount ? 'maxEvents' : 'maxBytes',
    value: String(isByCount ? maxEvents : maxBytes),
    remedy: `Nothing was kept. Publish again later,${instead} or open it with whenFull: 'wait' or a higher limit.`,
  })
}

/** For events of one subject whose sends the broker does not answer. */
export function unansweredError(subject: string, cause: PeltonError): PeltonError {
  const text = `nobody says whether events of ${subject} are stored: ${cause.description}`
  const remedy = 'Where events of other models are stored, see whether this user may publish on that subject.'
  return new PeltonError('broker-unavailable', text, { field: 'subject', value: subject, remedy }, cause)
}

/** For callers of `flush` that waited until all is stored by the broker, and some was not. */
export function unsentError(timeoutMs: number, { waiting, problem }: Fill): PeltonError {
  if (problem?.code === 'outbox-unusable') return problem
  const why = problem === undefined ? '' : ` (${problem.message})`
  const text = `${waiting} events in the outbox were not stored by the broker within ${timeoutMs} ms${why}`
  const remedy = 'They stay there, and are sent as soon as the broker takes them, also after a restart.'
  return new PeltonError('timeout', text, { field: 'timeoutMs', value: String(timeoutMs), remedy }, problem)
}
