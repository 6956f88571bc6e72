import type { Turns } from '../../../shared/runtime/turns.ts'
import { encodeHeaderBlock, HEADERS, type Headers, readHeader } from '../../../shared/sdk/contract/headers.ts'
import {
  deadLetterMessage,
  type Failure,
  type OutgoingMessage,
  type Provenance,
  removalMarkSubject,
} from '../../../shared/sdk/contract/outcome.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STORES, STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { isReason } from '../../../shared/sdk/errors.ts'
import type { EncodedMessage } from '../../../shared/sdk/jetstream/publish-window.ts'
import type { Delivery } from '../intake/delivery.ts'
import type { StoredOutcome } from './outcome-store.ts'
import type { PatientStorage } from './storage.ts'
import { storedDigest } from './stored-digest.ts'

export interface DeadLetterDeps {
  readonly storage: PatientStorage
  /** Shares the turns of the loop: a large body is digested in several. */
  readonly turns: Turns
  /** Told of an event whose dead letter is larger than the broker takes. */
  readonly onUnstorable: (delivery: Delivery) => void
}

/** What is known of the dead letter behind a notice: nothing where an operator removed it. */
export type Letter = Pick<StoredOutcome, 'letterDigest'>

/** Stores dead letters, each behind its failure notice. */
export class DeadLetters {
  readonly #deps: DeadLetterDeps

  constructor(deps: DeadLetterDeps) {
    this.#deps = deps
  }

  /**
   * A notice and its dead letter carry the same time: an older dead letter, of an earlier failure, is not it.
   *
   * @param provenance what makes the dead letter where it has to be made up for
   * @returns undefined where it cannot be stored
   */
  async complete(delivery: Delivery, notice: Headers, provenance: Provenance): Promise<Letter | undefined> {
    const at = Date.parse(readHeader(notice, HEADERS.time) ?? '')
    const subject = subjects.deadLetter(delivery.event.route.model, delivery.event.token)
    const present = await this.#deps.storage.read(STREAMS.deadLetters, subject)
    if (present !== undefined && Date.parse(readHeader(present.headers, HEADERS.failedAt) ?? '') === at)
      return { letterDigest: await storedDigest(present, this.#deps.turns) }
    if (await this.#wasRemoved(delivery, at)) return {}
    const letterDigest = await this.store(delivery, failureIn(notice), { ...provenance, at })
    return letterDigest === undefined ? undefined : { letterDigest }
  }

  /** Whether an operator removed the dead letter of this very failure. */
  async #wasRemoved(delivery: Delivery, at: number): Promise<boolean> {
    const mark = await this.#deps.storage.read(STORES.starts, removalMarkSubject(delivery.event.token))
    return mark !== undefined && Date.parse(Buffer.from(mark.body).toString()) === at
  }

  /**
   * It fits where the event did. Where it does not (the broker's limit was lowered since), the broker keeps the event, and
   * hands it out again, until the limit is raised.
   *
   * @returns its digest; undefined where it cannot be stored
   */
  async store(delivery: Delivery, failure: Failure, made: Provenance): Promise<number | undefined> {
    const { event, subject } = delivery
    const message = encoded(deadLetterMessage(event, subject, failure, made))
    const storing = this.#deps.storage.store(STREAMS.deadLetters, message)
    const digest = storedDigest(message, this.#deps.turns)
    if ((await storing) === 'stored') return digest
    this.#deps.onUnstorable(delivery)
    return undefined
  }
}

/** Its headers are written once: for the broker, and for the digest. */
function encoded({ subject, headers, body }: OutgoingMessage): EncodedMessage {
  return { subject, headerBlock: encodeHeaderBlock(headers), body }
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
