import { HEADERS, type Headers, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { encodeLedgerRecord, type LedgerRecord } from '../../../shared/sdk/contract/ledger.ts'
import { type Failure, type Provenance, retryMessage } from '../../../shared/sdk/contract/outcome.ts'
import { inputDigestStart, withoutBrokerLines } from '../../../shared/sdk/contract/outcome-digest.ts'
import {
  encodeLines,
  failureNotice,
  type OutcomeMessage,
  predictionMessage,
} from '../../../shared/sdk/contract/register-message.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import type { PublishReply } from '../../../shared/sdk/jetstream/publish-reply.ts'
import type { StoredAnswer } from '../../../shared/sdk/jetstream/register.ts'
import { type Delivery, digestOf, returnsOf } from '../intake/delivery.ts'
import { type DeadLetterDeps, DeadLetters, howLetter, type Letter } from './dead-letters.ts'
import {
  type Concluded,
  type GivenUp,
  isPredicted,
  type NotServable,
  type Outcome,
  type Plain,
  type Predicted,
} from './outcome.ts'
import type { Parking } from './parking.ts'
import { type Claim, Register, type RegisterDeps } from './register.ts'
import { isTooLarge } from './storage.ts'
import { type Addressed, storeTogether, type TogetherDeps } from './store-together.ts'
import { storedDigest } from './stored-digest.ts'

/**
 * How a delivery ended in storage. `returned`: nothing was stored, the broker shall hand it out again. `parked`,
 * `handed-on`, `held-back`: its model is not servable here, and it waits in the retry lane or in its stream. `dropped`:
 * it was not kept alive for `ack_wait`, and may be in other hands: nothing is tried.
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
  | 'dropped'

/** How a delivery ended, and what lies in storage of it. */
export interface StoredOutcome {
  readonly how: Stored
  /** As the ledger keeps them: `LedgerEntry` says of what. */
  readonly digest?: number | undefined
  readonly letterDigest?: number | undefined
}

/** Told of each outcome of a group that was stored, by its place. */
export type OnStored = (at: number, stored: StoredOutcome) => void

export interface OutcomeStoreDeps extends RegisterDeps, DeadLetterDeps {
  readonly worker: string
  readonly pool: string
  /** Broker time, milliseconds since 1970. */
  readonly now: () => number
  /** Spends one retry of the event's model; false when its budget is used up or the retry lane is full. */
  readonly mayRetry: (delivery: Delivery) => boolean
  /** Told under which sequence the retry lane has a copy; without one where it has none, or nobody knows. */
  readonly onRetried?: (delivery: Delivery, sequence: number | undefined) => void
  /** Finds events a place to wait whose model is not servable here. */
  readonly parking: Pick<Parking, 'place'>
  /** Told when an event's identity was used with another payload. */
  readonly onConflict: (delivery: Delivery) => void
}

/** Deliveries, of those that count, after which an event that cannot be retried is given up. */
const MOST_RETURNS = 5

/** Stores outcomes: each claims the register of its event first, whatever else is stored of it. */
export class OutcomeStore {
  readonly #deps: OutcomeStoreDeps
  readonly #register: Register
  readonly #letters: DeadLetters
  readonly #together: TogetherDeps

  constructor(deps: OutcomeStoreDeps) {
    this.#deps = deps
    this.#register = new Register(deps)
    this.#letters = new DeadLetters(deps)
    this.#together = {
      ...deps,
      claims: this.#register.claims,
      letters: this.#letters,
      address: (plain) => this.#address(plain),
      onClaimed: ({ plain: { delivery }, message }) => this.#register.claimed(delivery, message),
      goOn: (addressed, first) => this.#storeAddressed(addressed, first),
    }
  }

  /**
   * Stores one outcome; resolves once the broker has it.
   *
   * @throws AbortError when stopped while a stream refuses
   */
  async store({ delivery, outcome }: Concluded): Promise<StoredOutcome> {
    if (!this.#deps.isKept(delivery)) return DROPPED
    if (outcome.kind === 'not-servable') return this.#park(delivery, outcome.why)
    if (outcome.kind === 'retried') return this.#retryOrReturn(delivery, outcome)
    return this.#storeAddressed(this.#address({ delivery, outcome } as Plain)) // of these two kinds
  }

  /**
   * Stores plain outcomes together; each is told of once the broker has it. What the broker does not take at once goes on
   * as it would alone.
   *
   * @throws AbortError when stopped while a stream refuses; what came in the way of one, once all others were told of
   */
  storeAll(group: readonly Plain[], onStored: OnStored): Promise<void> {
    return storeTogether(group, onStored, this.#together)
  }

  #address(plain: Plain): Addressed {
    const { delivery } = plain
    if (!isPredicted(plain)) {
      const made = this.#provenance(delivery, plain.outcome.modelVersion)
      return { plain, made, message: failureNotice(delivery.event, plain.outcome.failure, made) }
    }
    const { facts, body } = plain.outcome
    const made = this.#provenance(delivery, facts.modelVersion)
    return { plain, made, message: predictionMessage(delivery.event, facts, made, body) }
  }

  /** @param first the answer to a claim that was sent already */
  async #storeAddressed({ plain, made, message }: Addressed, first?: PublishReply): Promise<StoredOutcome> {
    if (isPredicted(plain)) return this.#predicted(plain, message, first)
    return this.#announce(plain, made, message, first)
  }

  async #predicted(
    { delivery, outcome: { facts } }: Predicted,
    message: OutcomeMessage,
    first?: PublishReply,
  ): Promise<StoredOutcome> {
    const { claim, digest } = await this.#claim(delivery, message, first)
    if (claim === 'claimed') return { how: 'predicted', digest }
    if (claim === 'too-large') return this.#giveUp(delivery, tooLarge(message), facts.modelVersion)
    return claim === 'late' ? DROPPED : this.#respectAnswer(delivery, claim)
  }

  /** Stores how the deliveries of one stream ended. The last thing before they are acknowledged. */
  async record(record: Omit<LedgerRecord, 'by'>): Promise<void> {
    const body = encodeLedgerRecord({ ...record, by: this.#deps.worker })
    const message = { subject: subjects.ledger(this.#deps.pool), headers: [], body }
    const how = await this.#deps.storage.store(STREAMS.ledger, message)
    if (how === 'too-large')
      throw new Error(`a ledger record of ${body.length} bytes is larger than the broker takes`)
  }

  /** Takes the register, and makes the digest of what is to lie there while the broker has it. */
  async #claim(
    delivery: Delivery,
    message: OutcomeMessage,
    first?: PublishReply,
  ): Promise<{ readonly claim: Claim; readonly digest: number }> {
    const claim = this.#register.claim(delivery, message, first)
    const digest = storedDigest({ headerBlock: encodeLines(message), body: message.body }, this.#deps.turns)
    return { claim: await claim, digest: await digest }
  }

  #giveUp(delivery: Delivery, failure: Failure, modelVersion?: string): Promise<StoredOutcome> {
    const outcome = {
      kind: 'dead-lettered',
      failure,
      ...(modelVersion !== undefined && { modelVersion }),
    } as const
    return this.#storeAddressed(this.#address({ delivery, outcome }))
  }

  /** Failure notice, then dead letter: whoever finds the notice makes sure that the dead letter exists. */
  async #announce(
    { delivery, outcome: { failure } }: GivenUp,
    made: Provenance,
    notice: OutcomeMessage,
    first?: PublishReply,
  ): Promise<StoredOutcome> {
    const { claim, digest } = await this.#claim(delivery, notice, first)
    if (claim === 'late') return DROPPED
    if (typeof claim === 'object') return this.#respectAnswer(delivery, claim)
    return howLetter(digest, await this.#letters.store(delivery, failure, made))
  }

  /** Somebody answered before: their outcome stands. */
  async #respectAnswer(delivery: Delivery, answer: StoredAnswer): Promise<StoredOutcome> {
    const isSamePayload = readHeader(answer.headers, HEADERS.inputDigest) === digestOf(delivery)
    let letter: Letter = {}
    if (!isSamePayload && !isEditOfSame(delivery, answer.headers)) this.#deps.onConflict(delivery)
    // Only the very payload that failed: an operator's replay may have edited it since.
    else if (isSamePayload && readHeader(answer.headers, HEADERS.outcome) === 'dead-letter') {
      const found = await this.#letters.complete(delivery, answer.headers, this.#provenance(delivery))
      if (found === undefined) return RETURNED
      letter = found
    }
    this.#register.wake(delivery, { ...answer, headerBlock: withoutBrokerLines(answer.headerBlock) })
    return { how: 'already-answered', digest: await storedDigest(answer, this.#deps.turns), ...letter }
  }

  /**
   * Another attempt by a scheduled copy. Without a retry to spend, or a lane that takes the copy, the broker keeps the
   * event and hands it out again; not for ever, because a dead letter is an answer and endless waiting is none.
   */
  async #retryOrReturn(
    delivery: Delivery,
    { dueAt, failure, modelVersion }: Outcome & { kind: 'retried' },
  ): Promise<StoredOutcome> {
    if (this.#deps.mayRetry(delivery)) {
      const made = this.#provenance(delivery, modelVersion)
      const reply = await this.#deps.window.publish(retryMessage(delivery.event, failure, made, dueAt))
      // A PubAck that says `duplicate` is never success: the copy would be gone.
      const isStored = reply.kind === 'stored' && !reply.duplicate
      this.#deps.onRetried?.(delivery, isStored ? reply.sequence : undefined)
      if (isStored) return { how: 'retried', digest: inputDigestStart(made.inputDigest) }
      // A copy that can never be stored must not come back for ever.
      if (isTooLarge(reply)) return this.#giveUp(delivery, failure, modelVersion)
    }
    if (returnsOf(delivery) + 1 < MOST_RETURNS) return RETURNED
    return this.#giveUp(delivery, failure, modelVersion)
  }

  async #park(delivery: Delivery, why: NotServable): Promise<StoredOutcome> {
    const how = await this.#deps.parking.place(delivery, why)
    if (how === 'given-up') return this.#giveUp(delivery, notEvenRun(why))
    return how === 'parked' ? { how, digest: inputDigestStart(digestOf(delivery)) } : { how }
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

/** Of a model that fails on everything more events wait than may. */
function notEvenRun({ text }: NotServable): Failure {
  const description = `it was not run, and no more of its model's events may be parked: ${text}`
  return { reason: 'inference-failed', description, stage: 'guard' }
}

const DROPPED: StoredOutcome = { how: 'dropped' }
const RETURNED: StoredOutcome = { how: 'returned' }

function tooLarge({ body }: OutcomeMessage): Failure {
  const description = `the prediction has ${body.length} bytes, more than the broker's max_payload allows`
  return { reason: 'too-large', description, stage: 'publish' }
}
