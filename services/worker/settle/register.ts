import type { NatsConnection } from '@nats-io/transport-node'
import { CONTRACT_VERSION } from '../../../shared/sdk/contract/event.ts'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { isReplySubject } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { encodedHeaders } from '../../../shared/sdk/jetstream/encoded-headers.ts'
import {
  API_ERRORS,
  type EncodedMessage,
  type PublishWindow,
} from '../../../shared/sdk/jetstream/publish-window.ts'
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

  constructor(deps: RegisterDeps) {
    this.#deps = deps
  }

  /**
   * Takes the register of an event. An error code alone decides nothing: after 10071 the subject is read; everything
   * that leaves the outcome open (timeouts, in-flight duplicates, no leader) is asked again. Junk is replaced; what a
   * newer worker wrote is not, and nobody can settle the event here before it is gone.
   *
   * @throws AbortError when stopped meanwhile
   */
  async claim(delivery: Delivery, message: EncodedMessage): Promise<Claim> {
    const { storage, window, isKept } = this.#deps
    // Only a failure notice may be replaced, whatever a producer writes into its headers: it is read before.
    let expected = delivery.event.supersedes > 0 ? undefined : 0
    return storage.ask<Claim>(STREAMS.results, async () => {
      if (expected === undefined) {
        const seen = await this.#look(delivery, message.subject)
        if (!('expected' in seen)) return seen
        expected = seen.expected
      }
      if (!isKept(delivery)) return { answer: 'late' }
      const reply = await window.publish(expecting(message, expected))
      if (reply.kind === 'stored') {
        this.wake(delivery, message)
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

  /** A copy of the outcome to whoever waits for it: a wake-up, the stored result is the truth. */
  wake({ event }: Delivery, { headerBlock, body }: Pick<EncodedMessage, 'headerBlock' | 'body'>): void {
    const { replyTo } = event
    if (replyTo === undefined || !isReplySubject(replyTo) || this.#deps.connection.isClosed()) return
    this.#deps.connection.publish(replyTo, body, { headers: encodedHeaders(headerBlock) })
  }

  /** What stands in the way of an outcome, or what it must expect where nothing does. */
  async #look(delivery: Delivery, subject: string): Promise<Try<StoredAnswer> | Expected> {
    const { last, outcome, newer } = await this.#deps.storage.look(subject)
    if (newer !== undefined) return { again: 'refused', because: notSpoken(subject, newer) }
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

const EXPECTED_STREAM = `${HEADERS.expectedStream}: ${STREAMS.results}\r\n${HEADERS.expectedSubjectSequence}: `
const EMPTY_LINE = '\r\n'.length

/** The header block with two lines more, which the broker keeps with the message: they stand last. */
function expecting({ subject, headerBlock, body }: EncodedMessage, sequence: number): EncodedMessage {
  const own = headerBlock.subarray(0, headerBlock.length - EMPTY_LINE)
  const lines = Buffer.from(`${EXPECTED_STREAM}${sequence}\r\n\r\n`, 'latin1')
  return { subject, headerBlock: Buffer.concat([own, lines]), body }
}
