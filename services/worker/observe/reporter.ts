import type { Logger } from 'pino'
import type { IgnoredFeatures } from '../../../shared/models/bind.ts'
import type { ServedModel } from '../../../shared/models/repository.ts'
import type { Breaker } from '../../../shared/operations/models/model-record.ts'
import { LineLimit } from '../../../shared/runtime/line-limit.ts'
import { readTraceparent } from '../../../shared/runtime/trace-context.ts'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { type Names, PLAIN_NAMES } from '../../../shared/sdk/contract/names.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import type { PullEnd } from '../../../shared/sdk/jetstream/pull-lane.ts'
import type { Delivery } from '../intake/delivery.ts'
import type { EndedPull } from '../intake/intake.ts'
import { type Batch, rowsOf } from '../prepare/prepared.ts'
import type { Outcome } from '../settle/outcome.ts'
import type { Stored } from '../settle/outcome-store.ts'
import { type Settled, shedKindOf } from '../settle/settlement.ts'
import type { WorkerMetrics } from './worker-metrics.ts'

/** Events that had passed their deadline; that were given up before it; whose prediction was stored after it. */
type EndedByDeadline = 'expired' | 'shed' | 'missed'

/** What a worker did since it started. */
export type WorkerCounts = Readonly<
  Record<Stored | 'batches' | 'rows' | 'conflicts' | EndedByDeadline, number>
>

/** Ignored features of one model that are told by name at most: names come from outside. */
const MOST_IGNORED_TOLD = 100

/**
 * What a worker tells of its work: counts, metrics, and one log line for each event of interest; of each kind ten a minute
 * and a count, because producers can cause as many as they like. Never payloads.
 */
export class Reporter {
  readonly #log: Logger
  readonly #metrics: WorkerMetrics | undefined
  /** Ignored features already told of, by key of the model. */
  readonly #ignored = new Map<string, Set<string>>()
  readonly #names: Pick<Names, 'stream'>
  readonly #limit: LineLimit
  readonly #counts: Record<keyof WorkerCounts, number> = {
    predicted: 0,
    'already-answered': 0,
    'dead-lettered': 0,
    retried: 0,
    returned: 0,
    parked: 0,
    'handed-on': 0,
    'held-back': 0,
    dropped: 0,
    batches: 0,
    rows: 0,
    conflicts: 0,
    expired: 0,
    shed: 0,
    missed: 0,
  }

  /** @param names those of the broker, for what it tells of streams */
  constructor(log: Logger, metrics?: WorkerMetrics, names: Pick<Names, 'stream'> = PLAIN_NAMES) {
    this.#log = log
    this.#metrics = metrics
    this.#names = names
    this.#limit = new LineLimit({
      onRest: (what, count) => this.#log.warn({ count }, `not told one by one: ${what}`),
    })
  }

  get counts(): WorkerCounts {
    return { ...this.#counts }
  }

  received(deliveries: readonly Delivery[]): void {
    this.#metrics?.received(deliveries)
  }

  pulled(pull: EndedPull): void {
    this.#metrics?.pulled(pull)
  }

  ran(batch: Batch): void {
    this.#counts.batches++
    this.#counts.rows += rowsOf(batch)
  }

  settled(settled: Settled): void {
    const { delivery, outcome, how } = settled
    if (how === 'dropped') return // counted when it was found to be late
    this.#counts[how]++
    this.#metrics?.settled(settled)
    if (how === 'predicted') return
    const kind = shedKindOf(settled)
    if (kind !== undefined) this.#counts[kind === 'expired' ? 'expired' : 'shed']++
    // What is not told is not put together: very many may end so at once.
    if (this.#log.isLevelEnabled('debug')) this.#log.debug({ ...about(delivery), ...reasonsOf(outcome) }, how)
  }

  /** A prediction was stored after the deadline of its event. */
  missed(delivery: Delivery): void {
    this.#counts.missed++
    this.#metrics?.missed(delivery)
  }

  conflict(delivery: Delivery): void {
    this.#counts.conflicts++
    this.#metrics?.conflict(delivery)
    const { token } = delivery.event
    const what = 'the same id was used with another payload'
    if (this.#limit.admit(what)) this.#log.warn({ ...about(delivery), token }, what)
  }

  /** Deliveries that were not kept alive for `ack_wait`, all that are found at once. */
  late(count: number, ackWaitMs: number): void {
    this.#counts.dropped += count
    this.#metrics?.late(count)
    this.#log.warn(
      { count, ackWaitMs },
      'deliveries are dropped: this worker was stopped, or unheard, for ack_wait, and the broker hands them out again',
    )
  }

  /** What lies in the register of an event is no outcome: it hides none, and is answered over. */
  junk(delivery: Delivery, sequence: number): void {
    const what = 'a register holds what is no outcome: the outcome of its event is stored above it'
    if (this.#limit.admit(what))
      this.#log.warn({ ...about(delivery), stream: this.#names.stream(STREAMS.results), sequence }, what)
  }

  pull(consumer: string, end: PullEnd | undefined): void {
    if (end === undefined) this.#log.info({ consumer }, 'pulling again')
    else this.#log.warn({ consumer, end }, 'pull failed')
  }

  storage(refusing: ReadonlyMap<string, string>): void {
    if (refusing.size === 0) this.#log.info('pulling goes on: outcomes can be stored again')
    else {
      const named = [...refusing].map(([stream, because]) => [this.#names.stream(stream), because])
      const streams = Object.fromEntries(named)
      this.#log.error({ refusing: streams }, 'pulling stops: outcomes cannot be stored')
    }
  }

  /** Near the mark this changes as often as records expire. @param because why nothing is pulled; undefined: it goes on */
  ledger(because: string | undefined): void {
    const stream = this.#names.stream(STREAMS.ledger)
    if (because === undefined) {
      const what = 'pulling goes on: the ledger has room again'
      if (this.#limit.admit(what)) this.#log.info({ stream }, what)
      return
    }
    const what = 'pulling stops: the ledger is nearly full'
    if (this.#limit.admit(what)) this.#log.error({ stream, because }, what)
  }

  unstorable(delivery: Delivery): void {
    const sizeBytes = delivery.body.length
    const what =
      'its dead letter is larger than max_payload, which was lowered: the event stays until it is raised again'
    if (this.#limit.admit(what)) this.#log.error({ ...about(delivery), sizeBytes }, what)
  }

  /** What became of one event could not be settled by any means: it harms no other. */
  unsettled(delivery: Delivery, err: unknown): void {
    const what = 'a defect: its outcome cannot be stored, it is given back'
    if (this.#limit.admit(what)) this.#log.error({ ...about(delivery), err }, what)
  }

  /** Counted each time, told once for each model and name: upstream was changed, and the model does not know it. */
  ignored(model: ServedModel, { count, names }: IgnoredFeatures): void {
    this.#metrics?.ignored(model, count)
    const told = this.#ignored.get(model.key) ?? new Set()
    this.#ignored.set(model.key, told)
    for (const feature of names) {
      if (told.has(feature) || told.size >= MOST_IGNORED_TOLD) continue
      told.add(feature)
      const { name, version } = model
      this.#log.warn({ model: name, version, feature }, 'a feature the model does not know is ignored')
    }
  }

  /** The thread that read a large event ended: the event is given back. */
  unread(delivery: Delivery, err: unknown): void {
    const what = 'a large event could not be read, it is given back'
    const { sizeBytes } = delivery
    if (this.#limit.admit(what)) this.#log.error({ ...about(delivery), sizeBytes, err }, what)
  }

  hung(served: ServedModel): void {
    this.#metrics?.hung(served)
    const { name, version, manifest } = served
    const { timeoutMs } = manifest.limits
    this.#log.error(
      { model: name, version, timeoutMs },
      'a run does not end: its model runs apart from now on, this process is replaced',
    )
  }

  /** @param breaker undefined: it is closed */
  breaker(model: string, breaker: Breaker | undefined): void {
    if (breaker === undefined) {
      this.#log.info({ model }, 'the breaker of a model is closed: its events are run again')
      return
    }
    const { cause, failures } = breaker
    this.#log.error(
      { model, cause, failures },
      'a model fails on everything, its breaker is open: its events wait until a probe succeeds',
    )
  }

  /** The pool could not be told what becomes of a model. */
  untold(model: string, err: unknown): void {
    this.#log.error({ model, err }, 'the record of a model cannot be changed')
  }

  /** Tells what was only counted. */
  close(): void {
    this.#limit.close()
  }

  defect(err: unknown): void {
    this.#log.fatal({ err }, 'the worker stops: a defect, what it holds is handed out again')
  }
}

/** A name or id may have as many characters as a header: a line of the log shows where it begins. */
const MAX_SHOWN = 128

function shown(text: string): string {
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN - 1)}…`
}

/** What a line says of why an event has no prediction. */
function reasonsOf(outcome: Outcome): object {
  if (outcome.kind === 'predicted') return {}
  return outcome.kind === 'not-servable' ? outcome.why : outcome.failure
}

/** What every line about an event says of it; its place in its trace where it has one. */
function about({ event }: Delivery): Readonly<Record<string, unknown>> {
  const { id, route, attempt, headers } = event
  const place = readTraceparent(readHeader(headers, HEADERS.traceparent))
  const trace = place && { trace_id: place.traceId, span_id: place.spanId }
  return { eventId: shown(id), model: shown(route.model), attempt, ...trace }
}
