import { setTimeout as sleep } from 'node:timers/promises'
import { eventToken } from '../../../shared/sdk/contract/token.ts'
import { messageOf, PeltonError } from '../../../shared/sdk/errors.ts'
import type { Answers } from './answers.ts'
import type { Claim, KeyedRequest, KeyedRequests } from './keyed-request.ts'
import type { Wait } from './wait.ts'

/** How long a request that runs elsewhere may have no event, milliseconds: then its gateway is taken for gone. */
const UNSTORED_MS = 2_000
const FIRST_PAUSE_MS = 25

export interface ClaimsDeps {
  readonly memory: KeyedRequests
  readonly answers: Pick<Answers, 'isAwaited'>
  readonly onProblem: (text: string) => void
}

/** The door before one request. */
export interface DoorOfRequest {
  /** Whether it would not be let in. */
  wouldRefuse(): boolean
  /** Lets it in. @throws Refusal where it is not */
  admit(): void
}

/** What an event became that was published for a claim. */
export type Published = { readonly sequence: number } | { readonly thrown: unknown }

/** Refusals after which an event is certainly not stored. */
const NOT_STORED: ReadonlySet<string> = new Set([
  ...['invalid-argument', 'schema-mismatch', 'too-large', 'stream-full', 'undeliverable', 'not-provisioned'],
])

/** Requests with an idempotency key, between their memory and those who wait. */
export class Claims {
  readonly #deps: ClaimsDeps

  constructor(deps: ClaimsDeps) {
    this.#deps = deps
  }

  /**
   * What to do with a request. What of its key would make an event is let in first; what makes none is never refused.
   *
   * @throws Refusal of the door; what the memory throws; what breaks the wait; PeltonError `broker-unavailable` when its time is
   *   over
   */
  async letIn(request: KeyedRequest, wait: Wait, door: DoorOfRequest): Promise<Claim> {
    // Most of what is refused writes nothing about its key.
    const isAsked = door.wouldRefuse() && !(await within(wait, this.#deps.memory.isKnown(request)))
    if (isAsked) door.admit()
    const claim = await this.#decide(request, wait)
    if (claim.kind !== 'new' || isAsked) return claim
    try {
      door.admit()
      return claim
    } catch (thrown) {
      await this.#giveBack(request, claim).catch((problem: unknown) => this.#problem(problem))
      throw thrown
    }
  }

  /**
   * Tells the memory what became of the event of a `new` claim. Never rejects.
   *
   * @param answered resolves once its request has ended: with true where the outcome is known
   */
  async tell(
    request: KeyedRequest,
    claim: Claim,
    published: Published,
    answered: Promise<boolean>,
  ): Promise<void> {
    const { memory } = this.#deps
    try {
      if ('sequence' in published) await memory.stored(request, claim, published.sequence, answered)
      // An event of which nobody knows whether it is stored keeps its key: who asks again publishes it with the same id.
      else if (isNotStored(published.thrown)) await memory.release(request, claim)
    } catch (thrown) {
      this.#problem(thrown)
    }
  }

  /**
   * One that runs at a gateway which has not said where its event is, is asked about again for a while; then it is `new`, with
   * the id it has: were it stored after all, the register has one outcome for both.
   */
  async #decide(request: KeyedRequest, wait: Wait): Promise<Claim> {
    const startedAt = performance.now()
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs *= 2) {
      const claim = await this.#claim(request, wait)
      if (claim.kind !== 'running' || claim.sequence !== undefined) return claim
      if (this.#deps.answers.isAwaited(request.model, tokenOf(request, claim))) return claim
      if (performance.now() - startedAt >= UNSTORED_MS) return { kind: 'new', id: claim.id }
      await within(wait, sleep(pauseMs))
    }
  }

  #problem(thrown: unknown): void {
    this.#deps.onProblem(`what became of a request with an idempotency key is not kept: ${messageOf(thrown)}`)
  }

  async #claim(request: KeyedRequest, wait: Wait): Promise<Claim> {
    const claiming = this.#deps.memory.claim(request)
    try {
      return await within(wait, claiming)
    } catch (thrown) {
      // What comes after its request has ended is nobody's any more.
      if (wait.isOver) void claiming.then((claim) => this.#giveBack(request, claim)).catch(() => undefined)
      throw thrown
    }
  }

  async #giveBack(request: KeyedRequest, claim: Claim): Promise<void> {
    if (claim.kind === 'new') await this.#deps.memory.release(request, claim)
  }
}

export function tokenOf({ model, source }: Pick<KeyedRequest, 'model' | 'source'>, { id }: Claim): string {
  return eventToken(model, source, id)
}

function isNotStored(thrown: unknown): boolean {
  return thrown instanceof PeltonError && NOT_STORED.has(thrown.code)
}

/** An act, as long as the request waits. */
async function within<Result>(wait: Wait, act: Promise<Result>): Promise<Result> {
  const first = await Promise.race([act.then((value) => ({ kind: 'done', value }) as const), wait.ended])
  if (first.kind === 'done') return first.value
  if (first.kind === 'broken') throw first.thrown
  throw new PeltonError('broker-unavailable', 'the memory of idempotency keys did not answer in time', {
    field: 'Idempotency-Key',
    remedy: 'Ask again with the same key.',
  })
}
