import { setTimeout as sleep } from 'node:timers/promises'
import type { StoredResult } from '../../../shared/sdk/result.ts'
import { AcceptedEvent } from './accepted-event.ts'
import type { Answers } from './answers.ts'
import type { Asked } from './asked.ts'
import type { Backlogs } from './backlog.ts'
import type { Published } from './claims.ts'
import { unknownFate } from './core-errors.ts'
import { waitMsOf } from './event-of-request.ts'
import type { Handles } from './handles.ts'
import type { Accepted, Answer } from './request.ts'
import type { Ending } from './wait.ts'

/** How much longer than its deadline a request waits for the stream's word, milliseconds: most know their event by then. */
const GRACE_MS = 100

export interface TellingDeps {
  readonly answers: Pick<Answers, 'end' | 'endBy'>
  readonly backlogs: Pick<Backlogs, 'seconds'>
  readonly handles: Handles
  /** Told of the model of each event whose caller left, and that nobody else waits for. */
  readonly onAbandoned: (model: string) => void
}

/** What requests are told once they are let in: their outcome, where it will be, or why there is none. */
export class Telling {
  readonly #deps: TellingDeps

  constructor(deps: TellingDeps) {
    this.#deps = deps
  }

  /** What a request is told in the end. @param published resolves once its own event is; undefined where it joined another's */
  async answer(asked: Asked, published: Promise<Published> | undefined): Promise<Answer> {
    const { wanted, wait } = asked
    if (wanted.mode === 'async') {
      await Promise.race([published, wait.ended])
      const soonest = wait.isOver ? await wait.ended : undefined
      // Whether its outcome is faster than the word of the stream is chance, and decides nothing.
      if (wanted.waitMs === 0 && soonest?.kind === 'outcome') return this.#later(asked, soonest.result)
      if (wanted.waitMs === 0 && soonest === undefined && wait.expected?.sequence !== undefined)
        return this.#later(asked)
      this.#waitAtMost(asked, wanted.waitMs)
    }
    const ending = await wait.ended
    if (ending.kind === 'time' && asked.isPublishing) await Promise.race([published, sleep(GRACE_MS)])
    // Who wants the result later is told so of its own event, also where the outcome is as fast as the acknowledgement.
    const isForLater = wanted.mode === 'async' && wanted.waitMs === 0 && published !== undefined
    if (isForLater && ending.kind === 'outcome') return this.#later(asked, ending.result)
    return this.#told(asked, ending)
  }

  /** Tells of an outcome that is known. */
  answered(asked: Asked, result: StoredResult): Answer {
    return answered(this.#accepted(asked, result), result)
  }

  /** From now on, stored as it is, an asynchronous request waits as long as it wants to. */
  #waitAtMost({ wait, startedAt, deadline }: Asked, waitMs: number): void {
    const { leftMs } = deadline
    const forMs = waitMsOf(waitMs)
    const hasDeadline = leftMs !== undefined && leftMs <= forMs
    this.#deps.answers.endBy(wait, startedAt + (hasDeadline ? leftMs : forMs), hasDeadline)
  }

  #told(asked: Asked, ending: Ending): Answer {
    if (ending.kind === 'outcome') return this.answered(asked, ending.result)
    if (ending.kind === 'broken') throw this.#broken(asked, ending)
    const { expected } = asked.wait
    if (expected?.sequence === undefined) throw unknownFate(expected?.token)
    const { leftMs = Number.POSITIVE_INFINITY } = asked.deadline
    const passedMs = performance.now() - asked.startedAt
    if (passedMs < leftMs && asked.wanted.mode === 'async') return this.#later(asked)
    const timeoutMs = Math.ceil(Math.min(leftMs, passedMs))
    return { kind: 'timeout', accepted: this.#accepted(asked), timeoutMs }
  }

  #broken({ request, wait }: Asked, { thrown, hasLeft }: Extract<Ending, { kind: 'broken' }>): unknown {
    const isForNobody = wait.expected !== undefined && this.#deps.answers.end(wait)
    if (hasLeft && isForNobody) this.#deps.onAbandoned(request.model)
    return thrown
  }

  /** @param result where there is one already */
  #later(asked: Asked, result?: StoredResult): Answer {
    const { pool } = asked.request.caller
    return {
      kind: 'accepted',
      accepted: this.#accepted(asked, result, this.#deps.backlogs.seconds(pool, asked.handle.lane)),
    }
  }

  #accepted(asked: Asked, result?: StoredResult, backlogSeconds?: number): Accepted {
    const { request, handle, wait, isDuplicate: duplicate } = asked
    const { model, caller } = request
    const { lane, loweredFrom } = handle
    const sequence = wait.expected?.sequence ?? result?.eventSequence ?? 0
    const token = result?.token ?? wait.expected?.token ?? ''
    const { pool, source: owner } = caller
    return new AcceptedEvent({ pool, model, lane, loweredFrom, token, sequence, owner }, this.#deps.handles, {
      duplicate,
      backlogSeconds,
    })
  }
}

/** The answer that an outcome is. */
export function answered(accepted: Accepted, result: StoredResult): Answer {
  return result.kind === 'prediction'
    ? { kind: 'prediction', accepted, result }
    : { kind: 'failure', accepted, result }
}
