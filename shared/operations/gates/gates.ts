import type { FlowGate } from '../../sdk/contract/flow.ts'
import { isLane, LANES, type Lane } from '../../sdk/contract/subjects.ts'
import { STOPS_AT, STREAMS } from '../../sdk/contract/topology.ts'
import type { DoorFacts, StreamUse } from './door-facts.ts'

/** A bound of a stream as a gate of the doors: open, or shut for some lanes. */
export interface Gate extends FlowGate {
  readonly because: string
  /** The bound itself, in its unit; `value` is the part of it from which on the gate shuts. */
  readonly bound: number
  /** From where on it is shut now: less than `value` while it is, so that it does not flicker. */
  readonly from: number
  readonly isShut: boolean
}

/** How the gates stand. */
export interface Gates {
  /** Those that hold for every model. */
  readonly common: readonly Gate[]
  /** Those of one model's lanes that are shut, by the subject its events have in FEATURES. */
  readonly own: ReadonlyMap<string, Gate>
  /** The fullest of these, for each lane that has one, shut or not. */
  readonly fullest: readonly Gate[]
}

/** Before the first look. */
export const NO_GATES: Gates = { common: [], own: new Map(), fullest: [] }

/** A gate that is shut opens below this part of what shuts it. */
const OPENS_AT = 0.95
/** Of a bound of DEADLETTERS; at the bound itself workers would stop. */
const DEAD_LETTERS_AT = 0.8
/** Later nobody is asked to come back, milliseconds: until then much may have changed. */
const LATEST_MS = 60_000

/** A bound, and when it shuts a gate. */
interface Rule {
  readonly limit: string
  readonly lanes: readonly Lane[]
  readonly bound: number
  readonly measured: number
  /** The part of the bound from which on it is shut. */
  readonly share: number
  readonly because: string
  /** When no more than `least` is measured, milliseconds; Infinity where nobody can tell. */
  readonly fallsTo: (least: number) => number
}

/**
 * How the gates of the doors stand. FEATURES shuts `low` at 60 % and `normal` at 85 % of each of its bounds, and never `high`:
 * for that it is itself the wall. DEADLETTERS shuts all at 80 %, and RESULTS where it drops outcomes before the time that they are
 * promised for. What is shut opens 5 % below. Pure.
 *
 * @param before how they stood at the look before
 * @param drained events that leave FEATURES a second
 */
export function judgeGates(facts: DoorFacts, before: Gates = NO_GATES, drained = 0): Gates {
  const wereShut = new Set(before.common.filter(({ isShut }) => isShut).map(gateKey))
  const common = [...featuresRules(facts, drained), ...deadLetterRules(facts), ...resultRules(facts)]
    .filter(({ bound }) => Number.isFinite(bound))
    .map((rule) => gateOf(rule, wereShut.has(gateKey(rule))))
  return { common, ...subjectGates(facts, before.own, drained) }
}

/** The gate as doors are told of it. */
export function flowGate({ limit, lanes, value, measured, retryAfterMs, because }: Gate): FlowGate {
  return { limit, lanes, value, measured, retryAfterMs, because }
}

/**
 * Events that left FEATURES between two looks, a second: those that came are told by its sequences.
 *
 * @returns 0 for a stream that was made anew, and before there were two looks
 */
export function drainedBetween(earlier: DoorFacts | undefined, later: DoorFacts): number {
  if (earlier === undefined || earlier.epoch !== later.epoch || later.at <= earlier.at) return 0
  const came = later.lastSequence - earlier.lastSequence
  const left = came - (later.features.messages - earlier.features.messages)
  return (1_000 * Math.max(0, left)) / (later.at - earlier.at)
}

function gateOf({ share, fallsTo, ...rule }: Rule, wasShut: boolean): Gate {
  const value = rule.bound * share
  const from = wasShut ? value * OPENS_AT : value
  const isShut = rule.measured >= from
  const opensMs = isShut ? fallsTo(value * OPENS_AT) : 0
  const retryAfterMs = Number.isFinite(opensMs) ? Math.min(LATEST_MS, Math.max(0, Math.round(opensMs))) : 0
  return { ...rule, value, from, isShut, retryAfterMs }
}

/** Which of the gates it is, from one look to the next. */
export function gateKey({ limit, lanes }: Pick<Gate, 'limit' | 'lanes'>): string {
  return `${limit} ${lanes.join(' ')}`
}

function boundsOf({ messages, bytes, maxMessages, maxBytes }: StreamUse) {
  return [
    { name: 'max_msgs', bound: maxMessages, measured: messages },
    { name: 'max_bytes', bound: maxBytes, measured: bytes },
  ] as const
}

/** `normal` before `low`: who is refused for both is told the larger. */
const STOPPED = Object.entries(STOPS_AT) as readonly (readonly ['normal' | 'low', number])[]

function featuresRules(facts: DoorFacts, drained: number): readonly Rule[] {
  return boundsOf(facts.features).flatMap((bound) =>
    STOPPED.map(([lane, share]) => featuresRule({ ...bound, lane, share }, facts, drained)),
  )
}

interface LaneBound {
  readonly name: string
  readonly lane: Lane
  readonly share: number
  readonly bound: number
  readonly measured: number
}

function featuresRule(
  { name, lane, share, bound, measured }: LaneBound,
  { features: { messages } }: DoorFacts,
  drained: number,
): Rule {
  return {
    ...{ limit: `${STREAMS.features}.${name}`, lanes: [lane], bound, measured, share },
    because: `${STREAMS.features} has come to the part of its ${name} that lane ${lane} may fill`,
    // As if all of it shrank alike.
    fallsTo: (least) => 1_000 * (1 - least / measured) * (messages / drained),
  }
}

function subjectGates(
  facts: DoorFacts,
  before: Gates['own'],
  drained: number,
): Pick<Gates, 'own' | 'fullest'> {
  const bound = facts.maxPerSubject
  const own = new Map<string, Gate>()
  const fullest = new Map<Lane, Gate>()
  if (!Number.isFinite(bound)) return { own, fullest: [] }
  for (const [subject, measured] of facts.counts) {
    const lane = subject.slice(subject.lastIndexOf('.') + 1)
    if (!isLane(lane) || lane === 'high') continue
    const rule = { name: 'max_msgs_per_subject', lane, share: STOPS_AT[lane], bound, measured }
    const gate = gateOf(featuresRule(rule, facts, drained), before.has(subject))
    if (gate.isShut) own.set(subject, gate)
    if (measured > (fullest.get(lane)?.measured ?? 0)) fullest.set(lane, gate)
  }
  return { own, fullest: [...fullest.values()] }
}

function deadLetterRules({ deadLetters }: DoorFacts): readonly Rule[] {
  return boundsOf(deadLetters).map(({ name, ...bound }) => ({
    ...{ limit: `${STREAMS.deadLetters}.${name}`, lanes: LANES, share: DEAD_LETTERS_AT, ...bound },
    because:
      'there is little room left for dead letters: replay or discard those there are, or raise the bound',
    fallsTo: () => Number.POSITIVE_INFINITY,
  }))
}

/**
 * What counts against a bound of RESULTS that is reached is what it would take to keep outcomes for as long as is promised, at the
 * rate at which they came: more than the bound means that they leave early.
 */
function resultRules({ results, promisedMs }: DoorFacts): readonly Rule[] {
  const { oldestMs, isFull, isFullOfBytes } = results
  const short = promisedMs / Math.max(1, oldestMs)
  const reached = { max_msgs: isFull && !isFullOfBytes, max_bytes: isFullOfBytes }
  return boundsOf(results).map(({ name, bound, measured }) => ({
    ...{ limit: `${STREAMS.results}.${name}`, lanes: LANES, bound, share: 1 },
    measured: reached[name] ? Math.round(measured * short) : measured,
    because: 'outcomes would be dropped before the time for which they are promised',
    fallsTo: (least) => (promisedMs * measured) / least - oldestMs,
  }))
}
