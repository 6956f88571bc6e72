import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import type { OutgoingMessage } from '../../../shared/sdk/contract/outcome.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { messageOf } from '../../../shared/sdk/errors.ts'
import { lastOfSubject } from '../../../shared/sdk/jetstream/api.ts'
import { API_ERRORS, type PublishReply } from '../../../shared/sdk/jetstream/publish-reply.ts'
import type { EncodedMessage, PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import {
  type InRegister,
  lookIntoRegister,
  type StoredAnswer,
} from '../../../shared/sdk/jetstream/register.ts'
import { parseHeaderBlock } from '../../../shared/sdk/jetstream/stored-message.ts'

/** One try at storing or reading something: an answer, or why there is none yet. */
export type Try<Answer> =
  | { readonly answer: Answer }
  /**
   * `refused`: the stream said no. `unknown`: nobody said anything; once is an election, twice is trouble. `open`: the
   * stream is well, the question is not settled.
   */
  | { readonly again: 'refused' | 'unknown' | 'open'; readonly because: string }

export interface PatientStorageOptions {
  /** Ends all waiting. */
  readonly signal: AbortSignal
  /** Told when the first thing waits for a stream, and when the last one no longer does: streams, each with a reason. */
  readonly onChange: (refusing: ReadonlyMap<string, string>) => void
}

const MAX_BACKOFF_MS = 1_000

/**
 * Reads and writes streams for as long as it takes, and knows which of them do not take what this worker has to store:
 * while there is one, the worker stops pulling. A stream is in trouble exactly as long as something is waiting for it.
 */
export class PatientStorage {
  readonly #connection: NatsConnection
  readonly #window: PublishWindow
  readonly #options: PatientStorageOptions
  /** Per stream, what waits for it and why. */
  readonly #waiting = new Map<string, Map<object, string>>()

  constructor(
    broker: { readonly connection: NatsConnection; readonly window: PublishWindow },
    options: PatientStorageOptions,
  ) {
    this.#connection = broker.connection
    this.#window = broker.window
    this.#options = options
    setMaxListeners(0, options.signal) // one for each outcome that waits
  }

  /** Streams in trouble, each with a reason. */
  get refusing(): ReadonlyMap<string, string> {
    return new Map([...this.#waiting].map(([stream, reasons]) => [stream, [...reasons.values()][0] ?? '']))
  }

  /** The last message of a subject, from the leader. @throws AbortError when stopped meanwhile */
  read(stream: string, subject: string): Promise<StoredAnswer | undefined> {
    return this.#patiently(stream, async () => {
      const copy = await lastOfSubject(this.#connection, stream, subject)
      return copy && { ...copy, headers: parseHeaderBlock(copy.headerBlock) }
    })
  }

  /** What the register of an event holds, from the leader. @throws AbortError when stopped meanwhile */
  look(subject: string): Promise<InRegister> {
    return this.#patiently(STREAMS.results, () => lookIntoRegister(this.#connection, subject))
  }

  #patiently<Answer>(stream: string, read: () => Promise<Answer>): Promise<Answer> {
    return this.ask<Answer>(stream, async () => {
      try {
        return { answer: await read() }
      } catch (thrown) {
        return { again: 'unknown', because: messageOf(thrown) }
      }
    })
  }

  /**
   * Publishes until the stream has it; doubles must be harmless. Only what is larger than the broker takes is not tried
   * again: that passes for no stream.
   *
   * @throws AbortError when stopped meanwhile
   */
  store(stream: string, message: OutgoingMessage | EncodedMessage): Promise<'stored' | 'too-large'> {
    return this.ask<'stored' | 'too-large'>(stream, async () => {
      const reply = await this.#window.publish(message)
      if (reply.kind === 'stored') return { answer: 'stored' }
      return isTooLarge(reply) ? { answer: 'too-large' } : tryAgain(reply)
    })
  }

  /** Tries with growing pauses until there is an answer. @throws AbortError when stopped meanwhile */
  async ask<Answer>(stream: string, attempt: () => Promise<Try<Answer>>): Promise<Answer> {
    const question = {}
    const { signal } = this.#options
    try {
      for (let tries = 0; ; tries++) {
        const result = await attempt()
        if ('answer' in result) return result.answer
        const isTrouble = result.again === 'refused' || (result.again === 'unknown' && tries > 0)
        if (isTrouble) this.#wait(stream, question, result.because)
        await sleep(Math.min(MAX_BACKOFF_MS, 25 * 2 ** tries), undefined, { signal })
      }
    } finally {
      this.#resolve(stream, question)
    }
  }

  #wait(stream: string, question: object, because: string): void {
    const reasons = this.#waiting.get(stream)
    if (reasons !== undefined) reasons.set(question, because)
    else {
      this.#waiting.set(stream, new Map([[question, because]]))
      this.#options.onChange(this.refusing)
    }
  }

  #resolve(stream: string, question: object): void {
    const reasons = this.#waiting.get(stream)
    if (reasons?.delete(question) !== true || reasons.size > 0) return
    this.#waiting.delete(stream)
    this.#options.onChange(this.refusing)
  }
}

/** Whether a message can never be stored as it is. */
export function isTooLarge(reply: PublishReply): boolean {
  return reply.kind === 'refused' && reply.code === API_ERRORS.tooLarge
}

export function tryAgain(reply: Exclude<PublishReply, { kind: 'stored' }>): Try<never> {
  return { again: reply.kind, because: reply.description }
}
