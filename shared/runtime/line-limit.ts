/** How much is told of each kind before the rest is only counted. */
export interface LineLimitOptions {
  /** Told at once, of each kind. @default 10 */
  readonly most?: number
  /** After how long the count of the rest is told and telling begins anew, milliseconds. @default 60_000 */
  readonly everyMs?: number
  /** Told how many more of a kind there were. */
  readonly onRest: (kind: string, count: number) => void
}

interface Window {
  told: number
  rest: number
  timer: NodeJS.Timeout
}

/**
 * Bounds lines that whoever sends events can cause: of each kind the first ten of a minute, then a count. Kinds are ours,
 * or bounded by the caller. Close it: what was only counted is told then.
 */
export class LineLimit {
  readonly #most: number
  readonly #everyMs: number
  readonly #onRest: LineLimitOptions['onRest']
  readonly #windows = new Map<string, Window>()

  constructor({ most = 10, everyMs = 60_000, onRest }: LineLimitOptions) {
    this.#most = most
    this.#everyMs = everyMs
    this.#onRest = onRest
  }

  /** Whether one more of a kind is to be told; else it is counted. */
  admit(kind: string): boolean {
    const window = this.#windows.get(kind) ?? this.#open(kind)
    if (window.told < this.#most) {
      window.told++
      return true
    }
    window.rest++
    return false
  }

  close(): void {
    for (const kind of [...this.#windows.keys()]) this.#end(kind)
  }

  #open(kind: string): Window {
    const timer = setTimeout(() => this.#end(kind), this.#everyMs).unref()
    const window = { told: 0, rest: 0, timer }
    this.#windows.set(kind, window)
    return window
  }

  #end(kind: string): void {
    const window = this.#windows.get(kind)
    if (window === undefined) return
    this.#windows.delete(kind)
    clearTimeout(window.timer)
    if (window.rest > 0) this.#onRest(kind, window.rest)
  }
}
