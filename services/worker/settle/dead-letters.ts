import type { Turns } from '../../../shared/runtime/turns.ts'
import { encodeHeaderBlock, HEADERS, type Headers, readHeader } from '../../../shared/sdk/contract/headers.ts'
import {
  deadLetterMessage,
  type Failure,
  type OutgoingMessage,
  type Provenance,
  removalMarkSubject,
} from '../../../shared/sdk/contract/outcome.ts'
import { outcomeDigest } from '../../../shared/sdk/contract/outcome-digest.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STORES, STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { isReason } from '../../../shared/sdk/errors.ts'
import type { EncodedMessage, PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import type { Delivery } from '../intake/delivery.ts'
import type { GivenUp } from './outcome.ts'
import type { OnStored, StoredOutcome } from './outcome-store.ts'
import { sendTogether } from './send-together.ts'
import type { PatientStorage } from './storage.ts'
import { storedDigest } from './stored-digest.ts'
import { Together } from './together.ts'

export interface DeadLetterDeps {
  readonly window: PublishWindow
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
    const message = encodedLetter(delivery, failure, made)
    const storing = this.#deps.storage.store(STREAMS.deadLetters, message)
    const digest = storedDigest(message, this.#deps.turns)
    if ((await storing) === 'stored') return digest
    this.#deps.onUnstorable(delivery)
    return undefined
  }

  /** For a group whose notices are stored together: see there. @param onStored told how each has ended */
  together(onStored: OnStored): LettersTogether {
    return new LettersTogether(this, this.#deps.window, onStored)
  }
}

/** A dead letter whose notice is stored. */
interface Due {
  /** The place of its event in the group. */
  readonly at: number
  readonly given: GivenUp
  readonly made: Provenance
  /** Of the notice. */
  readonly digest: number
}

/** Dead letters of a group, each behind its notice: those that are added in one turn of the loop are sent together. */
class LettersTogether {
  readonly #letters: Pick<DeadLetters, 'store'>
  readonly #window: DeadLetterDeps['window']
  readonly #onStored: OnStored
  readonly #storing = new Together()
  #due: Due[] = []

  constructor(letters: Pick<DeadLetters, 'store'>, window: DeadLetterDeps['window'], onStored: OnStored) {
    this.#letters = letters
    this.#window = window
    this.#onStored = onStored
  }

  add(due: Due): void {
    // In a microtask: behind the other answers that came with this one.
    if (this.#due.push(due) === 1)
      this.#storing.add(Promise.resolve().then(() => this.#send(this.#due.splice(0))))
  }

  /** Resolves once all that were added are told of. Throws what {@link DeadLetters.store} throws. */
  ended(): Promise<void> {
    return this.#storing.ended()
  }

  /** What the broker does not take at once goes on as it would alone: a dead letter that is there twice is there once. */
  async #send(due: readonly Due[]): Promise<void> {
    const messages = due.map(({ given, made }) => encodedLetter(given.delivery, given.outcome.failure, made))
    const alone = await sendTogether(messages, this.#window, {
      digestOf: ({ headerBlock, body }) => outcomeDigest(headerBlock, body),
      onStored: (index, letterDigest) => this.#tell(due[index] as Due, letterDigest), // as many as messages
      goOn: (index) => this.#storeAlone(due[index] as Due),
    })
    await alone.ended()
  }

  async #storeAlone(due: Due): Promise<void> {
    const { given, made } = due
    this.#tell(due, await this.#letters.store(given.delivery, given.outcome.failure, made))
  }

  #tell({ at, digest }: Due, letterDigest: number | undefined): void {
    this.#onStored(at, howLetter(digest, letterDigest))
  }
}

/** How a delivery ended whose notice is stored. */
export function howLetter(digest: number | undefined, letterDigest: number | undefined): StoredOutcome {
  return letterDigest === undefined ? { how: 'returned' } : { how: 'dead-lettered', digest, letterDigest }
}

function encodedLetter({ event, subject }: Delivery, failure: Failure, made: Provenance): EncodedMessage {
  return encoded(deadLetterMessage(event, subject, failure, made))
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
