import type { NatsConnection, Subscription } from '@nats-io/transport-node'
import { decodeFlow, sourceDigest } from '../contract/flow.ts'
import { LANES, modelKey, type Route, subjects } from '../contract/subjects.ts'
import { namesOf } from '../jetstream/names-of.ts'
import { type Asking, ModelDoor } from './model-door.ts'
import type { Refused } from './refused.ts'

type ModelOfPool = Pick<Route, 'pool' | 'model'>

/** An event that asks to be let in at a door. */
export interface AskingEvent extends Route, Omit<Asking, 'lane' | 'source'> {
  readonly source: string
}

/** An event that a door refuses, or would where the model's admission is only observed. */
export interface RefusedEvent extends Route {
  readonly refused: Refused
  readonly isEnforced: boolean
}

/** What a gate reads, and from where on it refuses. */
export interface GateReading extends ModelOfPool {
  /**
   * `backlog <lane>` in seconds; `part`, which part of what comes in at all doors this one lets in; or the limit of a gate of
   * the flow, in its own unit.
   */
  readonly gate: string
  readonly value: number
  /** Undefined where there is none now: no event of the lane brings a deadline. */
  readonly threshold: number | undefined
}

export interface AdmissionOptions {
  /** Told of each refusal, and of each that would be one. */
  readonly onRefused?: (event: RefusedEvent) => void
  /** Told once, of the first flow that cannot be heard: events of such models go by what the stream takes. */
  readonly onUnheard?: (text: string) => void
}

/** Lets events in, or refuses them before they are events: the one function of all doors. */
export interface Admission {
  /**
   * Decides at once.
   *
   * @returns why it is refused; undefined where it is let in. What the stream makes of one that is has to be told ({@link Admission.told})
   */
  decide(event: AskingEvent): Refused | undefined
  /**
   * Refuses at once what would not be let in, and counts it as {@link Admission.decide} does.
   *
   * @returns undefined where it would be: then nothing is counted, and nobody told. It is asked about again
   */
  refuse(event: AskingEvent): Refused | undefined
  /** Why an event would be refused. Nothing is counted, and nobody told: it is not known yet whether there is an event. */
  look(event: AskingEvent): Refused | undefined
  /** What became of an event that was let in: it is stored, or the stream is full. Of any other end nothing is told. */
  told(event: ModelOfPool, isStored: boolean): void
  /** What the gates of the models read that events were sent to lately. */
  readonly gates: readonly GateReading[]
  close(): void
}

/** Models whose flow is heard at the same time; beyond it, that of the one that was not asked for longest is not any more. */
const MOST_MODELS = 1_000
/** A model nobody asks for is not listened to any more after this long, milliseconds. */
const FORGOTTEN_MS = 600_000

interface Heard extends ModelOfPool {
  readonly key: string
  readonly door: ModelDoor
  readonly subscription: Subscription | undefined
  askedAtMs: number
}

/** Opens the admission of a door. It hears the flow of each model from its first event on. */
export function openAdmission(connection: NatsConnection, options: AdmissionOptions = {}): Admission {
  return new DoorAdmission(connection, options)
}

class DoorAdmission implements Admission {
  readonly #connection: NatsConnection
  readonly #options: AdmissionOptions
  /** By pool and model, the one that was asked for longest ago first. */
  readonly #heard = new Map<string, Heard>()
  readonly #forgetting: NodeJS.Timeout
  #recent: Heard | undefined
  #isUnheard = false
  #last = { source: '', digest: sourceDigest('') }

  constructor(connection: NatsConnection, options: AdmissionOptions) {
    this.#connection = connection
    this.#options = options
    this.#forgetting = setInterval(() => this.#forget(performance.now() - FORGOTTEN_MS), FORGOTTEN_MS / 4)
    this.#forgetting.unref()
  }

  decide(event: AskingEvent): Refused | undefined {
    const { pool, model, lane } = event
    const nowMs = performance.now()
    const { door } = this.#of(pool, model, nowMs)
    const refused = door.decide(this.#asking(event), nowMs)
    const isEnforced = door.mode === 'enforce'
    if (refused !== undefined) this.#options.onRefused?.({ pool, model, lane, refused, isEnforced })
    return isEnforced ? refused : undefined
  }

  refuse(event: AskingEvent): Refused | undefined {
    const { pool, model, lane } = event
    const nowMs = performance.now()
    const refused = this.#of(pool, model, nowMs).door.refuse(this.#asking(event), nowMs)
    if (refused !== undefined) this.#options.onRefused?.({ pool, model, lane, refused, isEnforced: true })
    return refused
  }

  look(event: AskingEvent): Refused | undefined {
    const nowMs = performance.now()
    return this.#of(event.pool, event.model, nowMs).door.look(this.#asking(event), nowMs)
  }

  told({ pool, model }: ModelOfPool, isStored: boolean): void {
    this.#known(pool, model)?.door.told(isStored, performance.now())
  }

  get gates(): readonly GateReading[] {
    const nowMs = performance.now()
    return [...this.#heard.values()].flatMap(({ pool, model, door }) =>
      readingsOf(door, nowMs).map((reading) => ({ pool, model, ...reading })),
    )
  }

  close(): void {
    clearInterval(this.#forgetting)
    this.#forget(Number.POSITIVE_INFINITY)
  }

  #asking({ lane, source, deadlineMs, isAgain, die }: AskingEvent): Asking {
    return { lane, source: this.#digest(source), deadlineMs, isAgain, die }
  }

  /** Most doors have one source, or one after the other. */
  #digest(source: string): string {
    if (this.#last.source !== source) this.#last = { source, digest: sourceDigest(source) }
    return this.#last.digest
  }

  #of(pool: string, model: string, nowMs: number): Heard {
    const known = this.#known(pool, model)
    if (known === undefined) return this.#begin(pool, model, nowMs)
    // Moved behind all others now and then, not for each event.
    if (nowMs - known.askedAtMs > 1_000) {
      known.askedAtMs = nowMs
      this.#heard.delete(known.key)
      this.#heard.set(known.key, known)
    }
    return known
  }

  #begin(pool: string, model: string, nowMs: number): Heard {
    for (const oldest of this.#heard.values()) {
      if (this.#heard.size < MOST_MODELS) break
      this.#end(oldest)
    }
    const door = new ModelDoor()
    const key = modelKey({ pool, model })
    const heard = { key, pool, model, door, subscription: this.#hear(pool, model, door), askedAtMs: nowMs }
    this.#heard.set(key, heard)
    return heard
  }

  /** Events in a row are mostly of one model: its key is not made anew for each. */
  #known(pool: string, model: string): Heard | undefined {
    if (this.#recent?.model !== model || this.#recent.pool !== pool)
      this.#recent = this.#heard.get(modelKey({ pool, model }))
    return this.#recent
  }

  /** @returns undefined where the connection ends: whoever publishes next is told that */
  #hear(pool: string, model: string, door: ModelDoor): Subscription | undefined {
    if (this.#connection.isClosed() || this.#connection.isDraining()) return undefined
    const subject = namesOf(this.#connection).subject(subjects.flow(pool, model))
    return this.#connection.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) return this.#unheard(error)
        const flow = decodeFlow(message.data)
        if (flow !== undefined) door.hear(flow, performance.now())
      },
    })
  }

  #unheard(error: Error): void {
    if (this.#isUnheard) return
    this.#isUnheard = true
    this.#options.onUnheard?.(`how busy models are cannot be heard: ${error.message}`)
  }

  #forget(askedBeforeMs: number): void {
    for (const heard of this.#heard.values()) if (heard.askedAtMs < askedBeforeMs) this.#end(heard)
  }

  #end({ key, subscription }: Heard): void {
    this.#heard.delete(key)
    this.#recent = undefined
    if (subscription?.isClosed() === false) subscription.unsubscribe()
  }
}

/** What can be told of a model whose flow is heard. */
function readingsOf(
  door: ModelDoor,
  nowMs: number,
): readonly Pick<GateReading, 'gate' | 'value' | 'threshold'>[] {
  const flow = door.flow(nowMs)
  if (flow === undefined) return []
  const inSeconds = (ms: number | undefined): number | undefined =>
    ms === undefined ? undefined : ms / 1_000
  const backlogs = LANES.map((lane) => ({
    gate: `backlog ${lane}`,
    value: (door.waitMs(lane, nowMs) ?? 0) / 1_000,
    threshold: inSeconds(door.mostWaitMs(lane, nowMs)),
  }))
  const gates = flow.gates.map(({ limit, measured, value }) => ({
    gate: limit,
    value: measured,
    threshold: value,
  }))
  return [{ gate: 'part', value: door.part, threshold: undefined }, ...backlogs, ...gates]
}
