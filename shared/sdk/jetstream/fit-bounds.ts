import type { BoundWish } from '../contract/bounds.ts'

/** A stream that is to be made: with the bound it must have, or one it may have less of. */
export interface ToBound {
  readonly name: string
  /** What it must have, bytes; undefined for one without a bound, or with a wish. */
  readonly bytes?: number | undefined
  readonly wish?: BoundWish | undefined
}

/** What there may be, bytes. */
export interface BoundRoom {
  /** All streams together. */
  readonly all: number
  readonly one: number
}

/** A stream whose bound is more than one stream may have. */
export interface TooLarge {
  readonly name: string
  readonly bytes: number
}

export interface Fit {
  /** Of each stream with a bound. */
  readonly bytes: ReadonlyMap<string, number>
  readonly tooLarge: readonly TooLarge[]
  /** The least that all of them need; more than there may be where they do not fit. */
  readonly least: number
}

/**
 * Gives each stream its bound. A wish is halved until one stream may have it, then the largest is halved until all have
 * room, none below what it works with. Pure.
 */
export function fitBounds(streams: readonly ToBound[], room: BoundRoom): Fit {
  const bytes = new Map<string, number>()
  for (const { name, bytes: must, wish } of streams) {
    if (wish !== undefined) bytes.set(name, halvedTo(room.one, wish))
    else if (must !== undefined) bytes.set(name, must)
  }
  const tooLarge = [...bytes].filter(([, most]) => most > room.one)
  const least = total(leastOf(streams, bytes))
  if (least <= room.all) shrink(streams, bytes, room.all)
  return { bytes, tooLarge: tooLarge.map(([name, of]) => ({ name, bytes: of })), least }
}

function halvedTo(most: number, { bytes, least }: BoundWish): number {
  let asked = bytes
  while (asked > most && half(asked) >= least) asked = half(asked)
  return asked
}

function shrink(streams: readonly ToBound[], bytes: Map<string, number>, most: number): void {
  while (total(bytes.values()) > most) {
    const [largest] = streams
      .filter(({ name, wish }) => wish !== undefined && half(bytes.get(name) ?? 0) >= wish.least)
      .sort((one, other) => (bytes.get(other.name) ?? 0) - (bytes.get(one.name) ?? 0))
    if (largest === undefined) return
    bytes.set(largest.name, half(bytes.get(largest.name) ?? 0))
  }
}

/** What is left of each wish once it is halved as often as it may be. */
function leastOf(streams: readonly ToBound[], bytes: ReadonlyMap<string, number>): readonly number[] {
  return streams.map(({ name, wish }) => {
    let asked = bytes.get(name) ?? 0
    while (wish !== undefined && half(asked) >= wish.least) asked = half(asked)
    return asked
  })
}

function half(bytes: number): number {
  return Math.floor(bytes / 2)
}

function total(all: Iterable<number>): number {
  let sum = 0
  for (const one of all) sum += one
  return sum
}
