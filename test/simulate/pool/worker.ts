import { costOf } from '../../../shared/models/batch-cost.ts'
import { type OfLanes, ofLanes } from '../../../shared/sdk/contract/flow.ts'
import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import type { Agenda } from '../engine/agenda.ts'
import type { SimEvent } from '../load/event.ts'
import type { Ending } from './order.ts'
import { type PoolSetup, roomOf } from './pool-setup.ts'
import type { Puller, Stream } from './stream.ts'

/** What is told of each event that a worker was handed. */
export interface Outcomes {
  predicted(event: SimEvent): void
  ended(event: SimEvent, ending: Ending): void
}

export interface WorkerGround {
  readonly setup: PoolSetup
  readonly agenda: Agenda
  readonly stream: Stream
  readonly outcomes: Outcomes
  /** How many times as much the model costs now. */
  readonly slowness: () => number
  /** Told of each event that arrives. */
  readonly onHanded?: (event: SimEvent) => void
}

/** What a worker knows of its model. */
export interface WorkerView {
  /** Rows a second while it is busy; 0 before it ran any. */
  readonly drainRows: number
  /** What waited when it was last handed something. */
  readonly waiting: OfLanes<number>
  readonly held: OfLanes<number>
  /** When a run of it ended last, milliseconds. */
  readonly ranAtMs: number
}

export interface SimWorker {
  /** Begins to pull. */
  start(): void
  readonly view: WorkerView
}

/** How fast what was measured of runs fades: to a half, milliseconds. */
const HALF_LIFE_MS = 500
const NONE = ofLanes(() => 0)

/** A worker with one thread: it pulls what it has room for, and runs it batch by batch. */
export function createWorker(ground: WorkerGround): SimWorker {
  const { setup, agenda, stream, outcomes, slowness, onHanded } = ground
  const order = setup.order()
  const drain = createDrain()
  let open = 0
  let held: SimEvent[] = []
  let waiting = NONE
  let isBusy = false
  let ranAtMs = Number.NEGATIVE_INFINITY
  const costMs = (rows: number): number => costOf(setup.cost, rows) * slowness()

  const puller: Puller = {
    wants: (of) => order.pull(open, of),
    handed(events, left) {
      open -= events.length
      agenda.in(setup.wayMs, () => {
        waiting = left
        for (const event of events) {
          held.push(event)
          onHanded?.(event)
        }
        begin()
      })
    },
    get isOpen() {
      return open > 0
    },
  }

  function pull(rows: number): void {
    agenda.in(setup.wayMs, () => {
      open += rows
      stream.pull(puller)
    })
  }

  function begin(): void {
    if (isBusy || held.length === 0) return
    const { run, end, rest } = order.choose(held, { nowMs: agenda.nowMs, mostRows: setup.mostRows })
    held = rest
    if (run.length + end.length === 0) return
    isBusy = true
    for (const { event, ending } of end) outcomes.ended(event, ending)
    const runMs = run.length === 0 ? 0 : costMs(run.length)
    const endMs = end.length * setup.endShare * setup.cost.perRowMs * slowness()
    agenda.in(endMs + runMs, () => {
      isBusy = false
      for (const event of run) outcomes.predicted(event)
      if (run.length > 0) {
        ranAtMs = agenda.nowMs
        drain.add(run.length, runMs)
      }
      pull(run.length + end.length)
      begin()
    })
  }

  return {
    start: () => pull(roomOf(setup)),
    get view() {
      const drainRows = drain.perSecond
      return { drainRows, waiting, held: countByLane(held), ranAtMs }
    },
  }
}

function countByLane(events: readonly SimEvent[]): OfLanes<number> {
  const counts: Record<Lane, number> = { ...NONE }
  for (const { lane } of events) counts[lane]++
  return ofLanes((lane) => counts[lane])
}

/** Rows a second of busy time; what was measured long ago counts less. */
function createDrain(): { add(rows: number, ms: number): void; readonly perSecond: number } {
  let allRows = 0
  let allMs = 0
  return {
    add(rows, ms) {
      const fade = 0.5 ** (ms / HALF_LIFE_MS)
      allRows = allRows * fade + rows
      allMs = allMs * fade + ms
    },
    get perSecond() {
      return allMs === 0 ? 0 : (1_000 * allRows) / allMs
    },
  }
}
