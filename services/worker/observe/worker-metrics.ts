import type { ModelRepository, ServedModel } from '../../../shared/models/repository.ts'
import { type Destination, operationAttributes } from '../../../shared/runtime/messaging.ts'
import { type Labels, openMeters } from '../../../shared/runtime/meters.ts'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { LANES } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import type { Delivery } from '../intake/delivery.ts'
import type { EndedPull } from '../intake/intake.ts'
import { type Batch, rowsOf } from '../prepare/prepared.ts'
import type { Concluded, Outcome } from '../settle/outcome.ts'
import type { Stored, StoredOutcome } from '../settle/outcome-store.ts'
import { type Settled, shedKindOf } from '../settle/settlement.ts'
import { addTogether } from './add-together.ts'
import { countDeadlines } from './deadline-counts.ts'
import { boundedName, deliveredFrom, type KnownModels, sourceOf } from './source.ts'

export interface WorkerMetricsOptions {
  readonly models: Pick<ModelRepository, 'models'> & KnownModels
  /** Broker time, milliseconds since 1970. */
  readonly now: () => number
}

/** How something ended, and how long it took. */
export interface Timed<Result = unknown> {
  readonly durationMs: number
  readonly result?: Result
  /** What kind of error it ended with. */
  readonly error?: string
}

/** What is measured on the way of an event. Made only where somebody reads it; labels are made once. */
export class WorkerMetrics {
  readonly #now: () => number
  readonly #instruments = openInstruments()
  readonly #on = operations()
  readonly #models: WorkerMetricsOptions['models']
  /** By name of a model, made when the first is needed. */
  readonly #labels = new Map<string, LabelsByLane>()
  readonly #runLabels = new WeakMap<ServedModel, RunLabels>()
  readonly #outcomes: ReturnType<typeof countOutcomes>
  readonly #deadlines: ReturnType<typeof countDeadlines>

  constructor({ models, now }: WorkerMetricsOptions) {
    this.#now = now
    this.#models = models
    const bounded = (model: string): string => this.#bounded(model)
    this.#outcomes = countOutcomes(this.#instruments, this.#on, bounded)
    this.#deadlines = countDeadlines(this.#instruments, bounded)
    startAtZero(this.#instruments, this.#on, new Set(models.models.map(({ name }) => name)))
  }

  received(deliveries: readonly Delivery[]): void {
    for (const { event, info } of deliveries)
      if (info.deliveryCount > 1) this.#instruments.redeliveries(1, { lane: event.route.lane })
  }

  pulled({ stream, consumer, received, end, durationMs }: EndedPull): void {
    const from = deliveredFrom(stream)
    const error = end === 'lost' || end === 'unavailable' ? end : undefined
    this.#instruments.pulls(1, { consumer, end })
    this.#instruments.operation(durationMs / 1_000, this.#on('fetch', from, error))
    if (received > 0) this.#instruments.consumed(received, this.#on('fetch', from))
  }

  started(batch: Batch): void {
    const at = this.#now()
    let again = 0
    for (const { delivery } of batch) {
      const waitedMs = Math.max(0, at - delivery.info.storedAt)
      this.#instruments.queueWait(waitedMs / 1_000, this.#labelsOf(delivery))
      if (delivery.event.attempt > 1) again++
    }
    const model = batch[0]?.model.name
    if (again < batch.length) this.#instruments.attempts(batch.length - again, { model, attempt: 'first' })
    if (again > 0) this.#instruments.attempts(again, { model, attempt: 'again' })
  }

  /** One model call ended. */
  ran(batch: Batch, { durationMs, error }: Timed): void {
    const [first] = batch
    if (first === undefined) return
    const { run, rows } = this.#runLabelsOf(first.model)
    const how = error === undefined ? run : { ...run, ...errorLabel(error) }
    this.#instruments.inference(durationMs / 1_000, how)
    this.#instruments.batchRows(rowsOf(batch), rows)
  }

  processed(batch: Batch, { durationMs, error }: Timed): void {
    const from = sourceOf(batch)
    this.#instruments.process(durationMs / 1_000, this.#on('process', from, error))
  }

  /** The first outcome of a group was stored, or could not be. */
  stored({ kind }: Outcome, { durationMs, error, result }: Timed<StoredOutcome>): void {
    const how = result?.how
    if (how !== undefined && NOT_SENT.has(how)) return
    const isRetry = how === 'parked' || (kind === 'retried' && how !== 'dead-lettered')
    this.#instruments.operation(
      durationMs / 1_000,
      this.#on('publish', isRetry ? 'retries' : 'results', error),
    )
  }

  /** Predictions were stored together, or could not be. */
  storedTogether({ durationMs, error }: Timed<void>): void {
    this.#instruments.operation(durationMs / 1_000, this.#on('publish', 'results', error))
  }

  /** One event was settled. */
  settled(settled: Settled): void {
    const { delivery, outcome, how } = settled
    if (how === 'predicted' || how === 'dead-lettered') {
      const tookMs = Math.max(0, this.#now() - firstStoredAt(delivery))
      this.#instruments.eventDuration(tookMs / 1_000, this.#labelsOf(delivery))
    }
    const { route } = delivery.event
    this.#outcomes(route.model, how, outcome)
    const kind = shedKindOf(settled)
    if (kind !== undefined) this.#deadlines.shed(route, kind)
  }

  /** A prediction was stored after the deadline of its event. */
  missed({ event }: Delivery): void {
    this.#deadlines.missed(event.route)
  }

  /** A group was settled, or could not be. */
  acknowledged(group: readonly Concluded[], { durationMs, error }: Timed): void {
    const from = sourceOf(group)
    this.#instruments.operation(durationMs / 1_000, this.#on('ack', from, error))
  }

  conflict({ event }: Delivery): void {
    this.#instruments.conflicts(1, { model: this.#bounded(event.route.model) })
  }

  /** An event brought features its model does not know; models that allow it are served ones. */
  ignored({ name: model }: ServedModel, count: number): void {
    this.#instruments.ignoredFeatures(count, { model })
  }

  late(count: number): void {
    this.#instruments.droppedDeliveries(count)
  }

  hung({ name: model }: ServedModel): void {
    this.#instruments.hungRuns(1, { model })
  }

  #runLabelsOf(model: ServedModel): RunLabels {
    const { name, version } = model
    const labels = this.#runLabels.get(model) ?? { run: { model: name, version }, rows: { model: name } }
    this.#runLabels.set(model, labels)
    return labels
  }

  #bounded(model: string): string {
    return boundedName(this.#models, model)
  }

  #labelsOf({ event: { route } }: Delivery): Labels | undefined {
    const model = this.#bounded(route.model)
    const labels = this.#labels.get(model) ?? byLane(model)
    this.#labels.set(model, labels)
    return labels[route.lane]
  }
}

type Instruments = ReturnType<typeof openInstruments>

function openInstruments() {
  const meters = openMeters('worker')
  return {
    queueWait: meters.histogram('queueWait'),
    eventDuration: meters.histogram('eventDuration'),
    inference: meters.histogram('inferenceDuration'),
    batchRows: meters.histogram('batchRows'),
    operation: meters.histogram('operationDuration'),
    process: meters.histogram('processDuration'),
    outcomes: meters.counter('outcomes'),
    attempts: meters.counter('attempts'),
    ignoredFeatures: meters.counter('ignoredFeatures'),
    pulls: meters.counter('pulls'),
    conflicts: meters.counter('conflicts'),
    shed: meters.counter('shed'),
    deadlineMisses: meters.counter('deadlineMisses'),
    redeliveries: meters.counter('redeliveries'),
    droppedDeliveries: meters.counter('droppedDeliveries'),
    hungRuns: meters.counter('hungRuns'),
    consumed: meters.counter('consumedMessages'),
    sent: meters.counter('sentMessages'),
  }
}

/** A counter that begins with its first event has no rate before it: `increase()` would miss that one. */
function startAtZero(instruments: Instruments, on: Operations, models: Iterable<string>): void {
  for (const model of models) {
    instruments.outcomes(0, { model, outcome: 'predicted' })
    instruments.attempts(0, { model, attempt: 'first' })
    instruments.conflicts(0, { model })
    instruments.shed(0, { model, lane: 'normal', kind: 'predicted' })
    instruments.deadlineMisses(0, { model, lane: 'normal' })
    instruments.hungRuns(0, { model })
    instruments.ignoredFeatures(0, { model })
  }
  instruments.droppedDeliveries(0)
  for (const lane of LANES) instruments.redeliveries(0, { lane })
  for (const from of ['features', 'due'] as const) instruments.consumed(0, on('fetch', from))
  for (const to of ['results', 'deadLetters', 'retries'] as const) instruments.sent(0, on('publish', to))
}

/** Nothing went out, or the broker did not take it and keeps the event. */
const NOT_SENT: ReadonlySet<Stored> = new Set(['returned', 'handed-on', 'held-back', 'dropped'])

/** Where the messages go that an outcome is made of. */
const SENT_TO: Readonly<Record<Stored, readonly Destination[]>> = {
  predicted: ['results'],
  'dead-lettered': ['results', 'deadLetters'],
  retried: ['retries'],
  'already-answered': [],
  returned: [],
  parked: ['retries'],
  'handed-on': [],
  'held-back': [],
  dropped: [],
}

function countOutcomes({ outcomes, sent }: Instruments, on: Operations, bounded: (model: string) => string) {
  const add = addTogether<{ readonly labels: Labels; readonly how: Stored }>((count, { labels, how }) => {
    outcomes(count, labels)
    for (const to of SENT_TO[how]) sent(count, on('publish', to))
  })
  return (model: string, how: Stored, outcome: Concluded['outcome']): void => {
    const reason = reasonOf(how, outcome)
    add(`${model} ${how} ${reason}`, () => ({
      labels: { model: bounded(model), outcome: how, ...(reason !== undefined && { reason }) },
      how,
    }))
  }
}

function reasonOf(how: Stored, outcome: Concluded['outcome']): string | undefined {
  if (how === 'predicted' || how === 'already-answered') return undefined
  // The one way a prediction turns into a dead letter: the broker does not take it.
  if (outcome.kind === 'predicted') return 'too-large'
  return outcome.kind === 'not-servable' ? outcome.why.cause : outcome.failure.reason
}

/** A copy in the retry lane carries when its event was first stored. */
function firstStoredAt({ event, info }: Delivery): number {
  if (info.stream === STREAMS.features) return info.storedAt
  const first = Date.parse(readHeader(event.headers, HEADERS.firstSeen) ?? '')
  return Number.isNaN(first) ? info.storedAt : first
}

type LabelsByLane = Readonly<Record<string, Labels>>

/** Labels of a run that has ended well, and of the rows of any. */
type RunLabels = Readonly<Record<'run' | 'rows', Labels>>

function byLane(model: string): LabelsByLane {
  return Object.fromEntries(LANES.map((lane) => [lane, { model, lane }]))
}

type Operations = ReturnType<typeof operations>

/** Labels of operations, each made once: a histogram finds an object it has seen before without looking at it. */
function operations() {
  const made = new Map<string, Labels>()
  return (name: string, destination?: Destination, error?: string): Labels => {
    const key = `${name} ${destination} ${error}`
    const labels = made.get(key) ?? { ...operationAttributes(name, destination), ...errorLabel(error) }
    made.set(key, labels)
    return labels
  }
}

function errorLabel(error: string | undefined): Labels {
  return error === undefined ? {} : { 'error.type': error }
}
