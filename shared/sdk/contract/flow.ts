import { isJsonObject } from './json.ts'
import { isLane, LANES, type Lane } from './subjects.ts'

/** What doors do with events that they should refuse. */
export const ADMISSION_MODES = ['off', 'observe', 'enforce'] as const
/** `off`: nothing is looked at; `observe`: what would be refused is counted, and let in; `enforce`: it is refused. */
export type AdmissionMode = (typeof ADMISSION_MODES)[number]

/** One for each lane. */
export type OfLanes<Each> = Readonly<Record<Lane, Each>>

/** Makes one for each lane, from the highest on. */
export function ofLanes<Each>(make: (lane: Lane) => Each): OfLanes<Each> {
  return { high: make('high'), normal: make('normal'), low: make('low') }
}

/** Rows that each lane has in a round of a worker, where all of them wait. */
export const LANE_ROWS: OfLanes<number> = { high: 8, normal: 3, low: 1 }

/** Why no events are let in, or none of some lanes, whatever the backlog is. */
export interface FlowGate {
  /** The limit, as an operator finds it: `FEATURES.max_msgs`, `DEADLETTERS.max_bytes`, `breaker`. */
  readonly limit: string
  /** Lanes whose events are refused. */
  readonly lanes: readonly Lane[]
  /** From where on they are, and what was measured, in the unit of the limit. */
  readonly value: number
  readonly measured: number
  /** When it may be over, milliseconds from when this was said; 0 where nobody can tell. */
  readonly retryAfterMs: number
  /** For people, in a sentence; where the name of the limit says too little. */
  readonly because?: string
}

/**
 * What a process of a pool says of one model on `pelton.flow.<pool>.<model>`, several times a second while the model runs or
 * events wait for it. A word of core NATS: who does not hear it misses nothing but the next one.
 */
export interface Flow {
  /** Who says it: a worker of what it runs; a control service of what waits and of gates, and for a pool without workers. */
  readonly by: 'worker' | 'control'
  readonly name: string
  /** Broker time, milliseconds since 1970. */
  readonly at: number
  /** The next one comes within this time, milliseconds, or there is nothing more to say. */
  readonly everyMs: number
  /**
   * Rows a second this worker runs of the model while its threads are busy with it, times its threads, times the part of
   * their busy time that they have for this model. 0 where that is not known: nothing has run yet, or control speaks.
   */
  readonly drainRows: number
  /** Rows that an event has, on average. */
  readonly rowsPerEvent: number
  /** Events of the model that no worker of the pool was handed yet, as far as the sender knows. */
  readonly waiting: OfLanes<number>
  /** Rows of the model that the sender holds and has not run. */
  readonly held: OfLanes<number>
  /** Rows of the model that the sender was handed lately, a second. */
  readonly handedRows: OfLanes<number>
  /** The shortest deadlines that events of a lane brought lately, milliseconds from being published; 0 for none. */
  readonly deadlineMs: OfLanes<number>
  /** Digests of the sources that had more than their max-min share lately ({@link sourceDigest}). */
  readonly heavy: readonly string[]
  /** That of the one among them that had more than half of all; null where there is none. */
  readonly hot?: string | null
  readonly mode: AdmissionMode
  /** How much backlog events without a deadline may find, seconds; 0 for any. */
  readonly maxBacklogSeconds: OfLanes<number>
  readonly gates: readonly FlowGate[]
}

const VERSION = 1
const utf8 = new TextEncoder()
const text = new TextDecoder()
/** A heavier flow is none of Pelton's. */
const MOST_BYTES = 16 * 1024

/** A flow as bytes: JSON. */
export function encodeFlow(flow: Flow): Uint8Array {
  return utf8.encode(JSON.stringify({ v: VERSION, ...flow }))
}

/** Reads a flow. @returns `undefined` for what is none, or is of another version: it is as good as not heard */
export function decodeFlow(bytes: Uint8Array): Flow | undefined {
  if (bytes.length > MOST_BYTES) return undefined
  try {
    const read: unknown = JSON.parse(text.decode(bytes))
    return isFlow(read) ? read : undefined
  } catch {
    return undefined
  }
}

function isFlow(read: unknown): read is Flow {
  if (!isJsonObject(read) || read.v !== VERSION) return false
  const { by, name, at, everyMs, drainRows, rowsPerEvent, heavy, hot, mode, gates } = read
  return (
    (by === 'worker' || by === 'control') &&
    typeof name === 'string' &&
    [at, everyMs, drainRows, rowsPerEvent].every(isAmount) &&
    [read.waiting, read.held, read.handedRows, read.deadlineMs, read.maxBacklogSeconds].every(isOfLanes) &&
    Array.isArray(heavy) &&
    heavy.every((each) => typeof each === 'string') &&
    (hot === undefined || hot === null || typeof hot === 'string') &&
    ADMISSION_MODES.some((each) => each === mode) &&
    Array.isArray(gates) &&
    gates.every(isGate)
  )
}

function isGate(read: unknown): boolean {
  if (!isJsonObject(read)) return false
  const { limit, lanes, value, measured, retryAfterMs, because } = read
  return (
    typeof limit === 'string' &&
    Array.isArray(lanes) &&
    lanes.every(isLane) &&
    [value, measured, retryAfterMs].every(isAmount) &&
    (because === undefined || typeof because === 'string')
  )
}

function isOfLanes(read: unknown): boolean {
  return isJsonObject(read) && LANES.every((lane) => isAmount(read[lane]))
}

/** Nothing that is counted or measured is below 0. */
function isAmount(read: unknown): read is number {
  return typeof read === 'number' && Number.isFinite(read) && read >= 0
}

/**
 * A source in eight characters: who it is is nobody else's business. FNV-1a of 32 bits over its UTF-16 code units (Fowler,
 * Noll, Vo); two sources that fall together share what one would have.
 */
export function sourceDigest(source: string): string {
  let hash = 0x811c9dc5
  for (let at = 0; at < source.length; at++) hash = Math.imul(hash ^ source.charCodeAt(at), 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, '0')
}
