import { type AdmissionMode, type Flow, type FlowGate, type OfLanes, ofLanes } from '../contract/flow.ts'
import type { Lane } from '../contract/subjects.ts'

/** A flow is heard so many times its own interval, and a second at least: one word may get lost. */
const HEARD_TIMES = 3
const HEARD_MS = 1_000
/** All workers of a pool together say a word of a model so often, milliseconds: the first ones stand for those yet to speak. */
const BETWEEN_WORDS_MS = 50
/** Workers that each speak as often as this have all been heard soon, milliseconds. */
const SOON_MS = 100

interface Heard {
  readonly flow: Flow
  /** By a clock that never goes back, milliseconds. */
  readonly atMs: number
}

/** A gate that says why in any case. */
export type SaidGate = FlowGate & Required<Pick<FlowGate, 'because'>>

/** What the pool says of a model, all its processes together. */
export interface PoolFlow {
  /** Rows a second, of all workers; 0 where nobody knows. */
  readonly drainRows: number
  /** Whether any worker was heard: else nobody is there to run anything. */
  readonly hasWorkers: boolean
  readonly rowsPerEvent: number
  /** Rows of a lane and of those above it that are ahead of one more, as of when it was heard. */
  readonly aheadRows: OfLanes<number>
  /** Rows a second that workers are handed. */
  readonly handedRows: OfLanes<number>
  readonly deadlineMs: OfLanes<number>
  readonly maxBacklogSeconds: OfLanes<number>
  readonly heavy: ReadonlySet<string>
  readonly hot: ReadonlySet<string>
  readonly mode: AdmissionMode
  readonly gates: readonly SaidGate[]
  /** When the word was heard that says what waits. */
  readonly atMs: number
}

/** What was heard of one model. */
export class HeardFlow {
  readonly #heard = new Map<string, Heard>()
  #pool: PoolFlow | undefined
  /** Until then what was put together stays so. */
  #until = Number.NEGATIVE_INFINITY
  /** When a worker was heard after none had been. */
  #sinceMs = Number.NEGATIVE_INFINITY

  /** @param nowMs of a clock that never goes back */
  hear(flow: Flow, nowMs: number): void {
    if (flow.by === 'worker' && !this.#hearsWorkers(nowMs)) this.#sinceMs = nowMs
    this.#heard.set(`${flow.by} ${flow.name}`, { flow, atMs: nowMs })
    this.#until = Number.NEGATIVE_INFINITY
  }

  /** What the pool says now; undefined where nobody was heard lately. */
  at(nowMs: number): PoolFlow | undefined {
    if (nowMs < this.#until) return this.#pool
    let until = Number.POSITIVE_INFINITY
    for (const [key, { flow, atMs }] of this.#heard) {
      const end = atMs + Math.max(HEARD_MS, HEARD_TIMES * flow.everyMs)
      if (end <= nowMs) this.#heard.delete(key)
      else until = Math.min(until, end)
    }
    this.#until = until
    this.#pool = poolFlow([...this.#heard.values()], nowMs - this.#sinceMs)
    return this.#pool
  }

  #hearsWorkers(nowMs: number): boolean {
    if (this.at(nowMs) === undefined) return false
    for (const { flow } of this.#heard.values()) if (flow.by === 'worker') return true
    return false
  }
}

/**
 * All that was heard, put together. Pure.
 *
 * @param forMs how long workers have been heard
 * @returns `undefined` of nothing
 */
function poolFlow(heard: readonly Heard[], forMs: number): PoolFlow | undefined {
  // Each worker knows what waits for all of them, and the last one knows best; whoever else speaks may count what is held as well.
  const ofWorkers = heard.filter(({ flow }) => flow.by === 'worker')
  const newest = latest(ofWorkers) ?? latest(heard)
  if (newest === undefined) return undefined
  const { flow: last, atMs } = newest
  const flows = heard.map(flowIn)
  const workers = ofWorkers.map(flowIn)
  // A worker of a large fleet speaks rarely: until all have had the time for it, who was heard counts for who was not (Horvitz
  // and Thompson 1952).
  const heardMs = Math.max(SOON_MS, forMs + BETWEEN_WORDS_MS)
  const ofAll = (read: (flow: Flow) => number): number =>
    sumOf(workers, (flow) => read(flow) * Math.max(1, flow.everyMs / heardMs))
  const drainRows = ofAll((flow) => flow.drainRows)
  // And what the others hold is what they held then: they are taken to hold as much for what they can do as who speaks.
  const held = (lane: Lane): number =>
    last.drainRows > 0
      ? (drainRows * last.held[lane]) / last.drainRows
      : sumOf(workers, (flow) => flow.held[lane])
  const { rowsPerEvent, maxBacklogSeconds, mode } = last
  let rows = 0
  const aheadRows = ofLanes((lane) => (rows += last.waiting[lane] * rowsPerEvent + held(lane)))
  return {
    drainRows,
    hasWorkers: workers.length > 0,
    rowsPerEvent,
    aheadRows,
    handedRows: ofLanes((lane) => ofAll((flow) => flow.handedRows[lane])),
    deadlineMs: ofLanes((lane) => leastOf(flows.map(({ deadlineMs }) => deadlineMs[lane]))),
    maxBacklogSeconds,
    heavy: new Set(workers.flatMap(({ heavy }) => heavy)),
    hot: new Set(workers.flatMap(({ hot }) => hot ?? [])),
    mode,
    gates: flows.flatMap(({ gates }) => gates.map(saidGate)),
    atMs,
  }
}

/** Once for each word: of what it refuses there may be thousands a second. */
function saidGate(gate: FlowGate): SaidGate {
  return { ...gate, because: gate.because ?? `${gate.limit} is as full as it may be` }
}

function flowIn({ flow }: Heard): Flow {
  return flow
}

function latest(heard: readonly Heard[]): Heard | undefined {
  const [first, ...others] = heard
  return first && others.reduce((best, each) => (each.atMs >= best.atMs ? each : best), first)
}

function sumOf(flows: readonly Flow[], read: (flow: Flow) => number): number {
  return flows.reduce((sum, flow) => sum + read(flow), 0)
}

/** The least of those that are not 0; 0 of none. */
function leastOf(numbers: readonly number[]): number {
  return numbers.reduce((least, each) => (each > 0 && (least === 0 || each < least) ? each : least), 0)
}
