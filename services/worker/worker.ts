import type { Msg } from '@nats-io/transport-node'
import type { Logger } from 'pino'
import { PeltonError } from '../../shared/sdk/errors.ts'
import type { BrokerSide } from './broker-side.ts'
import { readDelivery } from './delivery.ts'
import { Dispatcher } from './dispatcher.ts'
import { HeldDeliveries } from './held.ts'
import { Intake } from './intake.ts'
import type { InferenceThreads } from './models/inference-threads.ts'
import type { ModelRepository, ServedModel } from './models/repository.ts'
import { DEFAULT_RETRIES, decideFailure } from './outcome.ts'
import { OutcomeStore, type Stored } from './outcome-store.ts'
import { predict } from './predict.ts'
import { type Prepared, prepare } from './prepare.ts'
import { RetryBudget } from './retry-budget.ts'
import { type Capacity, Room } from './room.ts'
import { type Concluded, settle } from './settlement.ts'
import { StorageHealth } from './storage-health.ts'
import { isSuspect, Suspects } from './suspects.ts'
import { watchRuns } from './watchdog.ts'

export interface WorkerDeps {
  readonly broker: BrokerSide
  readonly models: ModelRepository
  readonly threads: InferenceThreads
  readonly log: Logger
  /** Ends the process at once: what cannot be cancelled cannot be waited for. */
  readonly die: () => void
}

export interface WorkerOptions {
  readonly name: string
  readonly pool: string
  readonly capacity: Capacity
  /** How long the first event of a batch waits for others, milliseconds. */
  readonly lingerMs: number
}

/** What a worker did since it started. */
export type WorkerCounts = Readonly<Record<Stored, number>> & {
  readonly batches: number
  readonly rows: number
}

/** Batches in flight per inference thread: one runs, one waits, so that a thread never idles for a hop. */
const BATCHES_PER_THREAD = 2

/** How long the broker keeps an event back whose start mark could not be read or stored, milliseconds. */
const MARK_RETRY_MS = 1_000

/** How long a process with a hung run has to give back what it holds, milliseconds. */
const HUNG_GRACE_MS = 5_000

/**
 * The life of an event, in order: pull → receive (guard, decode, validate) → batch → predict → settle (store the
 * outcome, record it in the ledger, acknowledge). Each step is one function of this class.
 */
export class Worker {
  readonly #deps: WorkerDeps
  readonly #held: HeldDeliveries
  readonly #intake: Intake
  readonly #dispatcher: Dispatcher
  readonly #suspects: Suspects
  readonly #stopWatching: () => void
  readonly #store: OutcomeStore
  readonly #budget = new RetryBudget()
  readonly #force = new AbortController()
  readonly #counts = {
    predicted: 0,
    'already-answered': 0,
    'dead-lettered': 0,
    retried: 0,
    returned: 0,
    batches: 0,
    rows: 0,
  }
  /** Events that cannot be run, waiting to be settled together. */
  #rejected: Concluded[] = []
  #draining = false
  #failure: unknown

  constructor(deps: WorkerDeps, options: WorkerOptions) {
    const { broker, log } = deps
    this.#deps = deps
    const room = new Room(options.capacity)
    const health = new StorageHealth((refusing) => this.#onHealth(refusing))
    this.#held = new HeldDeliveries(broker.connection, room, broker.ackWaitMs)
    this.#suspects = new Suspects(broker.connection, broker.window)
    this.#dispatcher = new Dispatcher({
      lingerMs: options.lingerMs,
      places: deps.threads.size * BATCHES_PER_THREAD,
      start: (batch, free) => this.#own(this.#process(batch, free)),
    })
    this.#stopWatching = watchRuns(deps.threads, deps.models.models, (model) =>
      this.#own(this.#onHung(model)),
    )
    this.#intake = new Intake(broker.connection, room, {
      ...options,
      maxMessageBytes: broker.maxMessageBytes,
      onMessage: (message) => this.#receive(message),
      onTrouble: (consumer, end) =>
        log[end ? 'warn' : 'info']({ consumer, end }, end ? 'pull failed' : 'pulling again'),
    })
    this.#store = new OutcomeStore({
      ...broker,
      health,
      worker: options.name,
      pool: options.pool,
      signal: this.#force.signal,
      onConflict: ({ event }) =>
        log.warn({ eventId: event.id, token: event.token }, 'the same id was used with another payload'),
    })
  }

  get counts(): WorkerCounts {
    return { ...this.#counts }
  }

  /** Deliveries held at this moment. */
  get held(): number {
    return this.#held.size
  }

  /** 1. Pull: until stopped, bounded batches from every lane, never more than there is room for. */
  async run(): Promise<void> {
    await this.#intake.run()
    if (this.#failure !== undefined) throw this.#failure
  }

  /** 2–3. Guard, decode, validate; 4. what can be run waits for its batch, a suspect only after a look at its past. */
  #receive(message: Msg): void {
    const delivery = readDelivery(message, this.#deps.broker.epochs)
    if (delivery === undefined) return
    this.#held.add(delivery)
    const prepared = this.#draining ? undefined : prepare(delivery, this.#deps.models, this.#deps.broker.now)
    if (prepared === undefined) this.#held.giveBack(delivery)
    else if ('outcome' in prepared) this.#reject(prepared)
    else {
      this.#held.countRows(delivery, prepared.rows)
      if (isSuspect(delivery)) this.#own(this.#vet(prepared))
      else this.#dispatcher.add(prepared)
    }
  }

  async #vet(prepared: Prepared): Promise<void> {
    try {
      const vetted = await this.#suspects.vet(prepared)
      if ('outcome' in vetted) this.#reject(vetted)
      else this.#dispatcher.add(vetted)
    } catch (err) {
      this.#deps.log.warn({ err }, 'a start mark cannot be read: its event is given back')
      this.#held.giveBack(prepared.delivery, MARK_RETRY_MS)
    }
  }

  /** 5–6. Infer, halving a batch that fails; then the place is free for the next batch while this one is settled. */
  async #process(batch: readonly Prepared[], free: () => void): Promise<void> {
    if (!(await this.#mark(batch))) return free()
    const concluded = await predict(batch, this.#deps.threads, this.#deps.broker.now).finally(free)
    this.#counts.batches++
    for (const { rows } of batch) this.#counts.rows += rows
    await this.#settle(concluded)
    for (const { mark, delivery } of batch) if (mark !== undefined) this.#suspects.clear(delivery.event.token)
  }

  /** A suspect runs only once its start mark is stored. */
  async #mark(batch: readonly Prepared[]): Promise<boolean> {
    if (batch[0]?.mark === undefined) return true
    try {
      await this.#suspects.begin(batch)
      return true
    } catch (err) {
      this.#deps.log.warn({ err }, 'start marks cannot be stored: their events are given back')
      for (const { delivery } of batch) this.#held.giveBack(delivery, MARK_RETRY_MS)
      return false
    }
  }

  /** 7–8. Store the outcomes, record them in the ledger, acknowledge: in this order, in one place. */
  async #settle(group: readonly Concluded[]): Promise<void> {
    await settle(group, {
      store: this.#store,
      held: this.#held,
      mayRetry: () => this.#deps.broker.mayRetry() && this.#budget.spend(),
      onPredicted: () => this.#budget.succeeded(),
      epochs: this.#deps.broker.epochs,
      onSettled: (concluded, stored) => this.#report(concluded, stored),
    })
  }

  /**
   * Drains: no more pulls, what is held is finished and settled, what still arrives is given back.
   * Safe to call twice.
   */
  async stop(): Promise<void> {
    this.#draining = true
    await this.#intake.stop()
    this.#dispatcher.flush()
    await this.#held.empty()
    this.#held.close()
    this.#stopWatching()
  }

  /** Gives up waiting for streams that refuse: what is not stored stays unacknowledged and is handed out again. */
  abort(): void {
    this.#force.abort()
    this.#held.close()
  }

  /**
   * A run that does not end cannot be cancelled. The event that ran alone is the culprit and is settled; otherwise
   * those that were running are marked, to run alone next time. Everything else goes back at once, then the process ends.
   */
  async #onHung(model: ServedModel): Promise<void> {
    const { broker, log, die } = this.#deps
    const { timeoutMs } = model.manifest.limits
    log.fatal(
      { model: model.name, version: model.version, timeoutMs },
      'a run does not end: this process does',
    )
    const deadline = setTimeout(die, HUNG_GRACE_MS)
    this.#draining = true
    const running = [...this.#dispatcher.running].flat()
    const [culprit] = running
    if (culprit?.runsAlone) await this.#settle([timedOut(culprit, broker.now())])
    else await this.#suspects.begin(running)
    this.#held.giveBackAll()
    await broker.connection.flush()
    clearTimeout(deadline)
    die()
  }

  /** Events that cannot be run are settled together with others that came in the same turn of the loop. */
  #reject(concluded: Concluded): void {
    if (this.#rejected.push(concluded) > 1) return
    setImmediate(() => this.#own(this.#settle(this.#rejected.splice(0))))
  }

  /** Owns work nobody awaits. Only being forced to stop may end it early; anything else is a defect and stops the worker. */
  #own(work: Promise<void>): void {
    work.catch((thrown: unknown) => {
      if (this.#force.signal.aborted) return
      this.#failure ??= thrown
      this.#deps.log.fatal({ err: thrown }, 'the worker stops: a defect, what it holds is handed out again')
      void this.#intake.stop()
    })
  }

  #onHealth(refusing: ReadonlyMap<string, string>): void {
    this.#intake.paused = refusing.size > 0
    if (refusing.size > 0)
      this.#deps.log.error(
        { refusing: Object.fromEntries(refusing) },
        'pulling stops: outcomes cannot be stored',
      )
    else this.#deps.log.info('pulling goes on: outcomes can be stored again')
  }

  #report({ delivery, outcome }: Concluded, stored: Stored): void {
    this.#counts[stored]++
    if (stored === 'predicted') return
    const { id: eventId, route, attempt } = delivery.event
    const failure = outcome.kind === 'predicted' ? {} : outcome.failure
    this.#deps.log.debug({ eventId, model: route.model, attempt, ...failure }, stored)
  }
}

function timedOut({ delivery, model }: Prepared, now: number): Concluded {
  const { timeoutMs } = model.manifest.limits
  const error = new PeltonError('timed-out', `the model did not answer within ${timeoutMs} ms`, {
    field: 'limits.timeoutMs',
    remedy: 'Raise the limit in the manifest, or mend the model.',
  })
  return {
    delivery,
    outcome: decideFailure(
      error,
      'infer',
      { ...delivery.event, now },
      { ...DEFAULT_RETRIES, ...model.manifest.retries },
    ),
  }
}
