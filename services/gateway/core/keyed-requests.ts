import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { patiently } from '../../../shared/operations/broker/patience.ts'
import { markSuperseded } from '../../../shared/operations/records/superseded-mark.ts'
import { type KeyScope, keyDigest, keyedId, readKeyedId } from '../../../shared/sdk/contract/keyed-id.ts'
import { eventToken, payloadDigest } from '../../../shared/sdk/contract/token.ts'
import { messageOf } from '../../../shared/sdk/errors.ts'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import type { InRegister } from '../../../shared/sdk/jetstream/register.ts'
import { otherBody, stillRunning, tooManyKeyed } from './key-refusals.ts'
import { type Asked, lookAtFirst, readFirst, type Standing, standingOf } from './key-standing.ts'
import { explainTrouble } from './key-trouble.ts'
import type { Claim, KeyedRequest, KeyedRequests } from './keyed-request.ts'
import { Refusal } from './refusal.ts'
import { type KeptEntry, type RequestEntry, readEntry, untilOf, writeEntry } from './request-entry.ts'
import { memoryOf } from './results-memory.ts'

export interface KeyedRequestsOptions {
  /** How long a key is held whose request has no deadline, milliseconds. @default 1 h */
  readonly withoutDeadlineMs?: number
  /** How long the broker may not answer, milliseconds: an election is shorter. @default 5_000 */
  readonly patienceMs?: number
  /** How long a claim may take to become an event before another publishes it, under the same id, milliseconds. @default 2_000 */
  readonly adoptAfterMs?: number
  /** Told what could not be written about a request that goes on all the same. @default nobody */
  readonly onProblem?: (text: string) => void
}

/** What a claim holds: its entry, and the revision to expect when it changes. */
interface Held {
  readonly entry: RequestEntry
  readonly revision: number
}

/** An entry as one claim sees it, and since when it has not changed, milliseconds of a clock that never goes back. */
interface Watched {
  readonly revision: number
  readonly since: number
}

/** Clocks of gateways and broker differ by less, milliseconds. */
const CLOCKS_DIFFER_MS = 5_000
/** An entry after a failed attempt is kept as long as RESULTS keeps answers, and for no longer than this. */
const LONGEST_MS = 30 * 24 * 3_600_000
/** How long the position of an event may be known to its gateway alone, milliseconds. */
const LONGEST_UNKEPT_MS = 100
const FIRST_PAUSE_MS = 20
const LONGEST_PAUSE_MS = 250

/**
 * What idempotency keys make of requests, at any number of gateways. Whatever is forgotten or comes too late, an id is
 * the same for the same request, so that FEATURES and the register of outcomes take it once.
 *
 * The caller closes it; the connection stays. `stored` and `release` want the very claim that was given.
 */
export function openKeyedRequests(
  connection: NatsConnection,
  options: KeyedRequestsOptions = {},
): KeyedRequests & { close(): void } {
  return new BucketOfRequests(connection, options)
}

class BucketOfRequests implements KeyedRequests {
  readonly #connection: NatsConnection
  readonly #window: PublishWindow
  readonly #options: Required<KeyedRequestsOptions>
  readonly #held = new WeakMap<Claim, Held>()
  /** This gateway: a name that no other process has, or had. */
  readonly #name = randomBytes(9).toString('base64url')
  #claims = 0

  constructor(connection: NatsConnection, options: KeyedRequestsOptions) {
    this.#connection = connection
    this.#window = new PublishWindow(connection)
    this.#options = {
      withoutDeadlineMs: options.withoutDeadlineMs ?? 3_600_000,
      patienceMs: options.patienceMs ?? 5_000,
      adoptAfterMs: options.adoptAfterMs ?? 2_000,
      onProblem: options.onProblem ?? (() => undefined),
    }
  }

  close(): void {
    this.#window.close()
  }

  async isKnown(request: KeyedRequest): Promise<boolean> {
    const digest = keyDigest(request)
    try {
      const [kept, first] = await patiently(
        () =>
          Promise.all([readEntry(this.#connection, digest), readFirst(this.#connection, request, digest)]),
        this.#patienceMs(request),
      )
      return kept?.entry !== undefined || first.outcome !== undefined || first.newer !== undefined
    } catch (thrown) {
      throw await explainTrouble(this.#connection, digest, thrown)
    }
  }

  async claim(request: KeyedRequest): Promise<Claim> {
    const { model, modelVersion, source, key, data, contentType, deadlineAt, mode } = request
    const asked: Asked = {
      model,
      modelVersion,
      source,
      key,
      contentType,
      deadlineAt,
      mode,
      digest: keyDigest(request),
      body: payloadDigest(data),
      by: `${this.#name}-${++this.#claims}`,
      until: untilOf(deadlineAt, this.#options.withoutDeadlineMs, Date.now()),
    }
    try {
      // All of it may be done twice: an entry says whose claim wrote it.
      return await patiently(() => this.#claim(asked), this.#patienceMs(request))
    } catch (thrown) {
      throw await explainTrouble(this.#connection, asked.digest, thrown)
    }
  }

  async stored(
    request: KeyedRequest,
    claim: Claim,
    sequence: number,
    answered?: Promise<boolean>,
  ): Promise<void> {
    if (claim.kind !== 'new') return
    const held = this.#held.get(claim)
    this.#held.delete(claim)
    await Promise.all([
      this.#supersede(request, claim.id),
      held && this.#keep(request, { ...held, entry: { ...held.entry, sequence } }, answered),
    ])
  }

  /**
   * Keeps where an event is, unless its outcome comes first: the register, which is asked before an entry is believed, says
   * more then. Long before the claim would be taken for left.
   */
  async #keep(request: KeyScope, { entry, revision }: Held, answered?: Promise<boolean>): Promise<void> {
    const forMs = Math.min(LONGEST_UNKEPT_MS, this.#options.adoptAfterMs / 8)
    if (answered !== undefined && (await within(forMs, answered))) return
    await this.#rewrite(request, entry, revision)
  }

  async release(request: KeyedRequest, claim: Claim): Promise<void> {
    const held = this.#held.get(claim)
    this.#held.delete(claim)
    if (held !== undefined) await this.#giveBack(request, held)
  }

  /** A new key takes the time of its slower question: it is written while the register is looked into. */
  async #claim(asked: Asked): Promise<Claim> {
    const fresh = entryOf(asked, 1)
    const [written, first] = await Promise.all([
      writeEntry(this.#window, asked.digest, fresh, 0),
      lookAtFirst(this.#connection, this.#window, asked),
    ])
    if (written === 'full') return this.#answerOfBefore(asked, first)
    const claim = typeof written === 'object' && (await this.#own(asked, { entry: fresh, ...written }, first))
    return claim || this.#among(asked, first)
  }

  /** Somebody has the key, or had it: looks until it is known what to do. */
  async #among(asked: Asked, first: InRegister): Promise<Claim> {
    const { adoptAfterMs, patienceMs } = this.#options
    const end = performance.now() + adoptAfterMs + patienceMs
    let watched: Watched = { revision: 0, since: 0 }
    let known: InRegister | undefined = first
    for (
      let pauseMs = FIRST_PAUSE_MS;
      performance.now() < end;
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)
    ) {
      const kept = await readEntry(this.#connection, asked.digest)
      if (kept?.revision !== watched.revision)
        watched = { revision: kept?.revision ?? 0, since: performance.now() }
      const claim = await this.#turn(asked, kept, { watched, known })
      if (claim !== undefined) return claim
      known = undefined
      await sleep(pauseMs)
    }
    throw stillRunning(asked) // others take it in turns, faster than this one
  }

  async #turn(
    asked: Asked,
    kept: KeptEntry | undefined,
    { watched, known }: { readonly watched: Watched; readonly known: InRegister | undefined },
  ): Promise<Claim | undefined> {
    const { entry, revision = 0 } = kept ?? {}
    if (kept === undefined || entry === undefined) return this.#take(asked, 1, revision)
    if (entry.by === asked.by) return this.#own(asked, { entry, revision })
    // The register is asked first: what it says of the body is the truth, and an entry may be a mistaken one.
    const standing = await this.#standing(asked, entry.attempt, known)
    if (standing.kind === 'answered') return standing
    if (standing.attempt > entry.attempt) return this.#take(asked, standing.attempt, revision)
    if (entry.body !== asked.body) throw otherBody(asked)
    if (standing.kind === 'open' && entry.sequence === undefined) {
      if (this.#isLeft(kept, watched)) return this.#adopt(asked, entry, revision)
      if (asked.mode === 'sync' && !isOver(asked)) return undefined
    }
    return running(asked, standing.id, entry.sequence)
  }

  /** Whoever claimed it was ended before it published, as far as anybody can tell. */
  #isLeft({ storedAt }: KeptEntry, { since }: Watched): boolean {
    const { adoptAfterMs } = this.#options
    const isOld = Date.now() - storedAt >= adoptAfterMs + CLOCKS_DIFFER_MS
    return isOld || performance.now() - since >= adoptAfterMs
  }

  /** The same attempt, and the same id: should the other one publish after all, the stream has one of the two. */
  async #adopt(asked: Asked, { attempt, until }: RequestEntry, revision: number): Promise<Claim | undefined> {
    const entry = { ...entryOf(asked, attempt), until: Math.max(until, asked.until) }
    const written = await writeEntry(this.#window, asked.digest, entry, revision)
    if (written === 'full') return { kind: 'new', id: idOf(asked, attempt) }
    return typeof written === 'object' ? this.#new(asked, { entry, ...written }) : undefined
  }

  /** The entry is ours. What the register has from before it was written decides. */
  async #own(asked: Asked, held: Held, first?: InRegister): Promise<Claim | undefined> {
    const { attempt } = held.entry
    const standing = await this.#standing(asked, attempt, first).catch(async (thrown: unknown) => {
      if (thrown instanceof Refusal) await this.#giveBack(asked, held)
      throw thrown
    })
    if (standing.kind === 'answered') return standing
    if (standing.attempt > attempt) return this.#take(asked, standing.attempt, held.revision)
    return standing.kind === 'open' ? this.#new(asked, held) : running(asked, standing.id, undefined)
  }

  /** @returns undefined where another one was faster */
  async #take(asked: Asked, attempt: number, expected: number): Promise<Claim | undefined> {
    const entry = { ...entryOf(asked, attempt), until: await this.#until(asked, attempt) }
    const written = await writeEntry(this.#window, asked.digest, entry, expected)
    if (written === 'full') throw tooManyKeyed()
    if (typeof written !== 'object') return undefined
    const held = { entry, ...written }
    // An entry that was not there may have been forgotten: the register of its first attempt tells.
    return attempt === 1 ? this.#own(asked, held) : this.#new(asked, held)
  }

  #new(asked: Asked, held: Held): Claim {
    const claim: Claim = { kind: 'new', id: idOf(asked, held.entry.attempt) }
    this.#held.set(claim, held)
    return claim
  }

  /** Nothing new fits into the bucket: what is answered is answered all the same. */
  async #answerOfBefore(asked: Asked, first: InRegister): Promise<Claim> {
    const standing = await this.#standing(asked, 1, first)
    if (standing.kind === 'answered') return standing
    throw tooManyKeyed()
  }

  #standing(asked: Asked, from: number, first?: InRegister): Promise<Standing> {
    return standingOf(this.#connection, asked, from, first)
  }

  /** After a failed attempt only the entry knows which one is the last: RESULTS forgets the first one first. */
  async #until({ until }: Asked, attempt: number): Promise<number> {
    if (attempt === 1) return until
    const memoryMs = (await memoryOf(this.#connection)) ?? LONGEST_MS
    return until + Math.min(memoryMs, LONGEST_MS)
  }

  /** The dead letter of the attempt before: its caller has another event now. */
  async #supersede({ model, source }: KeyScope, id: string): Promise<void> {
    const { digest, attempt } = readKeyedId(id) ?? { digest: '', attempt: 1 }
    if (attempt === 1) return
    const before = eventToken(model, source, keyedId({ digest, attempt: attempt - 1 }))
    const mark = { by: eventToken(model, source, id), at: new Date().toISOString() }
    await markSuperseded(this.#window, before, mark, this.#options.patienceMs).catch((thrown: unknown) =>
      this.#options.onProblem(`dead letter ${before} cannot be marked as superseded: ${messageOf(thrown)}`),
    )
  }

  /** An attempt after the first leaves what was known before it. */
  #giveBack(request: KeyScope, { entry, revision }: Held): Promise<void> {
    const { sequence: _none, ...rest } = entry
    const before = entry.attempt === 1 ? undefined : { ...rest, attempt: entry.attempt - 1 }
    return this.#rewrite(request, before, revision)
  }

  /** Of an entry that is ours, as long as it is. */
  async #rewrite(request: KeyScope, entry: RequestEntry | undefined, revision: number): Promise<void> {
    const digest = keyDigest(request)
    const write = () => writeEntry(this.#window, digest, entry, revision)
    const trouble = await patiently(write, this.#options.patienceMs).catch(messageOf)
    const isKnown = typeof trouble === 'object' || trouble === 'late'
    if (!isKnown) this.#options.onProblem(`the entry of a keyed request cannot be written: ${trouble}`)
  }

  #patienceMs({ deadlineAt = Number.POSITIVE_INFINITY }: KeyedRequest): number {
    return Math.max(0, Math.min(this.#options.patienceMs, deadlineAt - Date.now()))
  }
}

/** Whether it is so by then. */
function within(forMs: number, isSo: Promise<boolean>): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, forMs, false)
    void isSo.then((is) => {
      clearTimeout(timer)
      resolve(is)
    })
  })
}

function entryOf({ body, by, until }: Asked, attempt: number): RequestEntry {
  return { attempt, body, by, until }
}

function idOf({ digest }: Asked, attempt: number): string {
  return keyedId({ digest, attempt })
}

function isOver({ deadlineAt = Number.POSITIVE_INFINITY }: Asked): boolean {
  return Date.now() >= deadlineAt
}

/** @throws Refusal 409 for a request that does not wait */
function running(asked: Asked, id: string, sequence: number | undefined): Claim {
  if (asked.mode === 'async') throw stillRunning(asked)
  return { kind: 'running', id, sequence }
}
