import type { Msg } from '@nats-io/transport-node'
import type { Logger } from 'pino'
import { Batcher } from './batcher.ts'
import type { BrokerSide } from './broker-side.ts'
import { readDelivery } from './delivery.ts'
import { HeldDeliveries } from './held.ts'
import { Intake } from './intake.ts'
import type { InferenceThreads } from './models/inference-threads.ts'
import type { ModelRepository } from './models/repository.ts'
import { OutcomeStore, type Stored } from './outcome-store.ts'
import { predict } from './predict.ts'
import { type Prepared, prepare } from './prepare.ts'
import { RetryBudget } from './retry-budget.ts'
import { type Capacity, Room } from './room.ts'
import { type Concluded, settle } from './settlement.ts'
import { StorageHealth } from './storage-health.ts'

export interface WorkerDeps {
  readonly broker: BrokerSide
  readonly models: ModelRepository
  readonly threads: InferenceThreads
  readonly log: Logger
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

/**
 * The life of an event, in order: pull → receive (guard, decode, validate) → batch → predict → settle (store the
 * outcome, record it in the ledger, acknowledge). Each step is one function of this class.
 */
export class Worker {
  readonly #deps: WorkerDeps
  readonly #held: HeldDeliveries
  readonly #intake: Intake
  readonly #batcher: Batcher<Prepared>
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
  #running = 0
  #lingerTimer: NodeJS.Timeout | undefined
  #draining = false
  #failure: unknown

  constructor(deps: WorkerDeps, options: WorkerOptions) {
    const { broker, log } = deps
    this.#deps = deps
    const room = new Room(options.capacity)
    const health = new StorageHealth((refusing) => this.#onHealth(refusing))
    this.#held = new HeldDeliveries(broker.connection, room, broker.ackWaitMs)
    this.#batcher = new Batcher(options.lingerMs)
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

  /** 2–3. Guard, decode, validate; 4. what can be run waits for its batch. */
  #receive(message: Msg): void {
    const delivery = readDelivery(message, this.#deps.broker.epochs)
    if (delivery === undefined) return
    this.#held.add(delivery)
    const prepared = this.#draining ? undefined : prepare(delivery, this.#deps.models, this.#deps.broker.now)
    if (prepared === undefined) this.#held.giveBack(delivery)
    else if ('outcome' in prepared) this.#reject(prepared)
    else this.#enqueue(prepared)
  }

  #enqueue(prepared: Prepared): void {
    this.#held.countRows(prepared.delivery, prepared.rows)
    this.#batcher.add(prepared.kind, prepared.model.maxBatchRows, prepared, performance.now())
    this.#dispatch()
  }

  /** 4. Batch: every free place at the threads takes the next batch that is full or has waited long enough. */
  #dispatch(): void {
    while (this.#running < this.#deps.threads.size * BATCHES_PER_THREAD) {
      const batch = this.#batcher.take(performance.now(), this.#draining)
      if (batch === undefined) break
      this.#running++
      this.#own(this.#process(batch))
    }
    clearTimeout(this.#lingerTimer)
    const dueAt = this.#running === 0 ? this.#batcher.nextDueAt() : undefined
    if (dueAt !== undefined)
      this.#lingerTimer = setTimeout(() => this.#dispatch(), Math.max(0, dueAt - performance.now()))
  }

  /** 5–6. Infer, halving a batch that fails; then the place is free for the next batch while this one is settled. */
  async #process(batch: readonly Prepared[]): Promise<void> {
    const concluded = await predict(batch, this.#deps.threads, this.#deps.broker.now).finally(() => {
      this.#running--
      this.#dispatch()
    })
    this.#counts.batches++
    for (const { rows } of batch) this.#counts.rows += rows
    await this.#settle(concluded)
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
    this.#dispatch()
    await this.#held.empty()
    this.#held.close()
  }

  /** Gives up waiting for streams that refuse: what is not stored stays unacknowledged and is handed out again. */
  abort(): void {
    this.#force.abort()
    this.#held.close()
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
