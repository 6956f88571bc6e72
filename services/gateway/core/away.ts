import type { NatsConnection } from '@nats-io/transport-node'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { whyAway } from '../../../shared/sdk/jetstream/trouble.ts'

/** A broker that restarts is back sooner, milliseconds: so long requests wait for it. */
const AWAY_MS = 5_000

export interface AwayOptions {
  readonly onAway: () => void
  readonly onBack: () => void
  /** Told once it has been away for {@link AWAY_MS}. */
  readonly onLongAway: () => void
}

/** Whether a connection is away, and for how long. */
export class Away {
  readonly #connection: NatsConnection
  readonly #options: AwayOptions
  readonly #statuses: ReturnType<NatsConnection['status']> & { stop(): void }
  #timer: NodeJS.Timeout | undefined
  #isAway = false
  /** For so long that nobody waits for it any more. */
  isLong = false

  constructor(connection: NatsConnection, options: AwayOptions) {
    this.#connection = connection
    this.#options = options
    // An iterator of the client's queue, which can be stopped though its type does not say so.
    this.#statuses = connection.status() as ReturnType<NatsConnection['status']> & { stop(): void }
    void this.#listen()
  }

  /** What a request is told whose event was not sent. */
  error(): PeltonError {
    const why = whyAway(this.#connection)?.text
    const problem = `the gateway has no connection to the broker${why === undefined ? '' : `: ${why}`}`
    return new PeltonError('broker-unavailable', problem, { remedy: 'Ask again later.' })
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#statuses.stop()
  }

  async #listen(): Promise<void> {
    for await (const { type } of this.#statuses) {
      if (type === 'disconnect') this.#left()
      else if (type === 'reconnect') this.#back()
    }
  }

  #left(): void {
    if (this.#isAway) return
    this.#isAway = true
    this.#options.onAway()
    this.#timer = setTimeout(() => {
      this.isLong = true
      this.#options.onLongAway()
    }, AWAY_MS).unref()
  }

  #back(): void {
    clearTimeout(this.#timer)
    this.#isAway = false
    this.isLong = false
    this.#options.onBack()
  }
}
