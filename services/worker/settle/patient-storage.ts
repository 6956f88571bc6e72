import type { NatsConnection } from '@nats-io/transport-node'
import type { Headers } from '../../../shared/sdk/contract/headers.ts'
import type { OutgoingMessage } from '../../../shared/sdk/contract/outcome.ts'
import { lastOfSubject, type StoredCopy } from '../../../shared/sdk/jetstream/api.ts'
import {
  API_ERRORS,
  type PublishReply,
  type PublishWindow,
} from '../../../shared/sdk/jetstream/publish-window.ts'
import { parseHeaderBlock } from '../../../shared/sdk/jetstream/stored-message.ts'
import type { StorageHealth, Try } from './storage-health.ts'

/** A message as the leader of its stream holds it, headers read. */
export interface StoredAnswer extends StoredCopy {
  readonly headers: Headers
}

/** Reads and writes streams for as long as it takes; meanwhile they count as refusing. */
export class PatientStorage {
  readonly #connection: NatsConnection
  readonly #window: PublishWindow
  readonly #health: StorageHealth

  constructor(
    broker: { readonly connection: NatsConnection; readonly window: PublishWindow },
    health: StorageHealth,
  ) {
    this.#connection = broker.connection
    this.#window = broker.window
    this.#health = health
  }

  /** The last message of a subject, from the leader. @throws AbortError when stopped meanwhile */
  read(stream: string, subject: string): Promise<StoredAnswer | undefined> {
    return this.#health.until<StoredAnswer | undefined>(stream, async () => {
      try {
        const copy = await lastOfSubject(this.#connection, stream, subject)
        return { answer: copy && { ...copy, headers: parseHeaderBlock(copy.headerBlock) } }
      } catch (thrown) {
        return { again: 'unknown', because: thrown instanceof Error ? thrown.message : String(thrown) }
      }
    })
  }

  /**
   * Publishes until the stream has it; doubles must be harmless. Only what is larger than the broker takes is not tried
   * again: that passes for no stream.
   *
   * @throws AbortError when stopped meanwhile
   */
  store(stream: string, message: OutgoingMessage): Promise<'stored' | 'too-large'> {
    return this.ask<'stored' | 'too-large'>(stream, async () => {
      const reply = await this.#window.publish(message)
      if (reply.kind === 'stored') return { answer: 'stored' }
      return isTooLarge(reply) ? { answer: 'too-large' } : tryAgain(reply)
    })
  }

  /** Tries with growing pauses until there is an answer. @throws AbortError when stopped meanwhile */
  ask<Answer>(stream: string, attempt: () => Promise<Try<Answer>>): Promise<Answer> {
    return this.#health.until(stream, attempt)
  }
}

/** Whether a message can never be stored as it is. */
export function isTooLarge(reply: PublishReply): boolean {
  return reply.kind === 'refused' && reply.code === API_ERRORS.tooLarge
}

export function tryAgain(reply: Exclude<PublishReply, { kind: 'stored' }>): Try<never> {
  return { again: reply.kind, because: reply.description }
}
