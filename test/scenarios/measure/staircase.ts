/** One step of a staircase: a rate that was held, and the part of it that was answered in time. */
export interface Step {
  readonly perSecond: number
  /** 0 to 1. */
  readonly inTime: number
}

export interface Stairs {
  /** Rate of the first step. */
  readonly start: number
  /** Each step is so many times the one below: above 1. */
  readonly factor: number
  /** No step is higher: what the generator can be trusted with. */
  readonly most: number
}

/** Of the events offered at a rate, the part that has to be answered in time for the rate to be carried. */
export const CARRIED_SHARE = 0.99
/** Below this part of the first step nothing is looked for. */
const LEAST_SHARE = 1 / 64

export const isCarried = ({ inTime }: Step): boolean => inTime >= CARRIED_SHARE

/** The highest rate that was carried with none below it that was not. @returns `undefined` where none was */
export function capacityOf(steps: readonly Step[]): number | undefined {
  const failed = Math.min(...steps.filter((step) => !isCarried(step)).map(({ perSecond }) => perSecond))
  const carried = steps.filter((step) => isCarried(step) && step.perSecond < failed)
  return carried.length === 0 ? undefined : Math.max(...carried.map(({ perSecond }) => perSecond))
}

/** The rate to hold next. @returns `undefined` when the stairs are done */
export function nextStep(steps: readonly Step[], { start, factor, most }: Stairs): number | undefined {
  if (steps.length === 0) return Math.min(start, most)
  const carried = capacityOf(steps)
  const failed = Math.min(...steps.filter((step) => !isCarried(step)).map(({ perSecond }) => perSecond))
  if (carried === undefined) {
    const lower = failed / factor
    return lower < start * LEAST_SHARE ? undefined : lower
  }
  const higher = Math.min(carried * factor, most)
  return higher >= failed * (1 - 1e-9) || higher <= carried ? undefined : higher
}
