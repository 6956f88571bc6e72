import type { StoredEntry } from './store.ts'

/** An event that the broker will never take as it is. */
export interface RejectedEvent {
  /** Its place in this outbox. */
  readonly position: number
  readonly id: string
  readonly token: string
  readonly model: string
  /** `too-large`, say. */
  readonly code: string
  /** Why, for people. */
  readonly description: string
  readonly acceptedAt: Date
  readonly rejectedAt: Date
  /** The message as it would have been sent. */
  readonly subject: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Uint8Array
}

/** A rejected entry as its owner gets it. */
export function rejectedEvent({ position, message, model, acceptedAt, refusal }: StoredEntry): RejectedEvent {
  const { id, token, subject, headers, body } = message
  const { code, description, at } = refusal ?? { code: 'internal', description: '', at: acceptedAt }
  return {
    ...{ position, id, token, model, code, description },
    ...{ acceptedAt: new Date(acceptedAt), rejectedAt: new Date(at) },
    ...{ subject, headers, body },
  }
}
