import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import type { Handle, Handles } from './handles.ts'
import type { Accepted } from './request.ts'

/** What is known of an event beside its handle. */
export type Told = Pick<Partial<Accepted>, 'duplicate' | 'backlogSeconds'>

/** An event that the stream has. Its handle is signed when it is asked for: most answers are sent without one. */
export class AcceptedEvent implements Accepted {
  readonly token: string
  readonly model: string
  readonly pool: string
  readonly lane: Lane
  readonly loweredFrom: Lane | undefined
  readonly sequence: number
  readonly duplicate: boolean | undefined
  readonly backlogSeconds: number | undefined
  readonly #owner: string
  readonly #handles: Handles

  constructor(handle: Handle, handles: Handles, { duplicate, backlogSeconds }: Told = {}) {
    this.token = handle.token
    this.model = handle.model
    this.pool = handle.pool
    this.lane = handle.lane
    this.loweredFrom = handle.loweredFrom
    this.sequence = handle.sequence
    this.duplicate = duplicate
    this.backlogSeconds = backlogSeconds
    this.#owner = handle.owner
    this.#handles = handles
  }

  get handle(): string {
    const { pool, model, lane, loweredFrom, token, sequence } = this
    return this.#handles.sign({ pool, model, lane, loweredFrom, token, sequence, owner: this.#owner })
  }
}
