import { LineLimit } from '../../shared/runtime/line-limit.ts'

/** Names of which failures are shown at a time: see {@link NameLimit}. */
const MOST_NAMES = 10
const EVERY_MS = 60_000
/** Names whose failures go on being shown, as long as none had to be left out. */
const MOST_KEPT = 1_000
const KIND = 'failures'

/**
 * Which failures a watch shows. Whoever publishes makes up names of models: failures of the first ten names in a minute
 * are shown, those of further names are counted. Failures of a model that has predicted are always shown: its name is none
 * that was made up.
 */
export class NameLimit {
  readonly #known = new Set<string>()
  readonly #shown = new Set<string>()
  readonly #limit: LineLimit

  /** @param onRest told how many failures were not shown */
  constructor(onRest: (count: number) => void) {
    this.#limit = new LineLimit({
      most: MOST_NAMES,
      everyMs: EVERY_MS,
      onRest: (_kind, count) => {
        this.#shown.clear()
        onRest(count)
      },
    })
  }

  /** A model that predicts. */
  predicted(model: string): void {
    this.#known.add(model)
  }

  /** Whether a failure of this model is to be shown. */
  admit(model: string): boolean {
    if (this.#known.has(model) || this.#shown.has(model)) return true
    const isShown = this.#limit.admit(KIND)
    if (this.#shown.size >= MOST_KEPT) this.#shown.clear()
    if (isShown) this.#shown.add(model)
    return isShown
  }

  /** Says how many were not shown since it last did. */
  close(): void {
    this.#limit.close()
  }
}
