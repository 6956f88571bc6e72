import type { Logger } from 'pino'
import type { PullEnd } from '../../shared/sdk/jetstream/pull-lane.ts'
import type { Delivery } from './delivery.ts'
import type { ServedModel } from './models/repository.ts'
import type { Stored } from './outcome-store.ts'
import type { Prepared } from './prepare.ts'
import type { Concluded } from './settlement.ts'

/** What a worker did since it started. */
export type WorkerCounts = Readonly<Record<Stored | 'batches' | 'rows' | 'conflicts', number>>

/** What a worker tells of its work: counts, and one log line for each event of interest. Never payloads. */
export class Journal {
  readonly #log: Logger
  readonly #counts: Record<keyof WorkerCounts, number> = {
    predicted: 0,
    'already-answered': 0,
    'dead-lettered': 0,
    retried: 0,
    returned: 0,
    batches: 0,
    rows: 0,
    conflicts: 0,
  }

  constructor(log: Logger) {
    this.#log = log
  }

  get counts(): WorkerCounts {
    return { ...this.#counts }
  }

  ran(batch: readonly Prepared[]): void {
    this.#counts.batches++
    for (const { rows } of batch) this.#counts.rows += rows
  }

  settled({ delivery, outcome }: Concluded, stored: Stored): void {
    this.#counts[stored]++
    if (stored === 'predicted') return
    const { id: eventId, route, attempt } = delivery.event
    const failure = outcome.kind === 'predicted' ? {} : outcome.failure
    this.#log.debug({ eventId, model: route.model, attempt, ...failure }, stored)
  }

  conflict({ event }: Delivery): void {
    this.#counts.conflicts++
    const { id: eventId, token, route } = event
    this.#log.warn({ eventId, token, model: route.model }, 'the same id was used with another payload')
  }

  pull(consumer: string, end: PullEnd | undefined): void {
    if (end === undefined) this.#log.info({ consumer }, 'pulling again')
    else this.#log.warn({ consumer, end }, 'pull failed')
  }

  storage(refusing: ReadonlyMap<string, string>): void {
    if (refusing.size === 0) this.#log.info('pulling goes on: outcomes can be stored again')
    else {
      const streams = Object.fromEntries(refusing)
      this.#log.error({ refusing: streams }, 'pulling stops: outcomes cannot be stored')
    }
  }

  marksUnavailable(err: unknown): void {
    this.#log.warn({ err }, 'start marks cannot be read or stored: their events are given back')
  }

  hung({ name, version, manifest }: ServedModel): void {
    const { timeoutMs } = manifest.limits
    this.#log.fatal({ model: name, version, timeoutMs }, 'a run does not end: this process does')
  }

  defect(err: unknown): void {
    this.#log.fatal({ err }, 'the worker stops: a defect, what it holds is handed out again')
  }
}
