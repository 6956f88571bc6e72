import type { Ran } from '../../../shared/models/inference-threads.ts'
import type { ServedModel } from '../../../shared/models/repository.ts'
import { admissionModeOf } from '../../../shared/operations/models/admission-mode.ts'
import type { ModelRecord } from '../../../shared/operations/models/model-record.ts'
import {
  type Flow,
  type FlowGate,
  type OfLanes,
  ofLanes,
  sourceDigest,
} from '../../../shared/sdk/contract/flow.ts'
import { LANES, type Lane } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import type { KnownCost } from '../batch/learned.ts'
import type { Backlog } from '../intake/backlog.ts'
import type { Delivery } from '../intake/delivery.ts'
import type { HeldDeliveries } from '../intake/held.ts'
import type { Batch } from '../prepare/prepared.ts'
import { drainRows, fullBatchRows } from './drain.ts'
import { fadeLanes, ModelFlow, newLanes } from './model-flow.ts'
import { Sample } from './sample.ts'

/** What was so long ago counts for a third of what is now, milliseconds. */
const LATELY_MS = 2_000
/** A model is spoken of for so long after it ran or waited, milliseconds. */
const SPOKEN_OF_MS = 10_000
/** Sources that are named at most: a flow is one small message. */
const MOST_HEAVY = 256

/** What a worker knows beside what passes through it. */
export interface FlowFacts {
  /** Name of the worker. */
  readonly name: string
  /** What is served here. */
  readonly models: { find(name: string): ServedModel | undefined }
  /** What the pool knows of a model. */
  readonly recordOf: (model: string) => ModelRecord | undefined
  readonly isApart: (model: string) => boolean
  /** Inference threads. */
  readonly threads: number
  /** What a model costs, by its key. */
  readonly costOf: (key: string) => KnownCost
  /** Which part of its time the main thread is busy, 0 to 1. */
  readonly loopShare: () => number
  readonly backlog: Pick<Backlog, 'waitingIn'>
  readonly held: Pick<HeldDeliveries, 'toRun'>
  readonly gatesOf: (model: string) => readonly FlowGate[]
  /** A number in [0, 1). */
  readonly random: () => number
}

/** When something is said. */
export interface Saying {
  /** Of a clock that never goes back, milliseconds. */
  readonly nowMs: number
  /** Broker time, milliseconds since 1970. */
  readonly at: number
  readonly everyMs: number
}

/** What is said of a model. */
export interface Said {
  readonly model: string
  readonly flow: Flow
}

const NONE = ofLanes(() => 0)

/**
 * What there is to say of each model that runs here, or waits. Events are counted as they pass, at next to no cost each; all
 * else is looked up when something is said.
 */
export class Flows {
  readonly #facts: FlowFacts
  readonly #models = new Map<string, ModelFlow>()
  /** By the key of each version that came. */
  readonly #versions = new Map<string, ModelFlow>()
  /** What was delivered of all models, served here or not. */
  #lanes = newLanes()
  /** The one that was asked for last: mostly the next event is of the same model. */
  #last: ModelFlow | undefined
  #busyMs = 0
  #threadMs = 0
  #loopMs = 0
  #fadedAtMs = 0

  constructor(facts: FlowFacts) {
    this.#facts = facts
  }

  /** How many models there is something to say of. */
  get size(): number {
    return this.#models.size
  }

  /** Speaks of a model from now on, though nothing of it has come: doors are to know why they let nothing in. */
  speakOf(model: string, nowMs: number): void {
    if (this.#facts.gatesOf(model).length > 0) this.#of(model, nowMs)
  }

  /** Deliveries that came together. @param nowMs of a clock that never goes back, as everywhere below */
  received(deliveries: readonly Delivery[], nowMs: number): void {
    const sample = this.#sampleOf(deliveries)
    for (const delivery of deliveries) {
      const { model, lane } = delivery.event.route
      const flow = this.#of(model, nowMs)
      this.#lanes[lane].delivered++
      flow?.came(lane)
      if (!sample.takesNext()) continue
      const deadlineMs = deadlineOf(delivery)
      if (deadlineMs > 0) flow?.lanes[lane].brought(deadlineMs, sample.weight)
    }
  }

  /** Of these what they have to be run is known now. */
  read(events: Batch, nowMs: number): void {
    const sample = this.#sampleOf(events)
    let last: ServedModel | undefined
    for (const { delivery, model, rows } of events) {
      const flow = this.#of(model.name, nowMs)
      flow?.read(rows)
      if (model !== last) {
        last = model
        if (flow !== undefined) this.#versions.set(model.key, flow)
      }
      if (sample.takesNext())
        flow?.sources.came(sourceDigest(delivery.event.source), rows * sample.weight, nowMs)
    }
  }

  /** A run on a thread is over. */
  ran(run: Ran): void {
    this.#busyMs += run.runMs
    this.#count(run, 'ran')
  }

  /** A run in a process of its own is over. */
  ranApart(run: Ran): void {
    this.#count(run, 'ranApart')
  }

  #count({ key, rows, runMs }: Ran, where: 'ran' | 'ranApart'): void {
    const flow = this.#versions.get(key)
    if (flow === undefined) return
    flow[where].add(rows, runMs)
    flow.isFresh = true
  }

  /** What is said now: of each model that ran or waited lately; of one that has not any more, for the last time. */
  say(saying: Saying): readonly Said[] {
    const { nowMs } = saying
    this.#fade(nowMs)
    this.#countHeld()
    const said = [...this.#models.values()].map((model) => {
      const flow = this.#flowOf(model, saying)
      if (model.isFresh || isBusy(flow)) model.activeAtMs = nowMs
      model.isFresh = false
      const isLast = nowMs - model.activeAtMs >= SPOKEN_OF_MS
      if (isLast) this.#models.delete(model.name)
      return { model: model.name, flow: isLast ? { ...flow, waiting: NONE, held: NONE } : flow }
    })
    if (this.#models.size < said.length) this.#forget()
    return said
  }

  #sampleOf(events: readonly unknown[]): Sample {
    return new Sample(events.length, this.#facts.random())
  }

  /** Only of what is served here: names come from outside. */
  #of(model: string, nowMs: number): ModelFlow | undefined {
    if (this.#last?.name === model) return this.#last
    const flow = this.#models.get(model) ?? this.#begin(this.#facts.models.find(model), nowMs)
    if (flow !== undefined) this.#last = flow
    return flow
  }

  #begin(served: ServedModel | undefined, nowMs: number): ModelFlow | undefined {
    if (served === undefined) return undefined
    if (this.#models.size === 0) this.#reset(nowMs)
    const flow = new ModelFlow(served, nowMs)
    this.#models.set(flow.name, flow)
    return flow
  }

  /** Nobody looked at the time that passed meanwhile. */
  #reset(nowMs: number): void {
    this.#lanes = newLanes()
    this.#busyMs = 0
    this.#threadMs = 0
    this.#loopMs = 0
    this.#fadedAtMs = nowMs
  }

  /** Versions of models that are not spoken of any more, in one go: of thousands many may end together. */
  #forget(): void {
    for (const [key, { name }] of this.#versions) if (!this.#models.has(name)) this.#versions.delete(key)
    this.#last = undefined
  }

  #fade(nowMs: number): void {
    const { threads, loopShare } = this.#facts
    const passedMs = nowMs - this.#fadedAtMs
    const by = Math.exp(-passedMs / LATELY_MS)
    this.#fadedAtMs = nowMs
    this.#busyMs *= by
    this.#threadMs = (this.#threadMs + threads * passedMs) * by
    this.#loopMs = (this.#loopMs + loopShare() * passedMs) * by
    fadeLanes(this.#lanes, by)
    for (const flow of this.#models.values()) {
      flow.handed.passed(passedMs)
      flow.fade(by)
    }
  }

  #countHeld(): void {
    for (const { lanes } of this.#models.values()) for (const lane of LANES) lanes[lane].held = 0
    this.#facts.held.toRun(({ event: { route } }, rows) => {
      const flow = this.#models.get(route.model)
      if (flow !== undefined) flow.lanes[route.lane].held += rows
    })
  }

  #flowOf(flow: ModelFlow, { nowMs, at, everyMs }: Saying): Flow {
    const { name, models, recordOf, gatesOf } = this.#facts
    flow.served = models.find(flow.name) ?? flow.served
    const { lanes, served } = flow
    const { slo, admission } = served.manifest
    const drain = this.#drainOf(flow)
    return {
      ...{ by: 'worker', name, at: Math.round(at), everyMs },
      drainRows: rounded(drain, 10),
      rowsPerEvent: rounded(flow.rowsPerEvent, 1_000),
      waiting: ofLanes((lane) => Math.round(this.#waitingOf(flow, lane))),
      held: ofLanes((lane) => lanes[lane].held),
      handedRows: ofLanes((lane) => rounded(flow.handed.perSecond[lane] * flow.rowsPerEvent, 10)),
      deadlineMs: ofLanes((lane) => lanes[lane].deadlineMs || (slo.deadlineMs ?? 0)),
      ...namedOf(flow, drain, nowMs),
      mode: admissionModeOf(recordOf(flow.name), served.manifest),
      maxBacklogSeconds: admission.maxBacklogSeconds,
      gates: gatesOf(flow.name),
    }
  }

  /** Events of a lane that no worker was handed yet: of all that the share that the model had of the last ones. */
  #waitingOf(flow: ModelFlow, lane: Lane): number {
    const all = this.#lanes[lane].delivered
    if (all === 0) return 0
    return (this.#facts.backlog.waitingIn(lane) * flow.lanes[lane].delivered) / all
  }

  #drainOf({ name, served, ran, ranApart }: ModelFlow): number {
    const { isApart, threads, costOf } = this.#facts
    // In its process it has all time for itself.
    if (isApart(name)) return ranApart.busyMs > 0 ? (1_000 * ranApart.rows) / ranApart.busyMs : 0
    const passedMs = this.#threadMs / threads
    return drainRows({
      ...{ rows: ran.rows, busyMs: ran.busyMs, allBusyMs: this.#busyMs },
      ...{ threadMs: this.#threadMs, threads },
      loopShare: passedMs > 0 ? Math.min(1, this.#loopMs / passedMs) : 0,
      fullRows: fullBatchRows(costOf(served.key), served.maxBatchRows),
    })
  }
}

/** The hot one is the first of them. */
function namedOf({ sources }: ModelFlow, drain: number, nowMs: number): Pick<Flow, 'heavy' | 'hot'> {
  if (drain === 0) return { heavy: [], hot: null }
  const { heavy, hot } = sources.named(drain, nowMs)
  return { heavy: heavy.slice(0, MOST_HEAVY), hot }
}

/** How long after it was stored the event is of no use any more, milliseconds; 0 for one without a deadline, and for a copy. */
function deadlineOf({ event: { expiresAt, attempt }, info }: Delivery): number {
  if (expiresAt === undefined || attempt > 1 || info.stream !== STREAMS.features) return 0
  return expiresAt - info.storedAt
}

/** Whether something waits, is held, or closed. */
function isBusy({ waiting, held, gates }: Pick<Flow, 'waiting' | 'held' | 'gates'>): boolean {
  const isSome = (counts: OfLanes<number>): boolean => LANES.some((lane) => counts[lane] > 0)
  return gates.length > 0 || isSome(waiting) || isSome(held)
}

function rounded(value: number, parts: number): number {
  return Math.round(value * parts) / parts
}
