import { type BatchTiming, type CostLine, findKnee, fitLine, median } from './batch-cost.ts'

/** What measuring one size has shown. */
export interface SizeTiming extends BatchTiming {
  /** What such a run took beside the runtime, milliseconds: handing it over and getting it back. */
  readonly handOverMs: number
}

/** What is known of what a model costs, and what follows for its batches. */
export interface Calibration extends CostLine {
  /** What a run takes beside the runtime, milliseconds. */
  readonly handOverMs: number
  /** Rows a batch has at most. */
  readonly batchRows: number
  /** What it was made of, by growing rows. */
  readonly timings: readonly BatchTiming[]
}

/**
 * Chooses what the batches of a model have at most: the last size that makes a row at least 10 % cheaper than half of it
 * does, handing the run over included. Beyond it a batch only makes events wait, and some models get slower. Where the
 * largest size measured is still worth it, as many as the manifest allows.
 *
 * @param timings by growing rows, at least one
 * @param maxRows what the manifest allows
 */
export function calibrate(timings: readonly SizeTiming[], maxRows: number): Calibration {
  const settled = undisturbed(timings)
  const handOverMs = median(settled.map((timing) => timing.handOverMs))
  const kneeRows = findKnee(settled.map(({ rows, ms }) => ({ rows, ms: ms + handOverMs })))
  const isOpen = kneeRows === settled.at(-1)?.rows
  return {
    ...fitLine(settled),
    handOverMs,
    batchRows: isOpen ? maxRows : Math.min(kneeRows, maxRows),
    timings: settled.map(({ rows, ms }) => ({ rows, ms })),
  }
}

/** Fewer rows take no longer than more of them: what says otherwise was disturbed. */
function undisturbed(timings: readonly SizeTiming[]): SizeTiming[] {
  let least = Number.POSITIVE_INFINITY
  return timings
    .toReversed()
    .map((timing) => {
      least = Math.min(least, timing.ms)
      return { ...timing, ms: least }
    })
    .reverse()
}

/** Whether growing further can show nothing more: two sizes in a row made a row no cheaper. */
export function isPastKnee(timings: readonly SizeTiming[]): boolean {
  const settled = undisturbed(timings)
  const knee = findKnee(settled.map(({ rows, ms, handOverMs }) => ({ rows, ms: ms + handOverMs })))
  return timings.filter(({ rows }) => rows > knee).length >= 2
}

/** Sizes worth measuring: 1, 2, 4, … up to what the manifest allows. */
export function sizesUpTo(maxRows: number): number[] {
  const sizes: number[] = []
  for (let rows = 1; rows <= maxRows; rows *= 2) sizes.push(rows)
  return sizes
}
