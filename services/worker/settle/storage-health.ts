import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

/** One try at storing or reading something: an answer, or why there is none yet. */
export type Try<Answer> =
  | { readonly answer: Answer }
  /**
   * `refused`: the stream said no. `unknown`: nobody said anything; once is an election, twice is trouble. `open`: the
   * stream is well, the question is not settled.
   */
  | { readonly again: 'refused' | 'unknown' | 'open'; readonly because: string }

const MAX_BACKOFF_MS = 1_000

/**
 * Streams that do not take what this worker has to store, and why: while there is one, the worker stops pulling. A
 * stream is in trouble exactly as long as something is waiting for it.
 */
export class StorageHealth {
  readonly #signal: AbortSignal
  readonly #onChange: (refusing: ReadonlyMap<string, string>) => void
  /** Per stream, what waits for it and why. */
  readonly #waiting = new Map<string, Map<object, string>>()

  /**
   * @param signal ends all waiting
   * @param onChange told when the first thing waits for a stream, and when the last one no longer does
   */
  constructor(signal: AbortSignal, onChange: (refusing: ReadonlyMap<string, string>) => void) {
    this.#signal = signal
    setMaxListeners(0, signal) // one for each outcome that waits
    this.#onChange = onChange
  }

  /** Streams in trouble, each with a reason. */
  get refusing(): ReadonlyMap<string, string> {
    return new Map([...this.#waiting].map(([stream, reasons]) => [stream, [...reasons.values()][0] ?? '']))
  }

  /** Tries with growing pauses until there is an answer. @throws AbortError once the signal is aborted */
  async until<Answer>(stream: string, attempt: () => Promise<Try<Answer>>): Promise<Answer> {
    const question = {}
    try {
      for (let tries = 0; ; tries++) {
        const result = await attempt()
        if ('answer' in result) return result.answer
        const isTrouble = result.again === 'refused' || (result.again === 'unknown' && tries > 0)
        if (isTrouble) this.#wait(stream, question, result.because)
        await sleep(Math.min(MAX_BACKOFF_MS, 25 * 2 ** tries), undefined, { signal: this.#signal })
      }
    } finally {
      this.#resolve(stream, question)
    }
  }

  #wait(stream: string, question: object, because: string): void {
    const reasons = this.#waiting.get(stream)
    if (reasons !== undefined) reasons.set(question, because)
    else {
      this.#waiting.set(stream, new Map([[question, because]]))
      this.#onChange(this.refusing)
    }
  }

  #resolve(stream: string, question: object): void {
    const reasons = this.#waiting.get(stream)
    if (reasons?.delete(question) !== true || reasons.size > 0) return
    this.#waiting.delete(stream)
    this.#onChange(this.refusing)
  }
}
