import type { ServedModel } from '../../../shared/models/repository.ts'
import {
  ARRIVALS_FIRST_MS,
  claimProbe,
  endProbe,
  isProbeDue,
  judgeProbe,
  MOST_FAILURES,
  openBreaker,
  PROBE_EVENTS,
} from '../../../shared/operations/models/breaker.ts'
import type { Breaker } from '../../../shared/operations/models/model-record.ts'
import type { PoolModels } from '../../../shared/operations/models/pool-models.ts'
import type { Failure } from '../../../shared/sdk/contract/outcome.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import type { Models, WhyNot } from '../prepare/prepare.ts'
import { isConcluded, type Passed, type Prepared } from '../prepare/prepared.ts'
import { isSuspect } from '../prepare/start-marks.ts'
import type { Concluded, Outcome } from '../settle/outcome.ts'
import { type ChangeRecord, recordChanger } from './record-changer.ts'

type Delivery = Concluded['delivery']

export interface BreakersDeps {
  /** Name of this worker. */
  readonly worker: string
  readonly pool: Pick<PoolModels, 'find' | 'update' | 'onChange' | 'workers'>
  /** What is servable here, and what is but for its breaker. */
  readonly models: { readonly whyNot: WhyNot; readonly probing: Models }
  /** Broker time, milliseconds since 1970. */
  readonly now: () => number
  /** Reads events that probe their model, and goes on with them as with any. */
  readonly run: (deliveries: readonly Delivery[]) => void
  /** Goes on with what is to wait after all. */
  readonly hold: (events: readonly Concluded[]) => void
  /** Owns work nobody awaits. */
  readonly own: (work: () => Promise<void>) => void
  /** Told of a breaker that is open now, or closed: then without one. */
  readonly onTurn: (model: string, breaker: Breaker | undefined) => void
  /** Told of a record that could not be changed. */
  readonly onTrouble: (model: string, thrown: unknown) => void
}

/** Events of one model that are run although its breaker is open. */
interface Probe {
  /** Until it is claimed: they wait for that. */
  readonly waiting: Concluded[]
  /** Those that are run and have not ended, by token. */
  readonly running: Set<string>
  succeeded: number
  failed: number
  /** The error of the last that failed. */
  cause: string
  isClaimed: boolean
  isOver: boolean
  timer: NodeJS.Timeout | undefined
}

/** A probe waits for its turn beside other models as well, milliseconds. */
const TURN_MS = 10_000

/**
 * The circuit breakers of models, as one worker knows them: it counts what its runs come to, opens the breaker of a model that
 * fails on everything, holds its events, and probes it when that is due. What it finds stands in the pool's record of the model.
 */
export class Breakers {
  readonly #deps: BreakersDeps
  readonly #change: ChangeRecord
  /** Events that a model failed on in a row. */
  readonly #failures = new Map<string, number>()
  /** Models whose breaker this worker is opening. */
  readonly #opening = new Set<string>()
  /** Models whose breaker is open, as was last told. */
  readonly #open = new Set<string>()
  readonly #probes = new Map<string, Probe>()
  readonly #stopListening: () => void

  constructor(deps: BreakersDeps) {
    this.#deps = deps
    this.#change = recordChanger(deps.pool, deps.onTrouble)
    this.#stopListening = deps.pool.onChange((model) => this.#look(model))
  }

  /** What of these events goes on. The rest probes its model: it comes back by itself once this worker has the probe. */
  probe(passed: Passed): Passed {
    if (!passed.some(isHeld)) return passed
    return passed.filter((event) => !isHeld(event) || !this.#takes(event))
  }

  /** The last look before a run: events whose model has turned out to fail on everything wait for it. */
  hold(batch: Passed): Passed {
    return batch.map((event) => {
      if (isConcluded(event) || this.#breakerOf(event.model.name) === undefined) return event
      const { delivery, model } = event
      const why = this.#deps.models.whyNot(model.name, model.version)
      if (why?.cause !== 'breaker' || this.#isProbe(event)) return event
      return { delivery, outcome: { kind: 'not-servable', why } }
    })
  }

  /** Counts how events ended that were run. Resolves once the pool knows what follows from it. */
  async count(concluded: readonly Concluded[]): Promise<void> {
    for (const { delivery, outcome } of concluded) {
      const failure = failureOfModel(outcome)
      if (failure === undefined && outcome.kind !== 'predicted') continue
      // Nearly always nothing follows, and of nothing nobody waits for the end.
      const work = this.#ended(delivery, failure)
      if (work !== undefined) await work
    }
  }

  /** An event is in other hands, or has ended without a run: it says nothing of its model. */
  left({ event }: Delivery): void {
    if (this.#probes.size === 0) return
    const { model } = event.route
    const probe = this.#probes.get(model)
    if (probe?.running.delete(event.token)) this.#deps.own(() => this.#judge(model, probe))
  }

  close(): void {
    this.#stopListening()
    for (const { timer } of this.#probes.values()) clearTimeout(timer)
    this.#probes.clear()
  }

  /** One of a probe speaks for that; any other for whether the model fails on everything. */
  #ended(delivery: Delivery, failure: Failure | undefined): Promise<void> | undefined {
    const { route, token } = delivery.event
    const probe = this.#probes.get(route.model)
    if (probe?.running.delete(token)) return this.#probed(route.model, probe, failure)
    // An event that is tried again and again says nothing of its neighbours: it counts when it is first run.
    if (failure !== undefined) return isSuspect(delivery) ? undefined : this.#failed(route.model, failure)
    this.#failures.delete(route.model)
    return undefined
  }

  #failed(model: string, failure: Failure): Promise<void> | undefined {
    if (this.#opening.has(model) || this.#breakerOf(model) !== undefined) return undefined
    const failures = (this.#failures.get(model) ?? 0) + 1
    this.#failures.set(model, failures)
    return failures < MOST_FAILURES ? undefined : this.#openOne(model, failure, failures)
  }

  async #openOne(model: string, { description: cause }: Failure, failures: number): Promise<void> {
    this.#failures.delete(model)
    this.#opening.add(model)
    const { now } = this.#deps
    await this.#change(model, (record) => openBreaker(record, { now: now(), cause, failures }))
    this.#opening.delete(model)
  }

  /** Whether an event takes part in a probe: in one that waits for its claim, or in one that it begins. */
  #takes(event: Concluded): boolean {
    const { route, modelVersion } = event.delivery.event
    const served = this.#servedHere(route.model, modelVersion)
    if (served === undefined) return false
    const probe = this.#probes.get(route.model)
    if (probe === undefined) return this.#begin(event, served)
    if (probe.isClaimed || probe.waiting.length >= PROBE_EVENTS) return false
    probe.waiting.push(event)
    return true
  }

  #servedHere(model: string, version: string | undefined): ServedModel | undefined {
    const { probing } = this.#deps.models
    return probing.whyNot?.(model, version) === undefined ? probing.find(model, version) : undefined
  }

  #begin(event: Concluded, { name, manifest }: ServedModel): boolean {
    const { now, own } = this.#deps
    const restMs = event.delivery.info.stream === STREAMS.features ? 0 : ARRIVALS_FIRST_MS
    if (!isProbeDue(this.#breakerOf(name), now() - restMs, this.#isGone)) return false
    const probe: Probe = {
      waiting: [event],
      running: new Set(),
      succeeded: 0,
      failed: 0,
      cause: '',
      ...{ isClaimed: false, isOver: false },
      timer: undefined,
    }
    this.#probes.set(name, probe)
    own(() => this.#claim(name, probe, manifest.limits.timeoutMs + TURN_MS))
    return true
  }

  /** Whether a claim is of nobody: its worker is not alive, or was a process of this name before. */
  readonly #isGone = (worker: string): boolean =>
    worker === this.#deps.worker || !this.#deps.pool.workers.includes(worker)

  /** Of several workers one has the probe. What waited for it runs here then, and waits on where another has it. */
  async #claim(model: string, probe: Probe, forMs: number): Promise<void> {
    const { worker: by, now, run, hold } = this.#deps
    const until = now() + forMs
    const record = await this.#change(model, (before) =>
      claimProbe(before, { by, now: now(), until, isGone: this.#isGone }),
    )
    const { probing } = record?.breaker ?? {}
    const events = probe.waiting.splice(0)
    if (probing?.by !== by || probing.until !== until) {
      this.#probes.delete(model)
      hold(events)
      return
    }
    probe.isClaimed = true
    for (const { delivery } of events) probe.running.add(delivery.event.token)
    // Others may probe then: what is not known of this one by now is not waited for.
    probe.timer = setTimeout(() => this.#deps.own(() => this.#end(model, probe)), forMs).unref()
    run(events.map(({ delivery }) => delivery))
  }

  async #probed(model: string, probe: Probe, failure: Failure | undefined): Promise<void> {
    if (failure === undefined) probe.succeeded++
    else {
      probe.failed++
      probe.cause = failure.description
    }
    await this.#judge(model, probe)
  }

  async #judge(model: string, probe: Probe): Promise<void> {
    if (judgeProbe(probe, probe.running.size === 0) !== undefined) await this.#end(model, probe)
  }

  async #end(model: string, probe: Probe): Promise<void> {
    if (probe.isOver) return
    probe.isOver = true
    clearTimeout(probe.timer)
    const { worker: by, now } = this.#deps
    const verdict = judgeProbe(probe, true) ?? 'nothing'
    const { failed: failures, cause } = probe
    await this.#change(model, (record) => endProbe(record, { by, verdict, now: now(), failures, cause }))
    this.#probes.delete(model)
  }

  #isProbe({ delivery, model }: Prepared): boolean {
    return this.#probes.get(model.name)?.running.has(delivery.event.token) === true
  }

  #breakerOf(model: string): Breaker | undefined {
    return this.#deps.pool.find(model)?.breaker
  }

  /** Tells once that a breaker is open, or closed; what was counted before says nothing any more. */
  #look(model: string): void {
    const breaker = this.#breakerOf(model)
    if ((breaker !== undefined) === this.#open.has(model)) return
    this.#failures.delete(model)
    if (breaker === undefined) this.#open.delete(model)
    else this.#open.add(model)
    this.#deps.onTurn(model, breaker)
  }
}

/** Whether an event waits because its model fails on everything. */
function isHeld(event: Prepared | Concluded): event is Concluded {
  return isConcluded(event) && event.outcome.kind === 'not-servable' && event.outcome.why.cause === 'breaker'
}

/** Reasons that may be the model's fault; not what an event, its deadline or the broker brings about. */
const OF_MODEL: ReadonlySet<string> = new Set(['inference-failed', 'invalid-output', 'timed-out'])

function failureOfModel(outcome: Outcome): Failure | undefined {
  if (outcome.kind !== 'dead-lettered' && outcome.kind !== 'retried') return undefined
  return OF_MODEL.has(outcome.failure.reason) ? outcome.failure : undefined
}
