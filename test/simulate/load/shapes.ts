import { type OfLanes, sourceDigest } from '../../../shared/sdk/contract/flow.ts'
import { type Phase, steady } from '../../scenarios/load/schedule.ts'
import type { Within } from '../../scenarios/measure/account.ts'

export const SHAPES = ['step', 'spike', 'ramp', 'sine', 'retry-storm', 'slow-model', 'hot-key'] as const
export type Shape = (typeof SHAPES)[number]

/**
 * What clients do that were refused, or had no prediction by their deadline: `leave`; `storm`, send again soon, whatever they
 * were told; `obey`, come back when they were told to.
 */
export type Clients = 'leave' | 'storm' | 'obey'

/** Sources, and which part each has of what is sent. */
export type Sources = readonly { readonly choice: string; readonly share: number }[]

/** What is asked of a pool. */
export interface Demand {
  readonly phases: readonly Phase[]
  /** Name of the phase that is looked at. */
  readonly shown: string
  /** From when an event is sent, milliseconds. */
  readonly deadlineMs: number
  readonly laneShares: OfLanes<number>
  /** Sources and their shares; the one called {@link HOT} asks for too much. */
  readonly sources: Sources
  /** Those before and after what is looked at. @default the same */
  readonly calmSources?: Sources
  readonly clients: Clients
  /** For a while the model costs so many times as much. */
  readonly slower?: Within & { readonly times: number }
}

/** The source that asks for too much. */
export const HOT = sourceDigest('hot')

export interface DemandWish {
  /** What the pool carries, events a second. */
  readonly capacity: number
  /** The load that is looked at, as a multiple of that. */
  readonly times: number
  /** How long it lasts. */
  readonly seconds: number
  readonly deadlineMs: number
}

const CALM = 0.5
const CALM_SECONDS = 3
const AFTER_SECONDS = 8
const OVER = 'overload'
const SINE_PERIOD_S = 5
const SINE_PIECES = 20
const QUIET_SOURCES = 9
const HOT_SHARE = 0.9
/** Below what is carried, until the model costs twice as much. */
const BEFORE_SLOWER = 0.8

/** A demand of a shape. */
export function demandOf(shape: Shape, wish: DemandWish): Demand {
  const { capacity, times, deadlineMs } = wish
  // What the others send they send all the time: the hot one comes to it.
  const share = shape === 'hot-key' ? times * (1 - HOT_SHARE) : CALM
  const calm = (name: string, seconds: number): Phase => steady(name, share * capacity, seconds)
  return {
    phases: [calm('before', CALM_SECONDS), ...overload(shape, wish), calm('after', AFTER_SECONDS)],
    shown: OVER,
    deadlineMs,
    laneShares: { high: 0.2, normal: 0.6, low: 0.2 },
    ...(shape === 'hot-key'
      ? { sources: withHot(), calmSources: quietSources(1) }
      : { sources: quietSources(1) }),
    clients: shape === 'retry-storm' ? 'storm' : 'leave',
    ...(shape === 'slow-model' && { slower: { ...whileShown(wish), times: 2 } }),
  }
}

function whileShown({ seconds }: DemandWish): Within {
  return { fromMs: 1_000 * CALM_SECONDS, toMs: 1_000 * (CALM_SECONDS + seconds) }
}

function overload(shape: Shape, { capacity, times, seconds }: DemandWish): readonly Phase[] {
  const rate = times * capacity
  switch (shape) {
    case 'spike':
      return [steady(OVER, 10 * capacity, Math.max(1, seconds / 5))]
    case 'ramp':
      return [{ name: OVER, fromPerSecond: CALM * capacity, toPerSecond: rate, seconds }]
    case 'sine':
      return sine(CALM * capacity, rate, seconds)
    case 'slow-model':
      return [steady(OVER, BEFORE_SLOWER * capacity, seconds)]
    default:
      return [steady(OVER, rate, seconds)]
  }
}

/** Between two rates and back, in straight pieces. */
function sine(low: number, high: number, seconds: number): readonly Phase[] {
  const rateAt = (second: number): number =>
    low + ((high - low) * (1 - Math.cos((2 * Math.PI * second) / SINE_PERIOD_S))) / 2
  const piece = SINE_PERIOD_S / SINE_PIECES
  return Array.from({ length: Math.round(seconds / piece) }, (_piece, at) => ({
    name: OVER,
    fromPerSecond: rateAt(at * piece),
    toPerSecond: rateAt((at + 1) * piece),
    seconds: piece,
  }))
}

/** Some sources that ask for a part of the load together. */
function quietSources(part: number): Sources {
  return Array.from({ length: QUIET_SOURCES }, (_source, at) => ({
    choice: sourceDigest(`quiet-${at}`),
    share: part / QUIET_SOURCES,
  }))
}

/** One source has most of all that is sent. */
function withHot(): Sources {
  return [{ choice: HOT, share: HOT_SHARE }, ...quietSources(1 - HOT_SHARE)]
}
