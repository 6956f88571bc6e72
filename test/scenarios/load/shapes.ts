import { type Phase, steady } from './schedule.ts'

/** A load that nobody has seen before. */
export interface Shape {
  readonly name: string
  readonly phases: readonly Phase[]
}

/** A load drawn at random: what it is called, and its pieces, for a capacity and a time. */
type Draw = (random: () => number, capacity: number, seconds: number) => Shape

const between = (random: () => number, least: number, most: number): number =>
  least + (most - least) * random()

function line(fromPerSecond: number, toPerSecond: number, seconds: number): Phase {
  return { name: 'overload', fromPerSecond, toPerSecond, seconds }
}

/** Up in a straight line, and down again. */
const ramp: Draw = (random, capacity, seconds) => {
  const peak = between(random, 2, 5) * capacity
  const up = between(random, 0.3, 0.7) * seconds
  const phases = [line(capacity / 2, peak, up), line(peak, capacity / 2, seconds - up)]
  return { name: `ramp to ${(peak / capacity).toFixed(1)} × in ${up.toFixed(0)} s`, phases }
}

/** Short peaks with calm in between. */
const spikes: Draw = (random, capacity, seconds) => {
  const [every, share] = [Math.min(seconds / 2, between(random, 4, 10)), between(random, 0.2, 0.5)]
  const peak = between(random, 3, 8)
  const phases: Phase[] = []
  for (let at = 0; at < seconds - every / 2; at += every) {
    phases.push(line(peak * capacity, peak * capacity, every * share))
    phases.push(line(capacity / 2, capacity / 2, every * (1 - share)))
  }
  return { name: `spikes of ${peak.toFixed(1)} × every ${every.toFixed(0)} s`, phases }
}

const WAVE_PIECES = 16

/** A sine around twice what is carried. */
const wave: Draw = (random, capacity, seconds) => {
  const [middle, swing] = [between(random, 1.5, 2.5), between(random, 1, 1.5)]
  const waves = Math.ceil(between(random, 1, 4))
  const pieces = WAVE_PIECES * waves
  const at = (piece: number): number =>
    capacity * (middle + swing * Math.sin((2 * Math.PI * piece) / WAVE_PIECES))
  const phases = Array.from({ length: pieces }, (_, piece) =>
    line(at(piece), at(piece + 1), seconds / pieces),
  )
  return { name: `${waves} waves around ${middle.toFixed(1)} ×`, phases }
}

const DRAWS: readonly Draw[] = [ramp, spikes, wave]

/**
 * Two different shapes that a seed fixes, with calm before and after.
 *
 * @param random numbers in [0, 1)
 */
export function drawShapes(
  random: () => number,
  {
    capacity,
    seconds,
    calmSeconds,
  }: { readonly capacity: number; readonly seconds: number; readonly calmSeconds: number },
): readonly Shape[] {
  const left = [...DRAWS]
  return [1, 2].flatMap(() => {
    const [draw] = left.splice(Math.floor(random() * left.length), 1)
    if (draw === undefined) return []
    const { name, phases } = draw(random, capacity, seconds)
    const calm = (called: string): Phase => steady(called, capacity / 2, calmSeconds)
    return [{ name, phases: [calm('before'), ...phases, calm('after')] }]
  })
}
