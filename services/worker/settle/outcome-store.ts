import type { NatsConnection } from '@nats-io/transport-node'
import { encodeHeaderBlock, HEADERS, type Headers, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { encodeLedgerRecord, type LedgerRecord } from '../../../shared/sdk/contract/ledger.ts'
import {
  deadLetterMessage,
  type Failure,
  failureNotice,
  type OutgoingMessage,
  type Provenance,
  predictionMessage,
  removalMarkSubject,
  retryMessage,
} from '../../../shared/sdk/contract/outcome.ts'
import { withoutBrokerLines } from '../../../shared/sdk/contract/outcome-digest.ts'
import { isReplySubject, subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STORES, STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { isReason } from '../../../shared/sdk/errors.ts'
import { encodedHeaders } from '../../../shared/sdk/jetstream/encoded-headers.ts'
import { API_ERRORS, type PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { asStored, type Delivery, digestOf, returnsOf } from '../intake/delivery.ts'
import type { Concluded, Outcome } from './outcome.ts'
import type { Parking } from './parking.ts'
import { isTooLarge, type PatientStorage, type StoredAnswer, tryAgain } from './storage.ts'

/**
 * How a delivery ended in storage. `returned`: nothing was stored, the broker shall hand it out again. `parked`,
 * `handed-on`, `held-back`: its model is not servable here, and it waits in the retry lane or in its stream.
 */
export type Stored =
  | 'predicted'
  | 'already-answered'
  | 'dead-lettered'
  | 'retried'
  | 'returned'
  | 'parked'
  | 'handed-on'
  | 'held-back'

export interface OutcomeStoreDeps {
  readonly connection: NatsConnection
  readonly window: PublishWindow
  readonly storage: PatientStorage
  readonly worker: string
  readonly pool: string
  /** Broker time, milliseconds since 1970. */
  readonly now: () => number
  /** Spends one retry of the event's model; false when its budget is used up or the retry lane is full. */
  readonly mayRetry: (delivery: Delivery) => boolean
  /** Finds events a place to wait whose model is not servable here. */
  readonly parking: Pick<Parking, 'place'>
  /** Told when an event's identity was used with another payload. */
  readonly onConflict: (delivery: Delivery) => void
  /** Told of an event whose dead letter is larger than the broker takes. */
  readonly onUnstorable: (delivery: Delivery) => void
}

/** Deliveries, of those that count, after which an event that cannot be retried is given up. */
const MOST_RETURNS = 5

/**
 * Stores outcomes. The subject `results.<model>.<token>` is the register of an event's one outcome: every terminal
 * decision claims it first, so a late, doubled or paused worker is refused by the broker, not by luck.
 */
export class OutcomeStore {
  readonly #deps: OutcomeStoreDeps

  constructor(deps: OutcomeStoreDeps) {
    this.#deps = deps
  }

  /**
   * Stores one outcome; resolves once the broker has it.
   *
   * @throws AbortError when stopped while a stream refuses
   */
  async store({ delivery, outcome }: Concluded): Promise<Stored> {
    if (outcome.kind === 'not-servable') return this.#deps.parking.place(delivery, outcome.why)
    if (outcome.kind === 'retried') return this.#retryOrReturn(delivery, outcome)
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
    const message = { subject: subjects.ledger(this.#deps.pool), headers: [], body }
    const how = await this.#deps.storage.store(STREAMS.ledger, message)
    if (how === 'too-large')
      throw new Error(`a ledger record of ${body.length} bytes is larger than the broker takes`)
  }

  /** Failure notice, then dead letter: whoever finds the notice makes sure that the dead letter exists. */
  async #giveUp(delivery: Delivery, failure: Failure, modelVersion?: string): Promise<Stored> {
    const made = this.#provenance(delivery, modelVersion)
    const claim = await this.#claim(delivery, failureNotice(delivery.event, failure, made))
    if (typeof claim === 'object') return this.#respectAnswer(delivery, claim)
    return (await this.#storeDeadLetter(delivery, failure, made)) ? 'dead-lettered' : 'returned'
  }

  /** Somebody answered before: their outcome stands. */
  async #respectAnswer(delivery: Delivery, answer: StoredAnswer): Promise<Stored> {
    const isSamePayload = readHeader(answer.headers, HEADERS.inputDigest) === digestOf(delivery)
    if (!isSamePayload && !isEditOfSame(delivery, answer.headers)) this.#deps.onConflict(delivery)
    // Only the very payload that failed: an operator's replay may have edited it since.
    else if (isSamePayload && readHeader(answer.headers, HEADERS.outcome) === 'dead-letter') {
      if (!(await this.#completeDeadLetter(delivery, answer.headers))) return 'returned'
    }
    this.#wake(delivery, withoutBrokerLines(answer.headerBlock), answer.body)
    return 'already-answered'
  }

  /**
   * A notice and its dead letter carry the same time: an older dead letter, of an earlier failure, is not it.
   *
   * @returns false where it cannot be stored
   */
  async #completeDeadLetter(delivery: Delivery, notice: Headers): Promise<boolean> {
    const at = Date.parse(readHeader(notice, HEADERS.time) ?? '')
    const subject = subjects.deadLetter(delivery.event.route.model, delivery.event.token)
    const present = await this.#deps.storage.read(STREAMS.deadLetters, subject)
    const failedAt = present && Date.parse(readHeader(present.headers, HEADERS.failedAt) ?? '')
    if (failedAt === at || (await this.#wasRemoved(delivery, at))) return true
    return this.#storeDeadLetter(delivery, failureIn(notice), { ...this.#provenance(delivery), at })
  }

  /** Whether an operator removed the dead letter of this very failure. */
  async #wasRemoved(delivery: Delivery, at: number): Promise<boolean> {
    const mark = await this.#deps.storage.read(STORES.starts, removalMarkSubject(delivery.event.token))
    return mark !== undefined && Date.parse(Buffer.from(mark.body).toString()) === at
  }

  /**
   * A structured event can be longer once it is read than it was: as it was stored it fits. Where not even that does (the
   * broker's limit was lowered since), the broker keeps the event, and hands it out again, until the limit is raised.
   *
   * @returns false where it cannot be stored
   */
  async #storeDeadLetter(delivery: Delivery, failure: Failure, made: Provenance): Promise<boolean> {
    const { event, subject } = delivery
    for (const form of [event, asStored(delivery)]) {
      const message = deadLetterMessage(form, subject, failure, made)
      if ((await this.#deps.storage.store(STREAMS.deadLetters, message)) === 'stored') return true
    }
    this.#deps.onUnstorable(delivery)
    return false
  }

  /**
   * Another attempt by a scheduled copy. Without a retry to spend, or a lane that takes the copy, the broker keeps the
   * event and hands it out again; not for ever, because a dead letter is an answer and endless waiting is none.
   */
  async #retryOrReturn(
    delivery: Delivery,
    { dueAt, failure, modelVersion }: Outcome & { kind: 'retried' },
  ): Promise<Stored> {
    if (this.#deps.mayRetry(delivery)) {
      const copy = retryMessage(delivery.event, failure, this.#provenance(delivery, modelVersion), dueAt)
      const reply = await this.#deps.window.publish(copy)
      // A PubAck that says `duplicate` is never success: the copy would be gone.
      if (reply.kind === 'stored' && !reply.duplicate) return 'retried'
      // A copy that can never be stored must not come back for ever.
      if (isTooLarge(reply)) return this.#giveUp(delivery, failure, modelVersion)
    }
    if (returnsOf(delivery) + 1 < MOST_RETURNS) return 'returned'
    return this.#giveUp(delivery, failure, modelVersion)
  }

  /**
   * Takes the register of an event. An error code alone decides nothing: after 10071 the subject is read; everything
   * that leaves the outcome open (timeouts, in-flight duplicates, no leader) is asked again.
   */
  async #claim(
    delivery: Delivery,
    message: OutgoingMessage,
  ): Promise<'claimed' | 'too-large' | StoredAnswer> {
    const { storage, window } = this.#deps
    let expected = delivery.event.supersedes
    if (expected > 0) {
      // Only a failure notice may be replaced, whatever a producer writes into its headers.
      const present = await storage.read(STREAMS.results, message.subject)
      const isNotice = present && readHeader(present.headers, HEADERS.outcome) === 'dead-letter'
      if (present !== undefined && (!isNotice || present.sequence !== expected)) return present
      if (present === undefined) expected = 0 // it has expired
    }
    return storage.ask<'claimed' | 'too-large' | StoredAnswer>(STREAMS.results, async () => {
      const reply = await window.publish(expecting(message, expected))
      if (reply.kind === 'stored') {
        this.#wake(delivery, encodeHeaderBlock(message.headers), message.body)
        return { answer: 'claimed' }
      }
      if (isTooLarge(reply)) return { answer: 'too-large' }
      if (reply.kind === 'unknown' || reply.code !== API_ERRORS.wrongLastSequence) return tryAgain(reply)
      const present = await storage.read(STREAMS.results, message.subject)
      if (present !== undefined && present.sequence !== expected) return { answer: present }
      if (present === undefined) expected = 0 // the notice this event may replace has expired
      return { again: 'open', because: 'another claim is under way' }
    })
  }

  /** A copy of the outcome to whoever waits for it: a wake-up, the stored result is the truth. */
  #wake(delivery: Delivery, headerBlock: Uint8Array, body: Uint8Array): void {
    const { replyTo } = delivery.event
    if (replyTo === undefined || !isReplySubject(replyTo) || this.#deps.connection.isClosed()) return
    this.#deps.connection.publish(replyTo, body, { headers: encodedHeaders(headerBlock) })
  }

  #provenance(delivery: Delivery, modelVersion?: string): Provenance {
    return {
      worker: this.#deps.worker,
      at: this.#deps.now(),
      deliveryCount: delivery.info.deliveryCount,
      storedAt: delivery.info.storedAt,
      inputDigest: digestOf(delivery),
      ...(modelVersion !== undefined && { modelVersion }),
      ...(delivery.traceparent !== undefined && { traceparent: delivery.traceparent }),
    }
  }
}

/** Whether one of two payloads is the other after an operator's edit: both tell the digest of the first. */
function isEditOfSame(delivery: Delivery, answer: Headers): boolean {
  const digests = (headers: Headers, own: string | undefined): (string | undefined)[] => [
    own,
    readHeader(headers, HEADERS.originalDigest),
  ]
  const known = digests(answer, readHeader(answer, HEADERS.inputDigest))
  return digests(delivery.event.headers, digestOf(delivery)).some(
    (digest) => digest !== undefined && known.includes(digest),
  )
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
