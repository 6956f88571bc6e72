import type { ServedModel } from '../../../shared/models/repository.ts'
import { placesOf, threadsFor } from '../../../shared/models/slots.ts'
import { showDuration } from '../../../shared/runtime/quantities.ts'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { plainFailure } from '../../../shared/sdk/contract/outcome.ts'
import { type KnownCost, learnedRows } from '../batch/learned.ts'
import type { Delivery } from '../intake/delivery.ts'
import { type Batch, isConcluded, type Passed, type Prepared, rowsOf } from '../prepare/prepared.ts'
import type { Concluded, Predicted, ShedCause } from '../settle/outcome.ts'
import { Codel } from './codel.ts'
import { type MissFacts, type PredictedMiss, predictMiss } from './predict-miss.ts'
import { SettleTime } from './settle-time.ts'

export interface SheddingDeps {
  /** Rows that run before an event, of what is held. */
  readonly aheadRows: (event: Prepared) => number
  /** Batches that have a place, in the order they began. */
  readonly running: () => readonly Batch[]
  /** What a run of the event's model costs; nothing while that is not known. */
  readonly costOf: (event: Prepared) => KnownCost
  /** Whether an event may have any thread. */
  readonly isUrgent: (event: Prepared) => boolean
  /** Whether an event takes no thread of others. */
  readonly isApart: (event: Prepared) => boolean
  /** Whether nothing of an event's model is given up early: its admission is off. */
  readonly isOff: (event: Prepared) => boolean
  /** Inference threads. */
  readonly threads: number
  /** Whether dead letters of events that could still run may be made: DEADLETTERS has room. */
  readonly hasRoom: () => boolean
}

/** An event that has a deadline, and how it came. */
interface Expiring extends Prepared {
  readonly delivery: Delivery & { readonly event: { readonly expiresAt: number } }
}

/** Part of its deadline that an event of lane `low` may have waited: the doors let in what waits half as long. */
const TARGET_SHARE = 0.4
/** Runs that end so close together are one, milliseconds. */
const SAME_MS = 0.01
/** The least target, milliseconds: that of Facebook. */
const LEAST_TARGET_MS = 5

/**
 * Gives events up that would not be predicted in time, before anything is spent on them. Only those that have a deadline, and
 * no replays. Those that have passed their deadline end elsewhere (`prepare/deadline.ts`), whatever is decided here.
 */
export class Shedding {
  readonly #deps: SheddingDeps
  readonly #codels = new WeakMap<ServedModel, Codel>()
  readonly #settling = new SettleTime()
  /** When the run ended whose predictions were stored last. */
  #endedAt = 0

  constructor(deps: SheddingDeps) {
    this.#deps = deps
  }

  /**
   * Events that are about to wait for their batches, in their order.
   *
   * @param now broker time, milliseconds since 1970
   * @param add lets some of them wait: from then on their rows are ahead of others
   * @returns those that are given up
   */
  admit(batch: Batch, now: number, add: (some: Batch) => void): readonly Concluded[] {
    if (!batch.some((event) => this.#maySee(event)) || !this.#deps.hasRoom()) {
      add(batch)
      return []
    }
    const threads = this.#threads()
    const look = (event: Prepared, rowsToAdd: number): Concluded | undefined => {
      if (!this.#maySee(event)) return undefined
      const aheadRows = this.#deps.aheadRows(event) + rowsToAdd
      return this.#predict(event, aheadRows, event.rows, threads.of(event), now)
    }
    return admitInParts(batch, look, add)
  }

  /**
   * The events of a batch that has its place: the last look before its run.
   *
   * @param begun the whole batch, as it was begun
   * @param passed what of it is not concluded yet, and the rest
   * @param now broker time, milliseconds since 1970
   */
  beforeRun(begun: Batch, passed: Passed, now: number): Passed {
    if (!passed.some((event) => !isConcluded(event) && this.#maySee(event))) return passed
    const aheadRows = this.#aheadOf(begun)
    const mayShed = this.#deps.hasRoom() && aheadRows > 0
    const runRows = rowsOf(passed.filter((event): event is Prepared => !isConcluded(event)))
    const threads = this.#threads()
    return passed.map((event) => {
      if (isConcluded(event) || !this.#maySee(event)) return event
      // It learns from every event, also where none is to be given up.
      const stands = this.#stands(event, now)
      if (!mayShed) return event
      return this.#predict(event, aheadRows, runRows, threads.of(event), now) ?? stands ?? event
    })
  }

  /**
   * A prediction is stored: the first of each run tells how long that takes.
   *
   * @param now broker time, milliseconds since 1970
   */
  stored({ delivery, outcome }: Predicted, now: number): void {
    const { queueMs, inferenceMs } = outcome.facts
    const endedAt = delivery.info.storedAt + queueMs + inferenceMs
    // Of one run but for what adding up makes of it.
    if (Math.abs(endedAt - this.#endedAt) < SAME_MS) return
    this.#endedAt = endedAt
    this.#settling.took(Math.max(0, now - endedAt))
  }

  /** Whether an event may be given up at all. */
  #maySee(event: Prepared): event is Expiring {
    const { expiresAt, supersedes, headers } = event.delivery.event
    if (expiresAt === undefined || supersedes !== 0) return false
    if (this.#deps.isApart(event) || this.#deps.isOff(event)) return false
    return readHeader(headers, HEADERS.replay) === undefined
  }

  /** @param now broker time, milliseconds since 1970; the others as in {@link MissFacts} */
  #predict(
    event: Expiring,
    aheadRows: number,
    runRows: number,
    threads: number,
    now: number,
  ): Concluded | undefined {
    const cost = this.#deps.costOf(event)
    const leftMs = event.delivery.event.expiresAt - now
    const batchRows = learnedRows(cost, event.maxBatchRows)
    const settleMs = this.#settling.ms
    const miss = predictMiss({ aheadRows, runRows, batchRows, cost, threads, settleMs, leftMs })
    return miss && giveUp(event, 'predicted', missText(miss, aheadRows))
  }

  /** For lane `low` alone: others are held to nothing but their deadlines. */
  #stands(event: Expiring, now: number): Concluded | undefined {
    const { delivery, model } = event
    const { route, expiresAt } = delivery.event
    if (route.lane !== 'low') return undefined
    const codel = this.#codels.get(model) ?? new Codel()
    this.#codels.set(model, codel)
    const { storedAt } = delivery.info
    const hadMs = expiresAt - storedAt
    const waitedMs = now - storedAt
    if (!codel.isToGo(waitedMs / Math.max(LEAST_TARGET_MS, TARGET_SHARE * hadMs), now)) return undefined
    return giveUp(event, 'codel', standsText(waitedMs, hadMs))
  }

  /** Rows of batches that began before this one, and take the threads it takes. */
  #aheadOf(begun: Batch): number {
    const [first] = begun
    if (first === undefined) return 0
    const isUrgent = this.#deps.isUrgent(first)
    let rows = 0
    for (const batch of this.#deps.running()) {
      if (batch === begun) break
      if (batch[0] !== undefined && this.#deps.isUrgent(batch[0]) === isUrgent) rows += rowsOf(batch)
    }
    return rows
  }

  /** How many threads work on what is ahead of an event, as it is now. */
  #threads(): { of(event: Prepared): number } {
    const { threads, isUrgent, running } = this.#deps
    const { urgent, patient } = threadsFor(placesOf(threads, running(), isUrgent))
    return { of: (event) => (isUrgent(event) ? urgent : patient) }
  }
}

/**
 * Adds events in as few parts as there can be. No more rows of a part run before an event than it has: only where that would be
 * too many are those before it added, so that what is ahead is known.
 *
 * @param look says whether an event is given up, with so many rows more ahead of it than are added
 */
function admitInParts(
  batch: Batch,
  look: (event: Prepared, rowsToAdd: number) => Concluded | undefined,
  add: (some: Batch) => void,
): readonly Concluded[] {
  const givenUp: Concluded[] = []
  let part: Prepared[] = []
  let partRows = 0
  for (const event of batch) {
    let ended = look(event, partRows)
    if (ended !== undefined && part.length > 0) {
      add(part)
      part = []
      partRows = 0
      ended = look(event, 0)
    }
    if (ended === undefined) {
      part.push(event)
      partRows += event.rows
    } else givenUp.push(ended)
  }
  if (part.length > 0) add(part)
  return givenUp
}

function missText({ waitMs, runMs, leftMs }: PredictedMiss, aheadRows: number): string {
  const ahead = `the ${aheadRows} rows ahead of it take ${showDuration(waitMs)} and its run ${showDuration(runMs)}`
  return `${ahead}, and its deadline is ${showDuration(leftMs)} away`
}

function standsText(waitedMs: number, hadMs: number): string {
  return `it has waited ${showDuration(waitedMs)} of the ${showDuration(hadMs)} it had, in a lane that nothing leaves sooner`
}

const REMEDY = 'Replay it, which drops its deadline; or send less, or give events more time.'

function giveUp({ delivery, model }: Expiring, shed: ShedCause, why: string): Concluded {
  const failure = plainFailure({
    reason: 'shed',
    stage: 'batch',
    description: `it was given up before its deadline: ${why}`,
    details: {
      field: HEADERS.expiryTime,
      value: new Date(delivery.event.expiresAt).toISOString(),
      remedy: REMEDY,
    },
  })
  return { delivery, outcome: { kind: 'dead-lettered', failure, modelVersion: model.version, shed } }
}
