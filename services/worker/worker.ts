import { createCodec } from '../../shared/models/codec-threads.ts'
import type { ServedModel } from '../../shared/models/repository.ts'
import { LargeGarbage } from '../../shared/runtime/large-garbage.ts'
import { Turns } from '../../shared/runtime/turns.ts'
import { namesOf } from '../../shared/sdk/jetstream/names-of.ts'
import type { Dispatcher } from './batch/dispatcher.ts'
import { openWorkerFlow, type WorkerFlow } from './flow/worker-flow.ts'
import { answerWith } from './infer/answer-with.ts'
import { ApartModels } from './infer/apart-models.ts'
import { Breakers } from './infer/breakers.ts'
import { seeToHungRuns } from './infer/hung-runs.ts'
import { type Answering, isTimedOut, noting, predict, type Run, runOn } from './infer/predict.ts'
import { type Arrival, Arrivals } from './intake/arrivals.ts'
import { Backlog } from './intake/backlog.ts'
import { type Delivery, isSmall, readDeliveries } from './intake/delivery.ts'
import { HeldDeliveries } from './intake/held.ts'
import { type EndedPull, Intake } from './intake/intake.ts'
import { Room, type WorkerLoad } from './intake/room.ts'
import { createInterceptors, type Interceptors } from './observe/interceptors.ts'
import { Reporter, type WorkerCounts } from './observe/reporter.ts'
import { concludeLate } from './prepare/deadline.ts'
import { type Models, prepare } from './prepare/prepare.ts'
import { prepareLarge } from './prepare/prepare-large.ts'
import { type Batch, isConcluded, type Passed, type Prepared, rowsOf } from './prepare/prepared.ts'
import { isSuspect, StartMarks } from './prepare/start-marks.ts'
import { LedgerReserve } from './settle/ledger-reserve.ts'
import type { Concluded } from './settle/outcome.ts'
import { isOftenHandedOn, WAITS_APART } from './settle/parking.ts'
import { type SettlementDeps, settle } from './settle/settlement.ts'
import { PatientStorage } from './settle/storage.ts'
import type { Shedding } from './shed/shedding.ts'
import { type Unserved, WaitingForModels } from './waiting.ts'
import type { WorkerDeps, WorkerOptions } from './worker-deps.ts'
import { openWorkerQueue, type WorkerQueue } from './worker-queue.ts'
import { openWorkerSettlement } from './worker-settlement.ts'

/** How long the broker keeps an event of a model that runs apart back when it is handed on, milliseconds. */
const APART_DELAY_MS = 1_000

/**
 * The life of an event, in order: pull → receive (guard, decode, validate) → batch → predict → settle (store the
 * outcome, record it in the ledger, acknowledge). Events go through it in batches, and each stage says what became of
 * each of them: `run`, `#receive`, `#process` and `#settle` tell it from top to bottom.
 */
export class Worker {
  readonly #deps: WorkerDeps
  readonly #reporter: Reporter
  readonly #observe: Interceptors
  readonly #run: Run
  readonly #turns: Turns
  readonly #codec = createCodec()
  readonly #garbage = new LargeGarbage()
  readonly #answering: Answering
  readonly #arrivals: Arrivals
  readonly #room: Room
  readonly #held: HeldDeliveries
  readonly #flow: WorkerFlow
  readonly #intake: Intake
  readonly #dispatcher: Dispatcher
  readonly #shedding: Shedding
  readonly #apart: ApartModels
  readonly #breakers: Breakers
  readonly #startMarks: StartMarks
  readonly #stopWatching: () => void
  readonly #storage: PatientStorage
  readonly #ledger: LedgerReserve
  readonly #waiting: WaitingForModels
  readonly #settlement: SettlementDeps
  readonly #backlog = new Backlog()
  readonly #force = new AbortController()
  /** Events whose outcome is known without a run, waiting to be settled together. */
  #concluded: Concluded[] = []
  #lastReceivedMs = performance.now()
  #draining = false
  /** Whether it drains to be replaced, because of a run that does not end: then nothing is given back that can be run. */
  #isLeaving = false
  #failure: unknown

  constructor(deps: WorkerDeps, options: WorkerOptions) {
    const { broker, threads, observers = {} } = deps
    this.#deps = deps
    this.#reporter = new Reporter(deps.log, observers.metrics, namesOf(broker.connection))
    // Looking on wraps a step from outside, and is nothing where nobody looks.
    this.#observe = createInterceptors(observers)
    this.#apart = new ApartModels(deps.pool, broker.now, (...trouble) => this.#reporter.untold(...trouble))
    this.#breakers = this.#createBreakers(options)
    const isApart = (model: string): boolean => this.#apart.isApart(model)
    this.#turns = deps.turns ?? new Turns()
    this.#answering = answerWith(broker, this.#turns, this.#codec)
    const { maxBytes } = this.#answering
    // Nothing may escape into the client: it would end its reader.
    this.#arrivals = new Arrivals(this.#turns, (slice) => this.#own(async () => this.#receive(slice)))
    this.#room = new Room(options.capacity)
    const { connection, ackWaitMs } = broker
    this.#held = new HeldDeliveries(connection, this.#room, {
      ackWaitMs,
      onKeptAway: (...kept) => this.#waiting.keptAway(...kept),
      onLate: (count) => this.#reporter.late(count, ackWaitMs),
    })
    this.#flow = openWorkerFlow(deps, options, { backlog: this.#backlog, held: this.#held, isApart })
    const run = runOn({ threads, apart: this.#flow.timed(deps.apart), isApart, maxBytes }, this.#turns)
    this.#run = this.#observe.run(noting(deps.models.unavailable, run))
    const onChange = (refusing: ReadonlyMap<string, string>): void => this.#onStorage(refusing)
    this.#ledger = new LedgerReserve(broker.ledgerUsed, (because) => this.#onLedger(because))
    this.#storage = new PatientStorage(broker, { signal: this.#force.signal, onChange })
    this.#startMarks = new StartMarks(this.#storage, broker.window)
    this.#intake = this.#createIntake(options)
    const queue = this.#openQueue(options)
    this.#dispatcher = queue.dispatcher
    this.#shedding = queue.shedding
    this.#waiting = new WaitingForModels({
      ...deps,
      ...options,
      ...{ pool: deps.pool, room: this.#room, held: this.#held },
      look: (delivery) => this.#startMarks.look(delivery),
    })
    this.#settlement = this.#openSettlement(options)
    this.#stopWatching = this.#watchRuns()
    broker.onLook(() => this.#ledger.look())
    this.#ledger.look()
    deps.pool.onChange(() => this.#onPoolChange())
  }

  get counts(): WorkerCounts {
    return this.#reporter.counts
  }

  /** What is held or promised, of what there may be. */
  get load(): WorkerLoad {
    const { capacity, rows, freeBytes } = this.#room
    return { events: this.#held.size, rows, bytes: capacity.bytes - freeBytes, capacity }
  }

  /** How long it has had nothing to do, milliseconds. */
  get idleMs(): number {
    return this.#held.size > 0 ? 0 : performance.now() - this.#lastReceivedMs
  }

  /** What this worker sees of its pool's backlog, lane by lane. */
  get backlog(): Pick<Backlog, 'read'> {
    return this.#backlog
  }

  /** Streams that do not take what this worker has to store, each with a reason: while there is one, it does not pull. */
  get refusing(): ReadonlyMap<string, string> {
    return this.#storage.refusing
  }

  /** Why nothing is pulled although every stream takes what there is to store: the ledger is nearly full. */
  get ledgerStops(): string | undefined {
    return this.#ledger.because
  }

  /** Models that are not servable here, what waits for them, and the lanes that stand because of it. */
  get unserved(): Unserved {
    return this.#waiting
  }

  /** 1. Pull: until stopped, bounded batches from every lane, never more than there is room for. */
  async run(): Promise<void> {
    await this.#intake.run()
    this.#reporter.close()
    if (this.#failure !== undefined) throw this.#failure
  }

  /**
   * 2–3. Guard, decode, validate what came in one turn of the loop; 4. what can be run waits for its batch, a suspect only
   * after a look at its past.
   */
  #receive(arrivals: readonly Arrival[]): void {
    const deliveries = this.#held.add(readDeliveries(arrivals, this.#deps.broker.epochs))
    this.#lastReceivedMs = performance.now()
    this.#backlog.received(deliveries, this.#lastReceivedMs)
    this.#flow.received(deliveries)
    this.#reporter.received(deliveries)
    if (this.#draining) {
      for (const delivery of deliveries) this.#held.giveBack(delivery)
      return
    }
    this.#prepare(deliveries, this.#deps.models)
  }

  /** 2–3. Guard, decode, validate. @param models what is servable; for events that probe their model, its breaker apart */
  #prepare(deliveries: readonly Delivery[], models: Models): void {
    for (const delivery of deliveries)
      if (delivery.isLarge) this.#own(() => this.#prepareLarge(delivery, models))
    this.#admit(prepare(deliveries.filter(isSmall), models, this.#deps.broker.now()))
  }

  /** 2–3 for an event that is more than a turn of the loop may read: threads read it. */
  async #prepareLarge(delivery: Delivery, models: Models): Promise<void> {
    const { broker } = this.#deps
    this.#garbage.passed(delivery.body.length)
    const passed = await prepareLarge(delivery, {
      ...broker,
      models,
      codec: this.#codec,
      held: this.#held,
      onUnread: (unread, thrown) => this.#reporter.unread(unread, thrown),
    })
    if (passed !== undefined) this.#admit([passed])
  }

  /** What can be run waits for its batch, a suspect only after a look at its past; the rest is concluded. */
  #admit(passed: Passed): void {
    const prepared = this.#goOn(this.#breakers.probe(passed))
    this.#flow.read(prepared)
    for (const { delivery, rows, model, ignored } of prepared) {
      this.#held.countRows(delivery, rows)
      if (ignored !== undefined) this.#reporter.ignored(model, ignored)
    }
    // What runs apart ends no worker: its past tells nothing.
    const isToBeVetted = (event: Prepared): boolean =>
      isSuspect(event.delivery) && !this.#apart.isApart(event.model.name)
    const suspects = prepared.filter(isToBeVetted)
    if (suspects.length > 0) this.#own(() => this.#vet(suspects))
    this.#add(suspects.length === 0 ? prepared : prepared.filter((event) => !isToBeVetted(event)))
  }

  async #vet(suspects: Batch): Promise<void> {
    this.#add(this.#goOn(await this.#startMarks.vet(suspects)))
  }

  /**
   * They wait for their batches, but for those that would wait too long. Of models that run apart few are held, and by a
   * process that is replaced none.
   */
  #add(batch: Batch): void {
    const leaves = (event: Prepared): boolean => this.#isLeaving && this.#apart.isApart(event.model.name)
    this.#handOn(batch.filter(leaves))
    const staying = batch.filter((event) => !leaves(event))
    const add = (some: Batch): void => this.#handOn(this.#dispatcher.add(some))
    for (const ended of this.#shedding.admit(staying, this.#deps.broker.now(), add)) this.#conclude(ended)
  }

  /**
   * Others may have a process free for them. That they come again says nothing against them. What was handed on often is
   * parked instead: what is given back stays in flight, and a backlog of it would hold up its whole lane.
   */
  #handOn(batch: Batch): void {
    for (const { delivery } of batch)
      this.#own(async () => {
        const excuse = await this.#startMarks.look(delivery)
        if (!this.#isLeaving && isOftenHandedOn(delivery))
          return this.#conclude({ delivery, outcome: WAITS_APART })
        await excuse()
        this.#held.keepAway(delivery, APART_DELAY_MS)
      })
  }

  /**
   * 5–6. Infer what is still in time, halving a batch that fails; then its place is free for the next batch while this
   * one is settled.
   */
  async #process(batch: Batch): Promise<void> {
    await this.#startMarks.begin(batch)
    const now = this.#deps.broker.now()
    const held = this.#breakers.hold(concludeLate(batch, now))
    const inTime = this.#goOn(this.#shedding.beforeRun(batch, held, now))
    const process = this.#observe.process(async (events) => {
      const concluded = await this.#predict(events).finally(() => this.#dispatcher.free(batch))
      this.#backlog.ran(events.length, rowsOf(events))
      this.#held.ran(events)
      this.#reporter.ran(events)
      // The run is over: whatever ends the process now, it was not this batch.
      this.#startMarks.clear(batch)
      await this.#apart.count(concluded)
      await this.#breakers.count(concluded)
      await this.#settle(concluded)
    })
    if (inTime.length > 0) await process(inTime)
    else {
      this.#startMarks.clear(batch)
      this.#dispatcher.free(batch)
    }
  }

  /** A run that several shared and that did not end condemns none of them: they are handed on, and run one by one. */
  async #predict(batch: Batch): Promise<readonly Concluded[]> {
    try {
      return await predict(batch, this.#run, this.#deps.broker.now, this.#answering)
    } catch (thrown) {
      if (!isTimedOut(thrown)) throw thrown
      this.#handOn(batch)
      return []
    }
  }

  /** 7–8. Store the outcomes, record them in the ledger, acknowledge: in this order, in one place. */
  async #settle(group: readonly Concluded[]): Promise<void> {
    const settling = this.#observe.settle((concluded) => settle(concluded, this.#settlement))
    await settling(group)
  }

  /**
   * Drains: no more pulls, what is held is finished and settled, what still arrives is given back.
   * Safe to call twice.
   */
  async stop(): Promise<void> {
    this.#draining = !this.#isLeaving
    await this.#intake.stop()
    this.#arrivals.flush()
    this.#dispatcher.flush()
    this.#handOn(this.#dispatcher.removeApart())
    await this.#held.empty()
    this.#held.close()
    this.#flow.close()
    await this.#codec.close()
    this.#waiting.close()
    this.#breakers.close()
    this.#deps.models.unavailable.close()
    this.#stopWatching()
  }

  /** Gives up waiting for streams that refuse: what is not stored stays unacknowledged and is handed out again. */
  abort(): void {
    this.#force.abort()
    this.#held.close()
  }

  #onPoolChange(): void {
    // Another worker of the pool has seen a run that does not end: what waits here is not to show it again.
    this.#add(this.#dispatcher.removeApart())
    // What others serve may change what this one is to take.
    this.#room.wake()
  }

  /** What the neighbours have in hand, and what still comes of theirs, goes on until this process is replaced. */
  #onForsaken({ name }: ServedModel): void {
    this.#handOn(this.#dispatcher.removeApart())
    this.#deps.leave(`a run of model ${name} does not end`)
  }

  /** What of a batch goes on to the next stage; the rest is concluded, or another's by now. */
  #goOn(passed: Passed): Batch {
    const batch: Prepared[] = []
    const now = this.#held.now()
    for (const event of passed) {
      if (isConcluded(event)) this.#conclude(event)
      else if (!this.#held.isKept(event.delivery, now)) this.#held.drop(event.delivery)
      else batch.push(event)
    }
    return batch
  }

  /** What ends without a run is settled together with others that came in the same turn of the loop. */
  #conclude(concluded: Concluded): void {
    if (this.#concluded.push(concluded) > 1) return
    setImmediate(() => this.#own(() => this.#settle(this.#concluded.splice(0))))
  }

  /** Owns work nobody awaits. Only being forced to stop may end it early; anything else is a defect and stops the worker. */
  #own(work: () => Promise<void>): void {
    work().catch((thrown: unknown) => {
      if (this.#force.signal.aborted) return
      this.#failure ??= thrown
      this.#reporter.defect(thrown)
      void this.#intake.stop()
    })
  }

  #openQueue(options: WorkerOptions): WorkerQueue {
    return openWorkerQueue(this.#deps, options, {
      ...{ backlog: this.#backlog, arrivals: this.#arrivals },
      isApart: (model) => this.#apart.isApart(model),
      start: (batch) => this.#own(() => this.#process(batch)),
    })
  }

  #openSettlement(options: WorkerOptions): SettlementDeps {
    return openWorkerSettlement(this.#deps, options, {
      ...{ storage: this.#storage, held: this.#held, waiting: this.#waiting, reporter: this.#reporter },
      ...{ breakers: this.#breakers, shedding: this.#shedding, observe: this.#observe },
      ...{ turns: this.#turns, garbage: this.#garbage },
    })
  }

  #createIntake(options: WorkerOptions): Intake {
    const { connection, maxMessageBytes } = this.#deps.broker
    return new Intake(connection, this.#room, {
      ...options,
      maxMessageBytes,
      most: (consumer) => this.#waiting.most(consumer),
      onMessages: (messages) => this.#arrivals.add(messages, this.#held.sentSince),
      onPull: (pull) => this.#onPull(pull),
      onTrouble: (consumer, end) => this.#reporter.pull(consumer, end),
    })
  }

  #createBreakers({ name }: WorkerOptions): Breakers {
    const { broker, models, pool } = this.#deps
    return new Breakers({
      worker: name,
      ...{ pool, models, now: broker.now },
      run: (deliveries) => this.#prepare(deliveries, models.probing),
      hold: (events) => this.#goOn(events),
      own: (work) => this.#own(work),
      onTurn: (model, breaker) => this.#reporter.breaker(model, breaker),
      onTrouble: (...trouble) => this.#reporter.untold(...trouble),
    })
  }

  #watchRuns(): () => void {
    return seeToHungRuns({
      threads: this.#deps.threads,
      apart: this.#apart,
      running: () => this.#dispatcher.running,
      onHung: (model) => {
        this.#isLeaving = true
        this.#reporter.hung(model)
      },
      accuse: (batch) => this.#own(() => this.#startMarks.accuse(batch)),
      onForsaken: (model) => this.#onForsaken(model),
      own: (work) => this.#own(work),
    })
  }

  #onPull(pull: EndedPull): void {
    if (pull.received === 0 && pull.end === 'drained') this.#backlog.empty(pull.lane, pull.consumer)
    this.#reporter.pulled(pull)
  }

  #onStorage(refusing: ReadonlyMap<string, string>): void {
    this.#pauseOrGoOn()
    this.#reporter.storage(refusing)
  }

  #onLedger(because: string | undefined): void {
    this.#pauseOrGoOn()
    this.#reporter.ledger(because)
  }

  #pauseOrGoOn(): void {
    this.#intake.paused = this.refusing.size > 0 || this.ledgerStops !== undefined
  }
}
