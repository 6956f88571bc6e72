import { hasPlace } from '../../../shared/models/slots.ts'
import { LANES, type Lane } from '../../../shared/sdk/contract/subjects.ts'
import type { Batch, Prepared } from '../prepare/prepared.ts'
import { ApartQueue } from './apart-queue.ts'
import { Batcher, type Open } from './batcher.ts'
import { ArrivalRate, type KnownCost, learnedLinger, learnedRows } from './learned.ts'

export interface DispatcherOptions {
  /** Inference threads: each has two places for batches. */
  readonly slots: number
  /** How long the first event of a batch waits for others, milliseconds. */
  readonly lingerMs: number
  /** Whether a batch that begins with this event may have a place that patient ones may not have. */
  readonly isUrgent: (first: Prepared) => boolean
  /** Whether an event's model runs apart: such events take no place of others. */
  readonly isApart: (event: Prepared) => boolean
  /** What running the model of an event costs. @default nothing is known: batches are as the manifest allows, and linger */
  readonly costOf?: (event: Prepared) => KnownCost | undefined
  /** Events that wait in their streams. @default none */
  readonly waiting?: () => number
  /** Which part of its time the main thread is busy, from 0 to 1. @default none of it */
  readonly loopShare?: () => number
  /** Whether events have come that are not added yet. @default none */
  readonly isMoreHere?: () => boolean
  /** Starts a batch. Its place is taken until it is freed. */
  readonly start: (batch: Batch) => void
}

/** Turns of the loop that a batch which is due may wait for events that are here already. */
const MOST_TURNS = 4

/** What came of a kind at once. */
interface Came {
  readonly model: Prepared['model']
  readonly cost: KnownCost | undefined
  readonly maxRows: number
  rows: number
}

/**
 * Gives every free place the next batch that is full or has waited long enough. What may not have the place that is
 * free holds back nothing else. An event that must run alone waits until every place is free, and has them all. Events of
 * models that run apart go one by one, beside all this.
 */
export class Dispatcher {
  readonly #options: DispatcherOptions
  readonly #batcher: Batcher<Prepared>
  readonly #alone: Prepared[] = []
  readonly #apart: ApartQueue
  /** In the order they began; a few. No Set, which would keep events longer than they live: see `HeldDeliveries`. */
  readonly #running: Batch[] = []
  /** Rows that wait or run, of models that do not run apart. */
  readonly #heldRows: Record<Lane, number> = { high: 0, normal: 0, low: 0 }
  /** How fast rows come of each model whose cost is known, as long as it is served. */
  readonly #rates = new WeakMap<Prepared['model'], ArrivalRate>()
  #flush = false
  #timer: NodeJS.Timeout | undefined
  #immediate: NodeJS.Immediate | undefined
  /** When it is due. */
  #wakesAt: number | undefined

  constructor(options: DispatcherOptions) {
    this.#options = options
    this.#batcher = new Batcher(options)
    this.#apart = new ApartQueue(options.start)
  }

  /** Batches that have a place now. */
  get running(): readonly Batch[] {
    return this.#running
  }

  /**
   * Events wait for their batches, by kind, in their order.
   *
   * @returns those of models that run apart of which enough wait already
   */
  add(batch: Batch): Batch {
    const now = performance.now()
    const tooMany: Prepared[] = []
    const came = new Map<string, Came>()
    for (const prepared of batch) {
      if (this.#options.isApart(prepared)) {
        if (!this.#apart.add(prepared)) tooMany.push(prepared)
        continue
      }
      this.#count([prepared], 1)
      if (prepared.runsAlone) this.#alone.push(prepared)
      else this.#collect(prepared, came, now)
    }
    for (const [kind, one] of came) this.#linger(kind, one, now)
    this.#dispatch()
    return tooMany
  }

  /** Rows that run before an event that comes now: those that wait or run of its lane, and of the ones before it. */
  aheadRows({ delivery }: Prepared): number {
    let rows = 0
    for (const lane of LANES) {
      rows += this.#heldRows[lane]
      if (lane === delivery.event.route.lane) break
    }
    return rows
  }

  #count(batch: Batch, times: 1 | -1): void {
    for (const { delivery, rows } of batch) this.#heldRows[delivery.event.route.lane] += times * rows
  }

  /** An event waits for others of its kind. */
  #collect(event: Prepared, came: Map<string, Came>, now: number): void {
    const { kind, rows } = event
    const one = came.get(kind) ?? this.#begin(event)
    came.set(kind, one)
    one.rows += rows
    this.#batcher.add(kind, one.maxRows, event, now)
  }

  #begin(event: Prepared): Came {
    const { model, maxBatchRows } = event
    const cost = this.#options.costOf?.(event)
    return {
      model,
      cost,
      maxRows: rowsBy(cost, maxBatchRows),
      rows: 0,
    }
  }

  /** How long what waits of a kind waits for others, now that more of it has come. */
  #linger(kind: string, { model, cost, maxRows, rows: came }: Came, now: number): void {
    if (cost === undefined) return
    const { lingerMs, slots, waiting, loopShare } = this.#options
    const rate = this.#rates.get(model) ?? new ArrivalRate()
    this.#rates.set(model, rate)
    const rows = this.#batcher.rowsOf(kind)
    const facts = {
      rows,
      maxRows,
      rowsPerMs: rate.came(came, now),
      isThreadFree: this.#running.length < slots,
      isBehind: (waiting?.() ?? 0) >= maxRows,
      loopShare: loopShare?.() ?? 0,
    }
    this.#batcher.linger(kind, learnedLinger(cost, facts, lingerMs))
  }

  /** The run of a batch is over: its place goes to the next one. */
  free(batch: Batch): void {
    const place = this.#running.indexOf(batch)
    if (place >= 0) {
      this.#running.splice(place, 1)
      this.#count(batch, -1)
      // How long it ran may have made its model slow, or quick again, and says how many rows a run may have.
      const [first] = batch
      if (first !== undefined) {
        const { kind, maxBatchRows } = first
        this.#batcher.reconsider(kind, rowsBy(this.#options.costOf?.(first), maxBatchRows))
      }
      this.#dispatch()
    } else this.#apart.free(batch)
  }

  /** From now on nothing waits for others. */
  flush(): void {
    this.#flush = true
    this.#dispatch()
  }

  /** Takes out what waits for its run and is of a model that runs apart by now. */
  removeApart(): Batch {
    const { isApart } = this.#options
    const alone = this.#alone.filter(isApart)
    for (const event of alone) this.#alone.splice(this.#alone.indexOf(event), 1)
    const shared = [...this.#batcher.remove(isApart), ...alone]
    this.#count(shared, -1)
    return [...shared, ...this.#apart.removeAll()]
  }

  /**
   * What is full goes at once, and what is not once its time has come: at the end of a turn of the loop, with whatever the
   * turn has brought.
   *
   * @param now what is due by then goes, too. @default only what is full, or has waited for a place
   */
  #dispatch(now = Number.NEGATIVE_INFINITY): void {
    for (let batch = this.#next(now); batch !== undefined; batch = this.#next(now)) this.#start(batch)
    const mayWake = !this.#isShut() && this.#alone.length === 0
    this.#wakeAt(mayWake ? this.#batcher.nextDueAt(this.#open()) : undefined)
  }

  #wakeAt(dueAt: number | undefined): void {
    if (dueAt === this.#wakesAt) return
    clearTimeout(this.#timer)
    clearImmediate(this.#immediate)
    this.#wakesAt = dueAt
    if (dueAt === undefined) return
    const restMs = dueAt - performance.now()
    if (restMs <= 0) this.#wakeSoon(MOST_TURNS)
    else this.#timer = setTimeout(() => this.#wakeSoon(MOST_TURNS), restMs)
  }

  /** Timers come before what has arrived meanwhile: a batch is not to leave without what is here already. */
  #wakeSoon(turns: number): void {
    this.#immediate = setImmediate(() => {
      if (turns > 1 && this.#options.isMoreHere?.() === true) return this.#wakeSoon(turns - 1)
      this.#wakesAt = undefined
      this.#dispatch(performance.now())
    })
  }

  #start(batch: Batch): void {
    this.#running.push(batch)
    this.#options.start(batch)
  }

  #next(now: number): Batch | undefined {
    if (this.#isShut()) return undefined
    if (this.#alone.length > 0) return this.#running.length === 0 ? this.#alone.splice(0, 1) : undefined
    return this.#batcher.size === 0 ? undefined : this.#batcher.take(now, this.#flush, this.#open())
  }

  /** While an event runs alone nothing else begins. */
  #isShut(): boolean {
    const [first] = this.#running
    return first?.[0]?.runsAlone === true
  }

  /** Whether one more batch, urgent or patient, may have a place. */
  #open(): Open {
    const { slots, isUrgent } = this.#options
    let urgent = 0
    for (const [runs] of this.#running) if (runs !== undefined && isUrgent(runs)) urgent++
    const places = { slots, urgent, patient: this.#running.length - urgent }
    return { urgent: hasPlace(places, true), patient: hasPlace(places, false) }
  }
}

function rowsBy(cost: KnownCost | undefined, maxRows: number): number {
  return cost === undefined ? maxRows : learnedRows(cost, maxRows)
}
