import type { NatsConnection } from '@nats-io/transport-node'
import { CONTRACT_VERSION } from '../../../shared/sdk/contract/event.ts'
import { FIRST_LINE, HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { encodeLines, type OutcomeMessage } from '../../../shared/sdk/contract/register-message.ts'
import { isReplySubject } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { dataPathOf } from '../../../shared/sdk/jetstream/data-path.ts'
import { namesOf } from '../../../shared/sdk/jetstream/names-of.ts'
import { API_ERRORS, type PublishReply } from '../../../shared/sdk/jetstream/publish-reply.ts'
import type { EncodedMessage, PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import type { StoredAnswer } from '../../../shared/sdk/jetstream/register.ts'
import type { Delivery } from '../intake/delivery.ts'
import { isTooLarge, type PatientStorage, type Try, tryAgain } from './storage.ts'

/**
 * How a claim ended. An answer: somebody's outcome was there before. `late`: the broker may have handed the event to
 * somebody else meanwhile, and nothing was tried.
 */
export type Claim = 'claimed' | 'too-large' | 'late' | StoredAnswer

export interface RegisterDeps {
  readonly connection: NatsConnection
  readonly window: PublishWindow
  readonly storage: PatientStorage
  /** Whether the broker has kept the delivery for this worker all the time. */
  readonly isKept: (delivery: Delivery) => boolean
  /** Below what an event's reply subject may lie. @default what is usual for the Pelton of the connection */
  readonly replyRoots?: readonly string[] | undefined
  /** Told of an event in whose register lies what is no outcome, at a sequence of RESULTS. */
  readonly onJunk: (delivery: Delivery, sequence: number) => void
}

/** What a message must say of the register it is stored in: that its last message is this one, or none. */
type Expected = { readonly expected: number }

/**
 * The subject `results.<model>.<token>` is the register of an event's one outcome: every terminal decision claims it
 * first, so a late, doubled or paused worker is refused by the broker, not by luck.
 */
export class Register {
  readonly #deps: RegisterDeps
  /** How outcomes are published here. */
  readonly claims: Claims

  constructor(deps: RegisterDeps) {
    this.#deps = deps
    this.claims = createClaims(namesOf(deps.connection).stream(STREAMS.results))
  }

  /**
   * Takes the register of an event. An error code alone decides nothing: after 10071 the subject is read; everything
   * that leaves the outcome open (timeouts, in-flight duplicates, no leader) is asked again. Junk is replaced; what a
   * newer worker wrote is not, and nobody can settle the event here before it is gone.
   *
   * @param first the answer to a claim that was sent already, made by {@link claims}
   * @throws AbortError when stopped meanwhile
   */
  async claim(delivery: Delivery, message: OutcomeMessage, first?: PublishReply): Promise<Claim> {
    const { storage, window, isKept } = this.#deps
    let sent = first
    // Only a failure notice may be replaced, whatever a producer writes into its headers: it is read before.
    let expected = mayBeFirst(delivery) ? 0 : undefined
    return storage.ask<Claim>(STREAMS.results, async () => {
      if (expected === undefined) {
        const seen = await this.#look(delivery, message.subject)
        if (!('expected' in seen)) return seen
        expected = seen.expected
      }
      if (sent === undefined && !isKept(delivery)) return { answer: 'late' }
      const reply = sent ?? (await window.publish(this.claims.of(message, expected)))
      sent = undefined
      if (reply.kind === 'stored') {
        this.claimed(delivery, message)
        return { answer: 'claimed' }
      }
      if (isTooLarge(reply)) return { answer: 'too-large' }
      if (reply.kind === 'unknown' || reply.code !== API_ERRORS.wrongLastSequence) return tryAgain(reply)
      const seen = await this.#look(delivery, message.subject)
      if (!('expected' in seen)) return seen
      const because = seen.expected === expected ? 'another claim is under way' : 'the register has changed'
      expected = seen.expected
      return { again: 'open', because }
    })
  }

  /** An outcome has taken the register: whoever waits for it is woken. */
  claimed(delivery: Delivery, message: OutcomeMessage): void {
    if (delivery.event.replyTo !== undefined)
      this.wake(delivery, { headerBlock: encodeLines(message), body: message.body })
  }

  /** A copy of the outcome to whoever waits for it: a wake-up, the stored result is the truth. */
  wake({ event }: Delivery, { headerBlock, body }: Pick<EncodedMessage, 'headerBlock' | 'body'>): void {
    const { replyTo } = event
    const { connection, replyRoots = namesOf(connection).replyRoots } = this.#deps
    if (replyTo === undefined || !isReplySubject(replyTo, replyRoots) || connection.isClosed()) return
    dataPathOf(connection).publish(replyTo, { headerBlock, body })
  }

  /** What stands in the way of an outcome, or what it must expect where nothing does. */
  async #look(delivery: Delivery, subject: string): Promise<Try<StoredAnswer> | Expected> {
    const { last, outcome, newer } = await this.#deps.storage.look(subject)
    const named = namesOf(this.#deps.connection).subject(subject)
    if (newer !== undefined) return { again: 'refused', because: notSpoken(named, newer) }
    const isReplaced =
      outcome?.sequence === delivery.event.supersedes &&
      readHeader(outcome.headers, HEADERS.outcome) === 'dead-letter'
    if (outcome !== undefined && !isReplaced) return { answer: outcome }
    if (last > (outcome?.sequence ?? 0)) this.#deps.onJunk(delivery, last)
    return { expected: last }
  }
}

function notSpoken(subject: string, version: string): string {
  return `${subject} holds an outcome of version ${version.slice(0, 20)} of the contract, this worker speaks ${CONTRACT_VERSION}: upgrade it`
}

/** Whether an event's outcome may be the first in its register: then it claims it without a look. */
export function mayBeFirst({ event }: Delivery): boolean {
  return event.supersedes === 0
}

/** Outcomes as they are published: with what their register has to hold, which the broker keeps with the message. */
export interface Claims {
  /** @param expected sequence of the last message in the register; 0: none. @default 0 */
  of(message: OutcomeMessage, expected?: number): EncodedMessage
  /** Where the outcome's own lines begin in a claim of an empty register. */
  readonly ownLines: number
}

/** @param results the name of RESULTS at the broker */
export function createClaims(results: string): Claims {
  const stream = `${HEADERS.expectedStream}: ${results}\r\n${HEADERS.expectedSubjectSequence}: `
  const none = `${stream}0\r\n`
  return {
    of(message, expected = 0) {
      const before = expected === 0 ? none : `${stream}${expected}\r\n`
      return { subject: message.subject, headerBlock: encodeLines(message, before), body: message.body }
    },
    ownLines: FIRST_LINE.length + none.length,
  }
}
