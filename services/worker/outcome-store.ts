import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { encodeHeaderBlock, HEADERS, type Headers, readHeader } from '../../shared/sdk/contract/headers.ts'
import { encodeLedgerRecord, type LedgerRecord } from '../../shared/sdk/contract/ledger.ts'
import {
  deadLetterMessage,
  type Failure,
  failureNotice,
  type OutgoingMessage,
  type Provenance,
  predictionMessage,
  retryMessage,
} from '../../shared/sdk/contract/outcome.ts'
import { isReplySubject, subjects } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { isReason } from '../../shared/sdk/errors.ts'
import { lastOfSubject } from '../../shared/sdk/jetstream/api.ts'
import {
  API_ERRORS,
  type PublishReply,
  type PublishWindow,
} from '../../shared/sdk/jetstream/publish-window.ts'
import { parseHeaderBlock } from '../../shared/sdk/jetstream/stored-message.ts'
import { type Delivery, digestOf } from './delivery.ts'
import type { Outcome } from './outcome.ts'
import type { StorageHealth } from './storage-health.ts'

/** How a delivery ended in storage; `returned`: nothing was stored, the broker shall hand it out again. */
export type Stored = 'predicted' | 'already-answered' | 'dead-lettered' | 'retried' | 'returned'

export interface OutcomeStoreDeps {
  readonly connection: NatsConnection
  readonly window: PublishWindow
  readonly health: StorageHealth
  readonly worker: string
  readonly pool: string
  /** Broker time, milliseconds since 1970. */
  readonly now: () => number
  /** Ends waiting for a stream that refuses; what is not stored then is not acknowledged. */
  readonly signal: AbortSignal
  /** Told when an event's identity was used with another payload. */
  readonly onConflict: (delivery: Delivery) => void
}

/** What the register of an event holds when somebody else was first. */
interface Answer {
  readonly sequence: number
  readonly headers: Headers
  readonly body: Uint8Array
}

/**
 * Stores outcomes. The subject `results.<model>.<token>` is the register of an event's one outcome: every terminal
 * decision claims it first, so a late, doubled or paused worker is refused by the broker, not by luck.
 */
export class OutcomeStore {
  readonly #deps: OutcomeStoreDeps

  constructor(deps: OutcomeStoreDeps) {
    this.#deps = deps
  }

  /** Stores one outcome; resolves once the broker has it. @throws AbortError when stopped while a stream refuses */
  async store(delivery: Delivery, outcome: Outcome): Promise<Stored> {
    if (outcome.kind === 'retried') return this.#storeRetry(delivery, outcome)
    if (outcome.kind === 'dead-lettered') return this.#giveUp(delivery, outcome.failure, outcome.modelVersion)
    const made = this.#provenance(delivery, outcome.facts.modelVersion)
    const message = predictionMessage(delivery.event, outcome.facts, made, outcome.body)
    const claim = await this.#claim(delivery, message)
    if (claim === 'claimed') return 'predicted'
    if (claim === 'too-large') return this.#giveUp(delivery, tooLarge(message), outcome.facts.modelVersion)
    return this.#respectAnswer(delivery, claim)
  }

  /** Stores how the deliveries of one stream ended. The last thing before they are acknowledged. */
  async record(record: Omit<LedgerRecord, 'by'>): Promise<void> {
    const body = encodeLedgerRecord({ ...record, by: this.#deps.worker })
    await this.#persist(STREAMS.ledger, { subject: subjects.ledger(this.#deps.pool), headers: [], body })
  }

  /** Failure notice, then dead letter: whoever finds the notice makes sure that the dead letter exists. */
  async #giveUp(delivery: Delivery, failure: Failure, modelVersion?: string): Promise<Stored> {
    const made = this.#provenance(delivery, modelVersion)
    const claim = await this.#claim(delivery, failureNotice(delivery.event, failure, made))
    if (typeof claim === 'object') return this.#respectAnswer(delivery, claim)
    await this.#storeDeadLetter(delivery, failure, made)
    return 'dead-lettered'
  }

  /** Somebody answered before: their outcome stands. */
  async #respectAnswer(delivery: Delivery, answer: Answer): Promise<Stored> {
    const { event } = delivery
    if (readHeader(answer.headers, HEADERS.inputDigest) !== digestOf(delivery))
      this.#deps.onConflict(delivery)
    if (readHeader(answer.headers, HEADERS.outcome) === 'dead-letter') {
      const subject = subjects.deadLetter(event.route.model, event.token)
      const deadLetter = await this.#read(STREAMS.deadLetters, subject)
      if (deadLetter === undefined)
        await this.#storeDeadLetter(delivery, failureIn(answer.headers), this.#provenance(delivery))
    }
    this.#wake(delivery, encodeHeaderBlock(answer.headers), answer.body)
    return 'already-answered'
  }

  async #storeDeadLetter(delivery: Delivery, failure: Failure, made: Provenance): Promise<void> {
    const message = deadLetterMessage(delivery.event, delivery.subject, failure, made)
    await this.#persist(STREAMS.deadLetters, message)
  }

  async #storeRetry(delivery: Delivery, { dueAt, failure }: Outcome & { kind: 'retried' }): Promise<Stored> {
    const reply = await this.#deps.window.publish(retryMessage(delivery.event, dueAt))
    // A PubAck that says `duplicate` is never success: the copy would be gone.
    if (reply.kind === 'stored') return reply.duplicate ? 'returned' : 'retried'
    // A copy that can never be stored must not come back for ever.
    if (reply.kind === 'refused' && reply.code === API_ERRORS.tooLarge) return this.#giveUp(delivery, failure)
    return 'returned'
  }

  /**
   * Takes the register of an event. An error code alone decides nothing: after 10071 the subject is read; everything
   * that leaves the outcome open (timeouts, in-flight duplicates, no leader) is asked again.
   */
  async #claim(delivery: Delivery, message: OutgoingMessage): Promise<'claimed' | 'too-large' | Answer> {
    let expected = delivery.event.supersedes
    for (let tries = 0; ; tries++) {
      const reply = await this.#deps.window.publish(expecting(message, expected))
      if (reply.kind === 'stored') {
        this.#deps.health.stored(STREAMS.results)
        this.#wake(delivery, encodeHeaderBlock(message.headers), message.body)
        return 'claimed'
      }
      if (reply.kind === 'refused' && reply.code === API_ERRORS.tooLarge) return 'too-large'
      if (reply.kind === 'refused' && reply.code === API_ERRORS.wrongLastSequence) {
        const answer = await this.#read(STREAMS.results, message.subject)
        if (answer !== undefined && answer.sequence !== expected) return answer
        if (answer === undefined) expected = 0 // the notice this event may replace has expired
        continue
      }
      await this.#waitAfter(STREAMS.results, reply, tries)
    }
  }

  /** Publishes until the stream has it. Doubles are harmless where this is used. */
  async #persist(stream: string, message: OutgoingMessage): Promise<void> {
    for (let tries = 0; ; tries++) {
      const reply = await this.#deps.window.publish(message)
      if (reply.kind === 'stored') return this.#deps.health.stored(stream)
      await this.#waitAfter(stream, reply, tries)
    }
  }

  async #waitAfter(
    stream: string,
    reply: Exclude<PublishReply, { kind: 'stored' }>,
    tries: number,
  ): Promise<void> {
    // One answer lost in an election is no trouble worth a pause; the second is.
    if (tries > 0 || reply.kind === 'refused') this.#deps.health.failed(stream, reply.description)
    await sleep(Math.min(1_000, 25 * 2 ** tries), undefined, { signal: this.#deps.signal })
  }

  /** Reads the last message of a subject from its leader, for as long as that takes. */
  async #read(stream: string, subject: string): Promise<Answer | undefined> {
    for (let tries = 0; ; tries++) {
      try {
        const copy = await lastOfSubject(this.#deps.connection, stream, subject)
        return (
          copy && { sequence: copy.sequence, headers: parseHeaderBlock(copy.headerBlock), body: copy.body }
        )
      } catch (thrown) {
        const description = thrown instanceof Error ? thrown.message : String(thrown)
        await this.#waitAfter(stream, { kind: 'unknown', description }, tries)
      }
    }
  }

  /** A copy of the outcome to whoever waits for it: a wake-up, the stored result is the truth. */
  #wake(delivery: Delivery, headerBlock: Uint8Array, body: Uint8Array): void {
    const { replyTo } = delivery.event
    if (replyTo === undefined || !isReplySubject(replyTo) || this.#deps.connection.isClosed()) return
    // The client asks a headers object only to encode itself.
    const headers = { encode: () => headerBlock } as never
    this.#deps.connection.publish(replyTo, body, { headers })
  }

  #provenance(delivery: Delivery, modelVersion?: string): Provenance {
    return {
      worker: this.#deps.worker,
      at: this.#deps.now(),
      deliveryCount: delivery.info.deliveryCount,
      storedAt: delivery.info.storedAt,
      inputDigest: digestOf(delivery),
      ...(modelVersion !== undefined && { modelVersion }),
    }
  }
}

function expecting(message: OutgoingMessage, sequence: number): OutgoingMessage {
  return {
    ...message,
    headers: [
      ...message.headers,
      [HEADERS.expectedStream, STREAMS.results],
      [HEADERS.expectedSubjectSequence, String(sequence)],
    ],
  }
}

function tooLarge(message: OutgoingMessage): Failure {
  const description = `the prediction has ${message.body.length} bytes, more than the broker's max_payload allows`
  return { reason: 'too-large', description, stage: 'publish' }
}

/** The failure a notice tells of, for a dead letter that has to be made up for. */
function failureIn(headers: Headers): Failure {
  const reason = readHeader(headers, HEADERS.deadLetterReason) ?? ''
  return {
    reason: isReason(reason) ? reason : 'undeliverable',
    description: readHeader(headers, HEADERS.deadLetterDescription) ?? '',
    stage: 'publish',
  }
}
