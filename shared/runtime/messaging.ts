import type { Attributes } from '@opentelemetry/api'
import { SUBJECT_TEMPLATES } from '../sdk/contract/subjects.ts'
import { PeltonError } from '../sdk/errors.ts'

/** Where messages are sent to and received from, by template: names of models and tokens are no labels. */
export type Destination = keyof typeof SUBJECT_TEMPLATES

/** What the messaging conventions of OpenTelemetry ask of every operation; those on several destinations name none. */
export function operationAttributes(name: string, destination: Destination | undefined): Attributes {
  return {
    'messaging.system': 'nats',
    'messaging.operation.name': name,
    ...(destination !== undefined && { 'messaging.destination.template': SUBJECT_TEMPLATES[destination] }),
  }
}

/**
 * Who an event is: the token is what the broker deduplicates by, and joins all messages of the event; an id is unique
 * within its source only. A result does not name the source of its event.
 */
export function eventAttributes({
  token,
  id,
  source,
}: {
  readonly token: string
  readonly id: string
  readonly source?: string
}): Attributes {
  return {
    'messaging.message.id': token,
    'cloudevents.event_id': id,
    ...(source !== undefined && { 'cloudevents.event_source': source }),
  }
}

/** `error.type` of what was thrown: a code of the closed set, `aborted`, or `internal` for a defect. */
export function errorTypeOf(thrown: unknown): string {
  if (thrown instanceof PeltonError) return thrown.code
  return thrown instanceof Error && thrown.name === 'AbortError' ? 'aborted' : 'internal'
}
