import type { DemoEvent } from './spoiled.ts'

/** One answer from Pelton, as the demo needs it. */
export type Answer =
  | {
      readonly token: string
      readonly kind: 'prediction'
      readonly probability: number
      readonly latencyMs: number
    }
  | { readonly token: string; readonly kind: 'failure'; readonly reason: string }

interface Expected {
  readonly event: DemoEvent
  answer: Answer | undefined
}

/** What came of a run. */
export interface TallyReport {
  readonly sent: number
  readonly predictions: number
  readonly deadLetters: number
  readonly unanswered: number
  /** Answers beyond the first for the same event: must be none. */
  readonly doubled: number
  /** Events that were answered otherwise than they had to be. */
  readonly unexpected: number
  readonly reasons: Readonly<Record<string, number>>
  /** Score and outcome of each predicted flight, in step. */
  readonly scores: readonly number[]
  readonly late: readonly boolean[]
  /** Publish to prediction, ascending, milliseconds. */
  readonly latenciesMs: readonly number[]
}

/** Sets answers against what was sent, by token. */
export class Tally {
  readonly #expected = new Map<string, Expected>()
  #answered = 0
  #doubled = 0

  expect(token: string, event: DemoEvent): void {
    this.#expected.set(token, { event, answer: undefined })
  }

  /** An answer to an event of another run is ignored. */
  answer(answer: Answer): void {
    const expected = this.#expected.get(answer.token)
    if (expected === undefined) return
    if (expected.answer !== undefined) {
      this.#doubled++
      return
    }
    expected.answer = answer
    this.#answered++
  }

  get answered(): number {
    return this.#answered
  }

  get open(): number {
    return this.#expected.size - this.#answered
  }

  report(): TallyReport {
    const reasons: Record<string, number> = {}
    const scores: number[] = []
    const late: boolean[] = []
    const latenciesMs: number[] = []
    let unexpected = 0
    for (const { event, answer } of this.#expected.values()) {
      if (answer === undefined) continue
      const reason = answer.kind === 'failure' ? answer.reason : undefined
      if (reason !== event.expectedReason) unexpected++
      if (answer.kind === 'failure') reasons[answer.reason] = (reasons[answer.reason] ?? 0) + 1
      else {
        scores.push(answer.probability)
        late.push(event.flight.late)
        latenciesMs.push(answer.latencyMs)
      }
    }
    return {
      sent: this.#expected.size,
      predictions: scores.length,
      deadLetters: this.#answered - scores.length,
      unanswered: this.open,
      doubled: this.#doubled,
      unexpected,
      reasons,
      scores,
      late,
      latenciesMs: latenciesMs.sort((a, b) => a - b),
    }
  }
}

/** The value below which a share of ascending `sorted` values lies (nearest rank). */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}
