import type { ServedModel } from '../../../shared/models/repository.ts'
import { messageOf } from '../../../shared/sdk/errors.ts'

const LEAST_PAUSE_MS = 500
const MOST_PAUSE_MS = 30_000

interface Unavailable {
  readonly model: ServedModel
  text: string
  pauseMs: number
  timer: NodeJS.Timeout | undefined
}

/**
 * Models that could not be opened when one of their events was to run. Each is loaded again with growing pauses until it
 * can be: until then none of its events is run, because nothing of an event can help.
 */
export class UnavailableModels {
  readonly #load: (model: ServedModel) => Promise<void>
  readonly #byKey = new Map<string, Unavailable>()
  #onChange: () => void = () => undefined
  #isClosed = false

  /** @param load opens a model wherever it is run; rejects while it cannot be */
  constructor(load: (model: ServedModel) => Promise<void>) {
    this.#load = load
  }

  /** Why a model cannot be opened; undefined where nothing is known against it. */
  why({ key }: Pick<ServedModel, 'key'>): string | undefined {
    return this.#byKey.get(key)?.text
  }

  /** @param listener told whenever a model could not be opened that could be before, or can be again; one there is */
  onChange(listener: () => void): void {
    this.#onChange = listener
  }

  /** A model could not be opened for a run. May be called again for the same model. */
  add(model: ServedModel, text: string): void {
    if (this.#isClosed || this.#byKey.has(model.key)) return
    const unavailable: Unavailable = { model, text, pauseMs: LEAST_PAUSE_MS, timer: undefined }
    this.#byKey.set(model.key, unavailable)
    this.#tryLater(unavailable)
    this.#onChange()
  }

  close(): void {
    this.#isClosed = true
    this.#onChange = () => undefined
    for (const { timer } of this.#byKey.values()) clearTimeout(timer)
    this.#byKey.clear()
  }

  #tryLater(unavailable: Unavailable): void {
    unavailable.timer = setTimeout(() => void this.#try(unavailable), unavailable.pauseMs).unref()
  }

  async #try(unavailable: Unavailable): Promise<void> {
    try {
      await this.#load(unavailable.model)
      this.#byKey.delete(unavailable.model.key)
      this.#onChange()
    } catch (thrown) {
      unavailable.text = messageOf(thrown)
      unavailable.pauseMs = Math.min(MOST_PAUSE_MS, 2 * unavailable.pauseMs)
      if (!this.#isClosed) this.#tryLater(unavailable)
    }
  }
}
