import { z } from 'zod'

/** FEATURES had given out no sequence beyond this one at that time, milliseconds since 1970 by the broker's clock. */
export type Mark = readonly [at: number, sequence: number]

/** How far FEATURES had come, at times the watch looked. */
export interface FeatureMarks {
  /** Creation time of FEATURES. */
  readonly epoch: string
  /** Oldest first; the last is of the last look. */
  readonly marks: readonly Mark[]
}

const KEPT = z.object({
  epoch: z.string(),
  marks: z.array(z.tuple([z.number(), z.number().int().nonnegative()])),
})

/** Marks as a record keeps them. @returns `undefined` for what are none: anybody with an operator's rights can write there */
export function readMarks(kept: unknown): FeatureMarks | undefined {
  return KEPT.safeParse(kept).data
}

const KEPT_EVERY_MS = 3_600_000
/** Beyond it every second one goes: the older they are, the further they stand apart. */
const MAX_MARKS = 200

/**
 * The marks with one more. The last one is replaced until it is an hour younger than the one before it; where FEATURES
 * went back, it stays as the proof.
 */
export function addMark(before: FeatureMarks | undefined, epoch: string, mark: Mark): FeatureMarks {
  if (before?.epoch !== epoch) return { epoch, marks: [mark] }
  const { marks } = before
  const [last, earlier] = [marks.at(-1), marks.at(-2)]
  const isStep = last !== undefined && (last[1] > mark[1] || (earlier !== undefined && earlier[1] > last[1]))
  const isKept =
    isStep || last === undefined || earlier === undefined || last[0] - earlier[0] >= KEPT_EVERY_MS
  return { epoch, marks: thinned([...(isKept ? marks : marks.slice(0, -1)), mark]) }
}

/** Adds marks, one look after the other. A leader that was just elected may know less for a moment: two looks decide. */
export class Marking {
  #isInDoubt = false

  add(before: FeatureMarks | undefined, epoch: string, mark: Mark): FeatureMarks {
    const last = before?.epoch === epoch ? before.marks.at(-1) : undefined
    const isBack = last !== undefined && last[1] > mark[1]
    const isFirstTime = isBack && !this.#isInDoubt
    this.#isInDoubt = isFirstTime
    return before !== undefined && isFirstTime ? before : addMark(before, epoch, mark)
  }
}

/** The last stays, and both sides of a step back: without either nothing would tell of it. */
function thinned(marks: readonly Mark[]): readonly Mark[] {
  if (marks.length <= MAX_MARKS) return marks
  const isBack = (index: number): boolean => (marks[index - 1]?.[1] ?? 0) > (marks[index]?.[1] ?? Infinity)
  const stays = (index: number): boolean => index % 2 === 0 || index === marks.length - 1
  const left = marks.filter((_mark, index) => stays(index) || isBack(index) || isBack(index + 1))
  return left.slice(-MAX_MARKS) // nothing but steps: the latest of them tell enough
}

/** Where sequences were given out a second time: a look that saw FEATURES end before the end of an earlier look. */
export interface StepBack {
  readonly at: number
  readonly from: number
  readonly to: number
}

/** The steps back that were seen after a time. */
export function stepsBack(marks: readonly Mark[], after: number): readonly StepBack[] {
  return marks.flatMap(([at, to], index) => {
    const from = marks[index - 1]?.[1] ?? 0
    return at > after && from > to ? [{ at, from, to }] : []
  })
}
