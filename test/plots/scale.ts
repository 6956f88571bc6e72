/** How numbers lie along an axis. */
export interface Scale {
  /** Where a number lies, 0 to 1. */
  at(value: number): number
  /** Numbers that are written beside it. */
  readonly ticks: readonly number[]
}

/**
 * Even steps, from and to round numbers.
 *
 * @param most there is room for about so many numbers
 */
export function linearScale(from: number, to: number, most = 6): Scale {
  const step = roundStep((to - from) / most)
  const [first, last] = [Math.floor(from / step + 1e-9), Math.ceil(to / step - 1e-9)]
  const steps = Math.max(1, last - first)
  return {
    at: (value) => (value / step - first) / steps,
    ticks: Array.from({ length: steps + 1 }, (_tick, at) => (first + at) * step),
  }
}

/** Even ratios between the numbers that are given, which are what is written. */
export function logScale(ticks: readonly number[]): Scale {
  const [from, to] = [Math.log(Math.min(...ticks)), Math.log(Math.max(...ticks))]
  return { at: (value) => (from === to ? 0.5 : (Math.log(value) - from) / (to - from)), ticks }
}

/** 1, 2 or 5 times a power of ten, at least as large. */
function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least))
  const factor = [1, 2, 5, 10].find((each) => each * power >= least * (1 - 1e-9)) ?? 10
  return factor * power
}
