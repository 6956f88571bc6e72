import type { NatsConnection } from '@nats-io/transport-node'
import {
  type Admission,
  type AskingEvent,
  type GateReading,
  openAdmission,
} from '../../../shared/sdk/admission/admission.ts'
import type { Refused } from '../../../shared/sdk/admission/refused.ts'
import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import type { RefusedRequest } from './figures.ts'
import { answerNotLetIn, notLetIn } from './not-let-in.ts'
import { type QuotaClasses, Quotas } from './quotas.ts'
import type { RefusalAnswer } from './refusal.ts'
import type { Caller } from './request.ts'

/** A request that asks to become an event. */
export interface AskingRequest {
  readonly caller: Caller
  readonly model: string
  readonly lane: Lane
  /** Of its event. */
  readonly source: string
  /** What is left of its deadline, milliseconds, 0 where that is over; undefined for none. */
  readonly deadlineMs: number | undefined
  /** Thrown once for a request that is looked at more than once, from 0 to 1; 1 leaves nothing to chance. */
  readonly die?: number | undefined
}

export interface DoorOptions {
  /** Quotas by class. */
  readonly quotas: QuotaClasses
  /** Told of each refusal, and of each that would be one. */
  readonly onRefused: (refused: RefusedRequest) => void
  readonly onProblem: (text: string) => void
}

/** Decides which requests become events: by the quota of their key, then by what their model can carry. */
export class Door {
  readonly #admission: Admission
  readonly #quotas: Quotas
  readonly #onRefused: DoorOptions['onRefused']

  constructor(connection: NatsConnection, { quotas, onRefused, onProblem }: DoorOptions) {
    this.#onRefused = onRefused
    this.#quotas = new Quotas(quotas, (name) =>
      onProblem(
        `keys have the quota class ${name}, which PELTON_GATEWAY_QUOTAS does not name: they have no quota`,
      ),
    )
    this.#admission = openAdmission(connection, {
      onRefused: ({ pool, model, lane, refused: { limit }, isEnforced }) =>
        onRefused({ pool, model, lane, limit, isEnforced }),
      onUnheard: onProblem,
    })
  }

  /**
   * Lets a request in, and counts it as an event that will be told of ({@link Door.told}).
   *
   * @throws Refusal 429 or 503 where it is not let in: then there is no event, and nothing of it is kept
   */
  admit(asking: AskingRequest): void {
    const beyond = this.#beyondQuota(asking)
    if (beyond !== undefined) throw notLetIn(beyond, this.#quotas.of(asking.caller))
    const refused = this.#admission.decide(eventOf(asking))
    if (refused !== undefined) throw notLetIn(refused)
    this.#quotas.take(asking.caller, performance.now())
  }

  /** Refuses a request that would not be let in, and counts it; undefined where it would: then nothing is counted or taken. */
  refuse(asking: AskingRequest): RefusalAnswer | undefined {
    const beyond = this.#beyondQuota(asking)
    if (beyond !== undefined) return answerNotLetIn(beyond, this.#quotas.of(asking.caller))
    const refused = this.#admission.refuse(eventOf(asking))
    return refused && answerNotLetIn(refused)
  }

  /** Whether a request would not be let in, as far as that is certain before it is known whether it makes an event. */
  wouldRefuse(asking: AskingRequest): boolean {
    const beyond = this.#quotas.look(asking.caller, performance.now())
    return (beyond ?? this.#admission.look(eventOf(asking))) !== undefined
  }

  /** What the stream made of a request that was let in. */
  told({ caller: { pool }, model }: Pick<AskingRequest, 'caller' | 'model'>, isStored: boolean): void {
    this.#admission.told({ pool, model }, isStored)
  }

  get gates(): readonly GateReading[] {
    return this.#admission.gates
  }

  close(): void {
    this.#admission.close()
  }

  /** Why a request is beyond the quota of its key; it is counted as refused then. */
  #beyondQuota({ caller, model, lane }: AskingRequest): Refused | undefined {
    const beyond = this.#quotas.look(caller, performance.now())
    if (beyond !== undefined)
      this.#onRefused({ pool: caller.pool, model, lane, limit: beyond.limit, isEnforced: true })
    return beyond
  }
}

/** Too late is too late, however long it waits: what has expired is not told to come back, but ends as any such event does. */
function eventOf({ caller: { pool }, model, lane, source, deadlineMs, die }: AskingRequest): AskingEvent {
  return { pool, model, lane, source, deadlineMs: deadlineMs === 0 ? undefined : deadlineMs, die }
}
