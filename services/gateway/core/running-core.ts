import type { NatsConnection } from '@nats-io/transport-node'
import { tracePublish } from '../../../shared/sdk/diagnostics.ts'
import { messageOf, PeltonError } from '../../../shared/sdk/errors.ts'
import type { EventOrigin } from '../../../shared/sdk/event-message.ts'
import type { BrokerClock } from '../../../shared/sdk/jetstream/broker-clock.ts'
import { namesOf } from '../../../shared/sdk/jetstream/names-of.ts'
import { inboxPrefixOf } from '../../../shared/sdk/jetstream/publish-window.ts'
import type { MessageProducer } from '../../../shared/sdk/producer.ts'
import { AcceptedEvent } from './accepted-event.ts'
import { Answers } from './answers.ts'
import { type Asked, askingOf, begun } from './asked.ts'
import { Away } from './away.ts'
import { Backlogs } from './backlog.ts'
import { checkModel, checkRights } from './check-model.ts'
import { Claims, type Published, tokenOf } from './claims.ts'
import type { GatewayCore } from './core.ts'
import { closed, twoIdentities } from './core-errors.ts'
import { Door } from './door.ts'
import {
  deadlineOf,
  eventOf,
  LONGEST_TIMEOUT_MS,
  laneOf,
  messageOfEvent,
  sourceOf,
  waitMsOf,
} from './event-of-request.ts'
import type { Handles } from './handles.ts'
import type { Claim, KeyedRequest } from './keyed-request.ts'
import { findEvent } from './look-up.ts'
import { type FollowingDirectory, followModels } from './model-directory.ts'
import type { GatewayCoreOptions } from './options.ts'
import { Places } from './places.ts'
import type { RefusalAnswer } from './refusal.ts'
import type { Answer, Caller, InferenceRequest, Looked, Wanted } from './request.ts'
import { answered, Telling } from './telling.ts'
import type { Expected, Wait } from './wait.ts'

/** How long an event of which the stream says nothing is sent again, milliseconds at most. */
export const PUBLISH_MS = 30_000
/** How long an end waits for publishes of which nothing is known, milliseconds. */
const CLOSING_MS = 1_000

/** What chance decides is left to the look that lets a request in: two throws would refuse more. */
const CERTAIN = 1

/** What it works with beside its options. */
export interface CoreParts extends GatewayCoreOptions {
  readonly producer: MessageProducer
  /** Deadlines of events go by the broker's clock. The core closes it. */
  readonly clock: BrokerClock
  readonly handles: Handles
}

/** What is known of a request before it has a route. */
export interface EarlyRequest extends Pick<InferenceRequest, 'caller' | 'model' | 'lane' | 'timeoutMs'> {}

/** The core of a gateway over a connection that it shares. It runs until it is closed. */
export class RunningCore implements GatewayCore {
  readonly models: FollowingDirectory
  readonly #parts: CoreParts
  readonly #connection: NatsConnection
  readonly #answers: Answers
  readonly #claims: Claims
  readonly #places: Places
  readonly #door: Door
  readonly #backlogs: Backlogs
  readonly #away: Away
  readonly #telling: Telling
  readonly #origin: Required<Pick<EventOrigin, 'replyRoots' | 'inboxPrefix'>>
  #inFlight = 0
  /** What the memory of keyed requests is told of. */
  #remembering = 0
  #onDrained: (() => void)[] = []
  #closing: Promise<void> | undefined

  constructor(connection: NatsConnection, parts: CoreParts) {
    const { onProblem, keyedRequests: memory } = parts
    this.#parts = parts
    this.#connection = connection
    this.#origin = { replyRoots: namesOf(connection).replyRoots, inboxPrefix: inboxPrefixOf(connection) }
    this.#answers = new Answers(connection, { onProblem })
    this.#claims = new Claims({ memory, answers: this.#answers, onProblem })
    this.#places = new Places(parts)
    const { quotas = new Map(), onRefused = () => undefined } = parts
    this.#door = new Door(connection, {
      ...{ quotas, onProblem },
      onRefused: ({ pool, model = '', lane, limit, isEnforced }) =>
        onRefused({ pool, model: this.models.find(pool, model)?.model, lane, limit, isEnforced }),
    })
    this.#backlogs = new Backlogs(connection)
    this.#telling = new Telling({ ...parts, answers: this.#answers, backlogs: this.#backlogs })
    this.models = followModels(connection, onProblem)
    this.#away = new Away(connection, {
      onAway: () => this.#answers.away(),
      onBack: () => this.#answers.back(),
      onLongAway: () => this.#answers.breakThose(isUnsent, this.#away.error()),
    })
  }

  /** Requests that are not answered yet. */
  get inFlight(): number {
    return this.#inFlight
  }

  /**
   * Whether requests for a model may have to be refused: the most unfavourable of those that say nothing of their deadline would
   * be. Asked before a body is read.
   */
  mayRefuse(caller: Caller, model: string): boolean {
    if (this.#closing !== undefined || this.#away.isLong || !caller.mayUse(model)) return false
    if (this.models.find(caller.pool, model) === undefined) return false
    const { defaultTimeoutMs: deadlineMs } = this.#parts
    const { lane } = laneOf(caller, 'low')
    return this.#door.wouldRefuse({ caller, model, lane, source: caller.source, deadlineMs, die: CERTAIN })
  }

  /** Refuses a request that waits for its answer, as {@link RunningCore.infer} would; undefined where that is to be asked. */
  refuse({ caller, model, timeoutMs, lane: wished }: EarlyRequest): RefusalAnswer | undefined {
    const { lane } = laneOf(caller, wished)
    const deadlineMs = timeoutMs ?? this.#parts.defaultTimeoutMs
    if (deadlineMs > LONGEST_TIMEOUT_MS) return undefined
    return this.#door.refuse({ caller, model, lane, source: caller.source, deadlineMs, die: CERTAIN })
  }

  /** What the gates read that requests were asked at lately. */
  get gates(): Door['gates'] {
    return this.#door.gates
  }

  /** Resolves once no request is in flight. */
  async drained(): Promise<void> {
    if (this.#isIdle) return
    await new Promise<void>((resolve) => this.#onDrained.push(resolve))
  }

  /** Waits no longer for answers: who asked is told where its answer will be. */
  endWaits(): void {
    this.#answers.endWaits()
  }

  /** Ends what still waits with PeltonError `closed`. The connection stays. May be called again. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async infer(request: InferenceRequest, wanted: Wanted): Promise<Answer> {
    const asked = this.#begin(request, wanted)
    try {
      const { idempotencyKey: key } = request
      if (key !== undefined) return await this.#inferKeyed(asked, key)
      const published = this.#publish(asked, request.attributes?.id ?? crypto.randomUUID(), false)
      return await this.#telling.answer(asked, published)
    } finally {
      this.#end(asked)
    }
  }

  async lookUp(text: string, caller: Caller): Promise<Looked> {
    this.#checkOpen()
    const handle = this.#parts.handles.read(text)
    if (handle === undefined || handle.owner !== caller.source) return { kind: 'unknown' }
    if (this.#away.isLong) throw this.#away.error()
    const found = await findEvent(this.#connection, handle)
    if (found === 'gone') return { kind: 'gone', token: handle.token }
    const accepted = new AcceptedEvent(handle, this.#parts.handles)
    return found === 'waiting' ? { kind: 'accepted', accepted } : answered(accepted, found.result)
  }

  /** @throws what a request is refused with before anything is done for it */
  #begin(request: InferenceRequest, wanted: Wanted): Asked {
    this.#checkOpen()
    const { caller, model, modelVersion, data, signal } = request
    const { clock, defaultTimeoutMs } = this.#parts
    const startedAt = performance.now()
    const deadline = deadlineOf(request, wanted, defaultTimeoutMs, clock.now())
    if (wanted.mode === 'async') waitMsOf(wanted.waitMs)
    const [handle, source] = [laneOf(caller, request.lane), sourceOf(request)]
    checkRights(caller, model)
    checkModel(this.models, caller, model, modelVersion)
    signal.throwIfAborted()
    if (this.#away.isLong) throw this.#away.error()
    this.#places.check(data.length)
    const { leftMs } = deadline
    // What is asked again may have its event already.
    if (request.idempotencyKey === undefined)
      this.#door.admit({ caller, model, lane: handle.lane, source, deadlineMs: leftMs })
    this.#places.enter(data.length)
    this.#inFlight++
    const mostMs = wanted.mode === 'sync' ? LONGEST_TIMEOUT_MS : PUBLISH_MS
    const until = startedAt + Math.min(leftMs ?? mostMs, mostMs)
    const wait = this.#answers.begin(until, leftMs !== undefined, signal)
    return begun(request, wanted, { handle, source, deadline, startedAt, wait })
  }

  #end(asked: Asked): void {
    asked.isOver = true
    this.#answers.end(asked.wait)
    this.#inFlight--
    this.#leave(asked)
    this.#tellDrained()
  }

  #leave({ request, startedAt, isPublishing, isOver }: Asked): void {
    if (isOver && !isPublishing) this.#places.leave(request.data.length, performance.now() - startedAt)
  }

  async #inferKeyed(asked: Asked, key: string): Promise<Answer> {
    const { request, source, wanted, deadline, wait } = asked
    const { model, modelVersion, data, contentType } = request
    if (request.attributes?.id !== undefined) throw twoIdentities(request.attributes.id)
    const deadlineAt = deadline.leftMs === undefined ? undefined : Date.now() + deadline.leftMs
    const keyed = { source, model, modelVersion, key, data, contentType, deadlineAt, mode: wanted.mode }
    const asking = askingOf(asked, Math.random())
    const claim = await this.#claims.letIn(keyed, wait, {
      wouldRefuse: () => this.#door.wouldRefuse(asking),
      admit: () => this.#door.admit(asking),
    })
    asked.isDuplicate = claim.kind !== 'new'
    if (claim.kind === 'answered') return this.#telling.answered(asked, claim.result)
    if (claim.kind === 'new') {
      const published = this.#publish(asked, claim.id, true)
      const answer = this.#telling.answer(asked, published)
      void this.#tellMemory(keyed, claim, published, answer)
      return answer
    }
    const joined = this.#answers.join(wait, model, tokenOf(keyed, claim))
    joined.sequence ??= claim.sequence
    return this.#telling.answer(asked, undefined)
  }

  async #tellMemory(
    keyed: KeyedRequest,
    claim: Claim,
    published: Promise<Published>,
    answer: Promise<Answer>,
  ): Promise<void> {
    this.#remembering++
    const answered = answer.then(isOutcome, () => false)
    await this.#claims.tell(keyed, claim, await published, answered)
    this.#remembering--
    this.#tellDrained()
  }

  /** Publishes the event of a request. Never rejects: what is in the way breaks the wait of all who wait for it. */
  async #publish(asked: Asked, id: string, isShared: boolean): Promise<Published> {
    const { request, wait, handle, source, deadline } = asked
    const { model, caller } = request
    const { pool } = caller
    const { replyRoots, inboxPrefix } = this.#origin
    const replyTo = this.#answers.nextReply()
    let expected: Expected | undefined
    asked.isPublishing = true
    try {
      const event = eventOf(request, { id, lane: handle.lane, expiresAt: deadline.expiresAt, replyTo })
      const receipt = await tracePublish({ event, pool, source, by: 'producer' }, async (traced) => {
        const origin = { source, pool, replyRoots, inboxPrefix, now: Date.now() }
        const message = messageOfEvent(traced, origin, request.attributes?.extensions)
        expected = this.#answers.expect(wait, { model, token: message.token, replyTo, isShared })
        return this.#parts.producer.publishMessage(message, model, wait.until - performance.now())
      })
      // After several tries an earlier one of this very request may be what the stream has.
      asked.isDuplicate ||= receipt.duplicate && receipt.tries === 1
      if (expected !== undefined) this.#answers.published(expected, receipt.sequence, receipt.duplicate)
      this.#door.told(request, true)
      return receipt
    } catch (thrown) {
      if (isOfStream(thrown)) this.#door.told(request, false)
      if (expected === undefined) wait.break(thrown)
      else this.#answers.failed(expected, thrown)
      return { thrown }
    } finally {
      asked.isPublishing = false
      this.#leave(asked)
    }
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw closed()
  }

  get #isIdle(): boolean {
    return this.#inFlight === 0 && this.#remembering === 0
  }

  #tellDrained(): void {
    if (this.#isIdle) for (const resolve of this.#onDrained.splice(0)) resolve()
  }

  async #close(): Promise<void> {
    this.#answers.close()
    this.#away.close()
    this.#door.close()
    this.#backlogs.close()
    const { producer, clock, onProblem } = this.#parts
    clock.close()
    await Promise.all([
      this.models.close(),
      producer.close({ timeoutMs: CLOSING_MS }).catch((thrown: unknown) => onProblem(messageOf(thrown))),
    ])
  }
}

/** Whether it is the stream that did not take an event, or said nothing of it. */
function isOfStream(thrown: unknown): boolean {
  return (
    thrown instanceof PeltonError && (thrown.code === 'stream-full' || thrown.code === 'broker-unavailable')
  )
}

function isOutcome({ kind }: Answer): boolean {
  return kind === 'prediction' || kind === 'failure'
}

/** Whether nothing was sent for a wait that the stream has taken. */
function isUnsent({ expected }: Wait): boolean {
  return expected === undefined || (expected.replyTo !== undefined && expected.sequence === undefined)
}
