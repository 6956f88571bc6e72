import type { Logger } from 'pino'
import type { DeadLetterEntry } from '../../../shared/operations/records/dead-letter.ts'
import type { OpsStore } from '../../../shared/operations/records/store.ts'
import type { SupersededRemoval, WatchRecord } from '../../../shared/operations/watch-record/record.ts'
import type { StreamInfo } from '../../../shared/sdk/jetstream/api.ts'
import { positionIn } from './position.ts'
import {
  finishSuperseded,
  removeSuperseded,
  reviewUnexplained,
  scanSuperseded,
  unexplainedAlert,
} from './superseded.ts'

/** Read at most in one look. */
const A_LOOK = 1_000

/** Looks at dead letters whose event has a prediction: ends those that a replay explains, and leaves the others. */
export class LettersLook {
  readonly #store: OpsStore
  readonly #log: Logger
  readonly #by: string
  /** Whether dead letters may be taken that were not let go. */
  #mayHold = true

  /** @param by name of this control service */
  constructor({ store, log }: { readonly store: OpsStore; readonly log: Logger }, by: string) {
    this.#store = store
    this.#log = log
    this.#by = by
  }

  /**
   * @param info of DEADLETTERS
   * @param at broker time, milliseconds since 1970
   */
  async look(info: StreamInfo | undefined, before: WatchRecord, at: number) {
    const position = positionIn(info, before.deadLetters)
    const isEmpty = info === undefined || info.state.messages === 0
    const { next, found, unexplained } = isEmpty
      ? { next: position.next, found: [], unexplained: [] }
      : await scanSuperseded(this.#store, position.next, A_LOOK)
    const left = await reviewUnexplained(this.#store, isEmpty ? [] : (before.unexplained ?? []), unexplained)
    const alert = unexplainedAlert(left)
    return {
      position: { ...position, next },
      done: await this.#remove(found, at),
      found: found.length,
      unexplained: left,
      alerts: alert === undefined ? [] : [alert],
    }
  }

  async #remove(found: readonly DeadLetterEntry[], at: number): Promise<readonly SupersededRemoval[]> {
    const count = await this.#removeSuperseded(found)
    if (count === 0) return []
    this.#log.info({ count }, 'removed dead letters whose events have a prediction by a replay')
    return [{ what: 'superseded-removed', at: new Date(at).toISOString(), by: this.#by, count }]
  }

  /**
   * What a request that failed, or a watch that was killed, left taken is ended first: no other process could have it.
   */
  async #removeSuperseded(found: readonly DeadLetterEntry[]): Promise<number> {
    try {
      const finished = this.#mayHold ? await finishSuperseded(this.#store, this.#by) : 0
      this.#mayHold = found.length > 0
      const removed = await removeSuperseded(this.#store, found, this.#by)
      this.#mayHold = false
      return finished + removed
    } catch (error) {
      this.#log.warn(
        { err: error },
        'dead letters whose events have a prediction could not be removed; tried again',
      )
      return 0
    }
  }
}
