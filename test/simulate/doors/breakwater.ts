/** The constants of the law. */
export interface CreditLaw {
  /** What a credit grows by at each word, while the wait is below its target. */
  readonly growth: number
  /** How strongly it shrinks with the excess of the wait over its target. */
  readonly beta: number
  /** It never shrinks by more at one word. */
  readonly leastFactor: number
  /** Between these it stays. */
  readonly least: number
  readonly most: number
}

export const CREDIT: CreditLaw = { growth: 0.02, beta: 0.2, leastFactor: 0.5, least: 0.02, most: 2 }

/**
 * The credit of a door after one more word of the flow. A credit is backlog: seconds of work that the door may add in a
 * second. All doors together carry what the pool carries where their credits sum up to one.
 *
 * Breakwater's law (Cho et al., OSDI 2020; breakwater/src/bw_server.c): additive for each client while the wait is below its
 * target, times `max(1 − β · (wait − target) / target, ½)` above it. Pure.
 *
 * @param wait what an event would wait now, and `target` what it may, milliseconds
 */
export function nextCredit(
  credit: number,
  wait: { readonly waitMs: number; readonly targetMs: number },
  law: CreditLaw = CREDIT,
): number {
  const { waitMs, targetMs } = wait
  const next =
    waitMs < targetMs
      ? credit + law.growth
      : credit * Math.max(1 - (law.beta * (waitMs - targetMs)) / targetMs, law.leastFactor)
  return Math.min(law.most, Math.max(law.least, next))
}
