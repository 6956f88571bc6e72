import type { NatsConnection } from '@nats-io/transport-node'
import { type Admission, type AskingEvent, openAdmission } from './admission/admission.ts'
import { type Refused, refusalError } from './admission/refused.ts'
import { WaitingRoom } from './admission/waiting-room.ts'
import { HEADERS } from './contract/headers.ts'
import { readRfc3339 } from './contract/rfc3339.ts'
import { isLane, readRoute } from './contract/subjects.ts'
import { tellRefused } from './diagnostics.ts'
import type { PeltonError } from './errors.ts'
import { checkIdentity, type EventMessage, type EventToPublish } from './event-message.ts'
import type { Receipt } from './producer.ts'
import type { ProducerSettings } from './producer-settings.ts'

/** An event that asked once. */
export interface Asked extends AskingEvent {
  /** Why it is not let in; undefined where it is. */
  readonly refused: Refused | undefined
  /** When it asked, by a clock that never goes back, milliseconds. */
  readonly atMs: number
}

/** Where the events of a producer ask to be let in. */
export interface ProducerDoor {
  /** Events that wait to be let in. */
  readonly waiting: number
  /**
   * An event asks.
   *
   * @param now milliseconds since 1970
   * @returns undefined for one that need not ask, or cannot be sent: its maker says why. @throws PeltonError `invalid-argument`
   *   for its model
   */
  ask(event: EventToPublish, now: number): Asked | undefined
  /** An event asks that was made earlier. */
  askKept(message: EventMessage, now: number): Asked | undefined
  /**
   * Waits until an event is let in that was not at first, then publishes it.
   *
   * @throws PeltonError `overloaded`, `rate-limited` where that does not come in time, and what `publish` throws
   */
  wait(asked: Asked, publish: () => Promise<Receipt>): Promise<Receipt>
  /** What became of an event that was let in: it is stored, or the stream is full. */
  told(asked: Asked | undefined, isStored: boolean): void
  /** Resolves once nothing waits, and what waited is settled. */
  idle(): Promise<void>
  /** Who waits yet is refused. */
  close(): void
}

/** The door of a producer; one that is always open where it is made without admission. */
export function createProducerDoor(connection: NatsConnection, settings: ProducerSettings): ProducerDoor {
  return settings.isAdmitting ? new AdmittingDoor(connection, settings) : OPEN
}

/** Tells that an event is refused for good, as `publish()` throws it. */
export function notLetIn({ pool, model, lane, source, atMs }: Asked, refused: Refused): PeltonError {
  const waitedMs = performance.now() - atMs
  tellRefused({ pool, model, lane, source, limit: refused.limit, waitedMs, isEnforced: true })
  return refusalError(refused)
}

const OPEN: ProducerDoor = {
  waiting: 0,
  ask: () => undefined,
  askKept: () => undefined,
  wait: (_asked, publish) => publish(),
  told: () => undefined,
  idle: async () => undefined,
  close: () => undefined,
}

/** Which part of what is left until its deadline an event may wait to be let in: it needs the rest. */
const WAIT_SHARE = 0.5

class AdmittingDoor implements ProducerDoor {
  readonly #settings: ProducerSettings
  readonly #admission: Admission
  readonly #room: WaitingRoom
  /** Publishes that wait, or did. */
  readonly #patient = new Set<Promise<Receipt>>()

  constructor(connection: NatsConnection, settings: ProducerSettings) {
    this.#settings = settings
    const { source } = settings
    this.#admission = openAdmission(connection, {
      // What is refused is told of by notLetIn(), once that is for good.
      onRefused: ({ pool, model, lane, refused, isEnforced }) => {
        if (!isEnforced)
          tellRefused({ pool, model, lane, source, limit: refused.limit, waitedMs: 0, isEnforced })
      },
    })
    const decide = (event: AskingEvent): Refused | undefined => this.#admission.decide(event)
    this.#room = new WaitingRoom({ decide, most: settings.maxBuffered })
  }

  get waiting(): number {
    return this.#room.size
  }

  ask(event: EventToPublish, now: number): Asked | undefined {
    const { model, lane = 'normal' } = event
    if (!isLane(lane)) return undefined
    checkIdentity('model', model)
    const { source, pool } = this.#settings
    return this.#ask({ pool, model, lane, source, deadlineMs: millisecondsLeft(event, now) })
  }

  askKept({ subject, headers }: EventMessage, now: number): Asked | undefined {
    const route = readRoute(subject)
    if (route === undefined) return undefined
    const expiresAt = headers.find(([name]) => name === HEADERS.expiryTime)?.[1]
    const deadlineMs = expiresAt === undefined ? undefined : millisecondsLeft({ expiresAt }, now)
    return this.#ask({ ...route, source: this.#settings.source, deadlineMs })
  }

  wait(asked: Asked, publish: () => Promise<Receipt>): Promise<Receipt> {
    const patient = this.#letIn(asked).then(publish)
    this.#patient.add(patient)
    const settled = (): void => void this.#patient.delete(patient)
    patient.then(settled, settled)
    return patient
  }

  told(asked: Asked | undefined, isStored: boolean): void {
    if (asked !== undefined) this.#admission.told(asked, isStored)
  }

  async idle(): Promise<void> {
    await Promise.allSettled(this.#patient)
  }

  close(): void {
    this.#room.close()
    this.#admission.close()
  }

  #ask(event: AskingEvent): Asked {
    const refused = this.#admission.decide(event)
    return { ...event, refused, atMs: performance.now() }
  }

  async #letIn(asked: Asked): Promise<void> {
    const { pool, model, lane, source, deadlineMs, atMs, refused } = asked
    if (refused === undefined) return
    const { admissionWaitMs } = this.#settings
    const mostMs =
      deadlineMs === undefined ? admissionWaitMs : Math.min(admissionWaitMs, WAIT_SHARE * deadlineMs)
    const deadlineAtMs = deadlineMs === undefined ? undefined : atMs + deadlineMs
    const event = { pool, model, lane, source }
    const still = await this.#room.enter({ event, deadlineAtMs, untilMs: atMs + mostMs }, refused)
    if (still !== undefined) throw notLetIn(asked, still)
  }
}

/** Until an event's deadline, by this machine's clock. @returns undefined where it has none, none that can be read, or is over */
function millisecondsLeft(
  { deadlineMs, expiresAt }: Pick<EventToPublish, 'deadlineMs' | 'expiresAt'>,
  now: number,
): number | undefined {
  const at = typeof expiresAt === 'string' ? readRfc3339(expiresAt) : expiresAt?.getTime()
  const left = deadlineMs ?? (at === undefined ? Number.NaN : at - now)
  // Too late is too late, however long it waits.
  return left > 0 ? left : undefined
}
