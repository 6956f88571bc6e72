import { hasPlace, placesOf } from '../../../shared/models/slots.ts'
import { type Batch, type Prepared, rowsOf } from '../prepare/prepared.ts'
import { ApartQueue } from './apart-queue.ts'
import { Batcher, type Moment, type Open } from './batcher.ts'
import type { BatchSize } from './group.ts'
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
  /** Broker time, milliseconds since 1970. @default that of this machine */
  readonly brokerNow?: () => number
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
  readonly size: BatchSize
  rows: number
}

/**
 * Gives every free place the next batch that is full or has waited long enough. Which one that is, of what lanes, sources and
 * deadlines there are, the batcher knows. What may not have the place that is free holds back nothing else. An event that must run alone waits until every place is free, and has them all. Events of
 * models that run apart go one by one, beside all this.
 */
export class Dispatcher {
  readonly #options: DispatcherOptions
  readonly #batcher: Batcher<Prepared>
  readonly #alone: Prepared[] = []
  readonly #apart: ApartQueue
  /** In the order they began; a few. No Set, which would keep events longer than they live: see `HeldDeliveries`. */
  readonly #running: Batch[] = []
  /** How fast rows come of each model whose cost is known, as long as it is served. */
  readonly #rates = new WeakMap<Prepared['model'], ArrivalRate>()
  /** Rows that run now of each model. */
  readonly #rowsRunning = new WeakMap<Prepared['model'], number>()
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
   * Events wait for their batches, by kind.
   *
   * @returns those of models that run apart of which enough wait already
   */
  add(batch: Batch): Batch {
    const now = this.#now()
    const tooMany: Prepared[] = []
    const came = new Map<string, Came>()
    for (const prepared of batch) {
      if (this.#options.isApart(prepared)) {
        if (!this.#apart.add(prepared)) tooMany.push(prepared)
      } else if (prepared.runsAlone) this.#alone.push(prepared)
      else this.#collect(prepared, came, now)
    }
    for (const [kind, one] of came) this.#linger(kind, one, now.nowMs)
    this.#dispatch()
    return tooMany
  }

  /** An event waits for others of its kind. */
  #collect(event: Prepared, came: Map<string, Came>, now: Moment): void {
    const { kind, rows } = event
    const one = came.get(kind) ?? this.#begin(event)
    came.set(kind, one)
    one.rows += rows
    this.#batcher.add(one.size, event, now)
  }

  #begin(event: Prepared): Came {
    return { model: event.model, size: this.#sizeOf(event), rows: 0 }
  }

  /** How large a batch of an event's kind may be now. */
  #sizeOf(event: Prepared): BatchSize {
    const { maxBatchRows } = event
    const cost = this.#options.costOf?.(event)
    return { cost, maxRows: cost === undefined ? maxBatchRows : learnedRows(cost, maxBatchRows) }
  }

  /** How long what waits of a kind waits for others, now that more of it has come. */
  #linger(kind: string, { model, size, rows: came }: Came, now: number): void {
    const { cost, maxRows } = size
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
      // How long it ran may have made its model slow, or quick again, and says how many rows a run may have.
      const [first] = batch
      if (first !== undefined) {
        this.#countRunning(first, -rowsOf(batch))
        this.#batcher.reconsider(first.kind, this.#sizeOf(first))
      }
      this.#dispatch()
    } else this.#apart.free(batch)
  }

  /** From now on nothing waits for others. */
  flush(): void {
    this.#batcher.flush()
    this.#dispatch()
  }

  /**
   * Rows of its model that run before an event which is added now: what runs, what waits in higher lanes, and what its source
   * and its deadline leave before it in its own lane. What is to run alone or apart does not count. Costs the same
   * however much waits, but for a deadline that is nearer than another of its source.
   */
  aheadRows(event: Prepared): number {
    const running = this.#rowsRunning.get(event.model) ?? 0
    return running + this.#batcher.rowsBefore(event, this.#brokerNow())
  }

  /** Takes out what waits for its run and is of a model that runs apart by now. */
  removeApart(): Batch {
    const { isApart } = this.#options
    const alone = this.#alone.filter(isApart)
    for (const event of alone) this.#alone.splice(this.#alone.indexOf(event), 1)
    return [...this.#batcher.remove(isApart), ...alone, ...this.#apart.removeAll()]
  }

  /**
   * What is full goes at once, and what is not once its time has come: at the end of a turn of the loop, with whatever the
   * turn has brought.
   *
   * @param dueBy what is due by then goes, too. @default only what is full, or has waited for a place
   */
  #dispatch(dueBy = Number.NEGATIVE_INFINITY): void {
    for (let batch = this.#next(dueBy); batch !== undefined; batch = this.#next(dueBy)) this.#start(batch)
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

  #now(): Moment {
    return { nowMs: performance.now(), brokerMs: this.#brokerNow() }
  }

  #brokerNow(): number {
    return this.#options.brokerNow?.() ?? Date.now()
  }

  #start(batch: Batch): void {
    this.#running.push(batch)
    const [first] = batch
    if (first !== undefined) this.#countRunning(first, rowsOf(batch))
    this.#options.start(batch)
  }

  #countRunning({ model }: Prepared, rows: number): void {
    this.#rowsRunning.set(model, (this.#rowsRunning.get(model) ?? 0) + rows)
  }

  #next(dueBy: number): Batch | undefined {
    if (this.#isShut()) return undefined
    if (this.#alone.length > 0) return this.#running.length === 0 ? this.#alone.splice(0, 1) : undefined
    return this.#batcher.size === 0 ? undefined : this.#batcher.take(dueBy, this.#brokerNow(), this.#open())
  }

  /** While an event runs alone nothing else begins. */
  #isShut(): boolean {
    const [first] = this.#running
    return first?.[0]?.runsAlone === true
  }

  /** Whether one more batch, urgent or patient, may have a place. */
  #open(): Open {
    const { slots, isUrgent } = this.#options
    const places = placesOf(slots, this.#running, isUrgent)
    return { urgent: hasPlace(places, true), patient: hasPlace(places, false) }
  }
}
