import { setTimeout as sleep } from 'node:timers/promises'
import { writeOrigin } from '../../sdk/contract/event.ts'
import type { OutgoingMessage } from '../../sdk/contract/outcome.ts'
import { subjects } from '../../sdk/contract/subjects.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { API_ERRORS, isFull, publishError } from '../../sdk/jetstream/publish-reply.ts'
import { patiently } from '../broker/patience.ts'
import { originOf, parseOrigin } from '../dead-letters/origin.ts'
import { type DeadLetterEntry, findDeadLetter, type StoredDeadLetter } from '../records/dead-letter.ts'
import type { Hold, SentReplay, TakenHold } from '../records/holds.ts'
import { isAnswered, readRegister } from '../records/register.ts'
import type { Books, BooksDeps } from './books.ts'
import { type Edited, editPayload } from './edit.ts'
import type { InFlight } from './in-flight.ts'
import { type Patch, readPatch } from './json-patch.ts'
import { isSameEvent, replayMessage, slimmed } from './message.ts'
import { forgetStarts } from './starts.ts'
import type { ReplayTask } from './task.ts'
import { findOnTheirWay } from './whereabouts.ts'

interface SenderParts {
  readonly task: ReplayTask
  readonly books: Books
  readonly inFlight: InFlight
  /** Aborted when no more is to be sent. */
  readonly signal: AbortSignal
}

/** A full FEATURES is waited for: live traffic comes first. */
const FULL_PAUSE_MS = 1_000

const OTHER_EVENT =
  'its id or source cannot be read from its headers or its patched payload: it would be another event'

/** Its register is taken: no outcome of it could be stored. */
const OTHER_PAYLOAD = 'another payload of its id has a prediction by now'

/**
 * Sends dead letters again, each at most once: it is taken before it is sent, and what became of a publish is found
 * out.
 */
export class Sender {
  readonly #deps: BooksDeps
  readonly #parts: SenderParts
  readonly #patch: Patch | undefined
  /** Last sequence of FEATURES known: whatever is sent now comes after it. */
  #last = 0

  constructor(deps: BooksDeps, parts: SenderParts) {
    this.#deps = deps
    this.#parts = parts
    const { patch } = parts.task.options
    this.#patch = patch === undefined ? undefined : readPatch(patch)
  }

  /** @param last sequence of FEATURES before anything is sent */
  begin(last: number): void {
    this.#last = last
  }

  /** Takes a dead letter and sends its event. @returns whether it counts: false when nothing came of it */
  async send(entry: DeadLetterEntry): Promise<boolean> {
    const { connection, holds } = this.#deps
    const { task, books } = this.#parts
    const found = originOf(entry)
    if (found === undefined) return false
    const { model, token, sequence } = entry
    const register = await readRegister(connection, model, token)
    const hasAnswer = isAnswered(register, entry.headers)
    if (register.kind === 'prediction' && !hasAnswer) {
      books.skip(OTHER_PAYLOAD)
      return false
    }
    const sent: SentReplay = {
      model,
      pool: found.pool,
      origin: writeOrigin(found.origin),
      subject: subjects.feature({ pool: found.pool, model, lane: task.options.lane }),
      supersedes: register.kind === 'notice' ? register.sequence : 0,
      after: this.#last,
    }
    const hold: Hold = { by: { kind: 'replay', id: task.id, who: task.by }, sequence, sent }
    const taken = await holds.take(token, hold)
    if ('heldBy' in taken) {
      const { heldBy } = taken
      const { kind, id, who, isOnItsWay } = heldBy
      const onItsWay = isOnItsWay === true ? ', on its way' : ''
      if (id !== task.id) books.skip(`held by ${kind} ${id} of ${who}${onItsWay}`)
      return false
    }
    return this.sendHeld(taken, hasAnswer)
  }

  /**
   * Sends the event of a dead letter that is held already.
   *
   * @param isAnswered its event has a prediction: nothing is sent, the dead letter is left over
   */
  async sendHeld(taken: TakenHold, isAnswered = false): Promise<boolean> {
    const { connection, holds } = this.#deps
    const { inFlight, books, task, signal } = this.#parts
    const { token, hold } = taken
    const letter = await patiently(() => findDeadLetter(connection, { sequence: hold.sequence }))
    const origin = parseOrigin(hold.sent?.origin ?? '')
    const isStopped = signal.aborted && !isAnswered
    if (letter === undefined || hold.sent === undefined || origin === undefined || isStopped) {
      inFlight.remove(token) // another process ended it since it was listed, or nothing is to be sent any more
      await holds.release(taken)
      return false
    }
    if (isAnswered) {
      books.end(taken, 'superseded')
      return true
    }
    const { pool, supersedes } = hold.sent
    const replyTo = inFlight.replyTo(token)
    const edited = this.#edit(letter)
    if (typeof edited === 'string') return this.#leave(taken, edited)
    const facts = { task: task.id, origin, pool, supersedes, letter: hold.sequence, replyTo }
    const message = replayMessage(letter, facts, task.options, edited)
    if (!isSameEvent(message, token)) return this.#leave(taken, OTHER_EVENT)
    await forgetStarts(connection, letter)
    inFlight.add(taken)
    const refusal = await this.#publish(taken, hold.sent, message)
    return refusal === undefined || this.#leave(taken, refusal)
  }

  /** @returns why not */
  #edit({ headers, body }: StoredDeadLetter): Edited | undefined | string {
    if (this.#patch === undefined) return undefined
    const edit = editPayload(this.#patch, headers, body, this.#deps.connection.info?.max_payload)
    return edit.kind === 'refused' ? edit.why : edit
  }

  /** It stays a dead letter, and is held no more. */
  async #leave(taken: TakenHold, why: string): Promise<false> {
    this.#parts.inFlight.remove(taken.token)
    this.#parts.books.skip(why)
    await this.#deps.holds.release(taken)
    return false
  }

  /** @returns why it was not stored, for good */
  async #publish(
    { token }: TakenHold,
    sent: SentReplay,
    whole: OutgoingMessage,
  ): Promise<string | undefined> {
    const { window } = this.#deps
    let message = whole
    for (let pauseMs = 50; ; pauseMs = Math.min(FULL_PAUSE_MS, 2 * pauseMs)) {
      const reply = await window.publish(message)
      if (reply.kind === 'stored') {
        this.#last = Math.max(this.#last, reply.sequence)
        this.#parts.inFlight.placed(token, reply.sequence)
        return undefined
      }
      if (reply.kind === 'refused' && reply.code === API_ERRORS.tooLarge) {
        const smaller = slimmed(message)
        if (smaller === undefined)
          return 'larger than the stream of events takes, with the headers of a replay'
        message = smaller
        continue
      }
      // The broker did not tell: it may lie there. Only when it does not, it is sent again.
      if (reply.kind === 'unknown' && (await this.#isStored(token, sent))) return undefined
      if (this.#parts.signal.aborted) {
        // A late publish may still arrive: the hold stays, and the next run finds out.
        return reply.kind === 'unknown' ? undefined : publishError(STREAMS.features, reply).description
      }
      await sleep(isFull(reply) ? FULL_PAUSE_MS : pauseMs)
    }
  }

  async #isStored(token: string, sent: SentReplay): Promise<boolean> {
    const { connection } = this.#deps
    const found = await findOnTheirWay(connection, this.#parts.task.id, [{ token, sent }])
    const place = found.get(token)
    if (place !== undefined) {
      this.#parts.inFlight.placed(token, place)
      return true
    }
    const register = await readRegister(connection, sent.model, token)
    const hasEnded = register.kind !== 'empty' && register.sequence !== sent.supersedes
    if (hasEnded) this.#parts.inFlight.placed(token, 'past-features')
    return hasEnded
  }
}
