import { sayingEveryMs } from '../../../services/worker/flow/worker-flow.ts'
import { LaneRates } from '../../../shared/sdk/admission/lane-rates.ts'
import { SourceRates } from '../../../shared/sdk/admission/source-rates.ts'
import { type Flow, ofLanes } from '../../../shared/sdk/contract/flow.ts'
import type { Agenda } from '../engine/agenda.ts'
import type { SimEvent } from '../load/event.ts'
import type { SimWorker } from './worker.ts'

/** How workers say what they know. */
export interface FlowSetup {
  /** How often each worker of so many says something, milliseconds. */
  readonly everyMs: (workers: number) => number
  /** Part of the words that each door does not hear. */
  readonly lost: number
  /** How much longer than the way a word may take, at random, milliseconds. */
  readonly jitterMs: number
  /** Whether workers speak in turn, as evenly as they can, or each from when it began. */
  readonly isInTurn: boolean
}

export const FLOW: FlowSetup = {
  everyMs: (workers) => sayingEveryMs(workers, 1),
  ...{ lost: 0.01, jitterMs: 2, isInTurn: false },
}

const ANY = ofLanes(() => 0)
/** Who has not run anything for so long, and holds nothing, has nothing to say, milliseconds. */
const SILENT_MS = 1_000

export interface Speaker {
  /** The worker was handed an event. */
  saw(event: SimEvent): void
  start(): void
}

export interface SpeakerGround {
  readonly name: string
  readonly worker: () => SimWorker
  readonly agenda: Agenda
  readonly everyMs: number
  readonly deadlineMs: number
  /** Sends a word to all doors. */
  readonly say: (flow: Flow) => void
  /** When it speaks first, as a part of `everyMs`. */
  readonly turn: number
  readonly isOver: () => boolean
}

/** Says of a worker what it knows of its model, again and again. */
export function createSpeaker(ground: SpeakerGround): Speaker {
  const { name, worker, agenda, everyMs, deadlineMs, turn, say, isOver } = ground
  const sources = new SourceRates()
  const lanes = new LaneRates()
  let spokeAtMs = 0
  const speak = (): void => {
    if (isOver()) return
    const { drainRows, waiting, held, ranAtMs } = worker().view
    const nowMs = agenda.nowMs
    lanes.passed(nowMs - spokeAtMs)
    spokeAtMs = nowMs
    const isSilent = nowMs - ranAtMs > SILENT_MS && held.high + held.normal + held.low === 0
    if (!isSilent)
      say({
        ...{
          by: 'worker',
          name,
          at: nowMs,
          everyMs,
          drainRows,
          rowsPerEvent: 1,
          waiting,
          held,
          handedRows: lanes.perSecond,
        },
        deadlineMs: ofLanes(() => deadlineMs),
        ...sources.named(drainRows, nowMs),
        ...{ mode: 'enforce', maxBacklogSeconds: ANY, gates: [] },
      })
    agenda.in(everyMs, speak)
  }
  return {
    saw({ source, lane }) {
      sources.came(source, 1, agenda.nowMs)
      lanes.came(lane, 1)
    },
    start: () => agenda.in(turn * everyMs, speak),
  }
}
