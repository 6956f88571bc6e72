import type { BoundEvent } from '../../../shared/models/bind.ts'
import { type EventInputs, formOfInputs } from '../../../shared/models/event-reader.ts'
import type { ModelRepository, ServedModel } from '../../../shared/models/repository.ts'
import type { Stage } from '../../../shared/sdk/contract/outcome.ts'
import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import { PeltonError, showValue, toPeltonError } from '../../../shared/sdk/errors.ts'
import type { Delivery } from '../intake/delivery.ts'
import { type Concluded, decideFailure, type NotServable } from '../settle/outcome.ts'
import { expired } from './deadline.ts'
import type { Passed, Prepared } from './prepared.ts'

/** What is known of models: which are served, and which not, and why. */
export interface Models extends Pick<ModelRepository, 'find' | 'models'> {
  /**
   * Why a model is not servable here now, though the pool knows it; undefined where it is served, and where nobody knows
   * it.
   */
  readonly whyNot?: WhyNot
}

export type WhyNot = (model: string, version: string | undefined) => NotServable | undefined

/**
 * Guard, decode, validate: what can be known about events before their model runs. One that is not fit to run harms no
 * other.
 *
 * @param now broker time, milliseconds since 1970
 */
export function prepare(deliveries: readonly Delivery[], models: Models, now: number): Passed {
  return deliveries.map((delivery) => prepareOne(delivery, models, now))
}

function prepareOne(delivery: Delivery, models: Models, now: number): Prepared | Concluded {
  const { event } = delivery
  let model: ServedModel | Concluded
  try {
    model = guard(delivery, models, now)
  } catch (thrown) {
    return refuse(delivery, toPeltonError(thrown, 'malformed', 'the event cannot be read'), 'guard', now)
  }
  if ('outcome' in model) return model
  const read = model.read(event)
  if (read.kind === 'refused') return refuse(delivery, read.error, read.stage, now)
  return toPrepared(delivery, model, read.bound, read.asked)
}

/**
 * The model of an event that may be looked into; or that its deadline has passed, or that it waits because its model is not
 * servable here.
 *
 * @throws PeltonError for one that is refused without a look at its data
 */
export function guard(delivery: Delivery, models: Models, now: number): ServedModel | Concluded {
  const { event } = delivery
  if (event.problem !== undefined) throw event.problem
  const late = expired(delivery, 'guard', now)
  if (late !== undefined) return late
  const why = models.whyNot?.(event.route.model, event.modelVersion)
  if (why !== undefined) return { delivery, outcome: { kind: 'not-servable', why } }
  return findModel(delivery, models)
}

export function toPrepared(
  delivery: Delivery,
  model: ServedModel,
  bound: BoundEvent<EventInputs>,
  request: Prepared['request'],
): Prepared {
  const { maxBatchRows } = model
  const { inputs, rows, outputs, ignored } = bound
  const kind = kindOf(model, inputs, delivery.event.route.lane)
  const prepared = { delivery, model, inputs, rows, outputs, request, kind, maxBatchRows }
  return ignored === undefined ? prepared : { ...prepared, ignored }
}

export function refuse(delivery: Delivery, error: PeltonError, stage: Stage, now: number): Concluded {
  return { delivery, outcome: decideFailure(error, stage, { ...delivery.event, now }) }
}

function findModel({ event }: Delivery, models: Models): ServedModel {
  const model = models.find(event.route.model, event.modelVersion)
  if (model !== undefined) return model
  const versions = models.models
    .filter(({ name }) => name === event.route.model)
    .map(({ version }) => version)
  throw versions.length > 0
    ? new PeltonError('unknown-model', `model ${event.route.model} is not served in this version`, {
        field: 'Pelton-Model-Version',
        value: showValue(event.modelVersion),
        remedy: `Served: ${versions.join(', ')}.`,
      })
    : new PeltonError('unknown-model', 'this pool has never had a model of that name', {
        field: 'model',
        value: showValue(event.route.model),
        remedy: 'Check the subject, or ship the model to this pool and replay.',
      })
}

/** What came by lane `low` shares no run with what others wait for: it may not have every place. */
function kindOf(model: ServedModel, inputs: EventInputs, lane: Lane): string {
  const form = model.batchable ? formOfInputs(inputs) : ''
  const known = kindsOf(model)[lane === 'low' ? 'low' : 'other']
  const kind = known.get(form)
  if (kind !== undefined) return kind
  const base = lane === 'low' ? `${model.key} low` : model.key
  const made = model.batchable ? `${base} ${form}` : base
  // Where a model leaves sizes open, events make up as many kinds as they like.
  if (known.size >= MAX_KNOWN_KINDS) known.clear()
  known.set(form, made)
  return made
}

/** Kinds by the form of their inputs: nearly all events of a model are of one. */
interface KnownKinds {
  readonly low: Map<string, string>
  readonly other: Map<string, string>
}

const MAX_KNOWN_KINDS = 64
const knownKinds = new WeakMap<ServedModel, KnownKinds>()

function kindsOf(model: ServedModel): KnownKinds {
  const known = knownKinds.get(model)
  if (known !== undefined) return known
  const none = { low: new Map<string, string>(), other: new Map<string, string>() }
  knownKinds.set(model, none)
  return none
}
