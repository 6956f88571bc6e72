import type { InferenceThreads } from '../../shared/models/inference-threads.ts'
import type { ModelRepository, RefusedModel } from '../../shared/models/repository.ts'
import { describeBreaker } from '../../shared/operations/models/breaker.ts'
import type { Breaker, ModelRecord } from '../../shared/operations/models/model-record.ts'
import { isForOperator } from '../../shared/operations/models/operator-case.ts'
import type { PoolModels } from '../../shared/operations/models/pool-models.ts'
import { showValue } from '../../shared/sdk/errors.ts'
import { UnavailableModels } from './infer/unavailable.ts'
import type { Models, WhyNot } from './prepare/prepare.ts'
import type { NotServable } from './settle/outcome.ts'

/** What a worker asks of its models folder. */
export interface Repository extends Pick<ModelRepository, 'find' | 'models' | 'refused'> {
  /** Whether a version was not looked at yet. @default none */
  isPending?(name: string, version?: string): boolean
}

/** What a worker asks of what its pool knows. */
export type PoolKnowledge = Pick<PoolModels, 'find' | 'all' | 'servedElsewhere'>

/** A model that is not servable here, for people and metrics. */
export interface UnservedModel extends NotServable {
  readonly model: string
}

const FOR_OPERATOR =
  'its runs do not end, again and again: it is not run any more. Mend it, then `pelton models readmit`'

/** What is served here, and which models are not servable here now, and why: of those that this worker or its pool knows. */
export class Servability implements Models {
  readonly #models: Repository
  readonly #pool: PoolKnowledge
  /** What is refused, by name, and the list it was made of. */
  #refused: {
    readonly of: readonly RefusedModel[]
    readonly byName: ReadonlyMap<string, readonly RefusedModel[]>
  }

  /** Those that were served, and could not be opened for a run. */
  readonly unavailable: UnavailableModels

  /** The same for events that probe their model: an open breaker does not keep them. */
  readonly probing: Models

  constructor(models: Repository, pool: PoolKnowledge, threads: Pick<InferenceThreads, 'load'>) {
    this.#models = models
    this.#pool = pool
    this.#refused = { of: [], byName: new Map() }
    this.unavailable = new UnavailableModels((model) => threads.load(model))
    this.probing = {
      find: this.find,
      whyNot: (model, version) => this.#whyNotRun(model, version),
      get models() {
        return models.models
      },
    }
  }

  get models(): Models['models'] {
    return this.#models.models
  }

  /** Whether nothing is served here, and something by another worker that is alive: events are better left to that. */
  get isNeedless(): boolean {
    if (this.#models.models.length > 0) return false
    return [...this.#pool.all()].some(({ model }) => this.#pool.servedElsewhere(model))
  }

  readonly find: Models['find'] = (name, version) => this.#models.find(name, version)

  readonly whyNot: WhyNot = (model, version) => {
    const why = this.#whyNotRun(model, version)
    const breaker = this.#pool.find(model)?.breaker
    if (breaker === undefined || why?.cause === 'operator') return why
    const isKnown = why !== undefined || this.#models.find(model, version) !== undefined
    return isKnown ? failsOnAll(breaker) : undefined
  }

  /** Why an event could not even be run to probe its model. */
  #whyNotRun(model: string, version: string | undefined): NotServable | undefined {
    const record = this.#pool.find(model)
    if (isForOperator(record)) return { cause: 'operator', text: FOR_OPERATOR }
    const served = this.#models.find(model, version)
    const problem = served && this.unavailable.why(served)
    if (served !== undefined)
      return problem === undefined ? undefined : { cause: 'unavailable', text: problem }
    return this.#refusal(model, version) ?? missing(record, version)
  }

  /** Whether a name is that of a model, not made up by whoever sends events. */
  isKnown(model: string): boolean {
    return (
      this.#refusedOf(model).length > 0 ||
      this.#models.find(model) !== undefined ||
      this.#pool.find(model) !== undefined
    )
  }

  /** Every model that is not servable here. */
  get unserved(): readonly UnservedModel[] {
    const names = new Set(this.#models.refused.map(({ name }) => name))
    for (const { model } of this.#pool.all()) names.add(model)
    for (const { name } of this.#models.models) names.add(name)
    return [...names].flatMap((model) => {
      const why = this.whyNot(model, undefined)
      return why === undefined ? [] : [{ model, ...why }]
    })
  }

  /** Whether another living worker of the pool serves the model, in this version when one is named. */
  readonly isServedElsewhere = (model: string, version: string | undefined): boolean =>
    this.#pool.servedElsewhere(model, version)

  /** Of several versions the highest: it is the one that answers events that name none. */
  #refusal(model: string, version: string | undefined): NotServable | undefined {
    const isOf = (known: string | undefined): boolean =>
      version === undefined || known === undefined || known === version
    const refused = this.#refusedOf(model).findLast((one) => isOf(one.version))
    if (refused === undefined) return undefined
    const { code, message } = refused.error
    if (this.#models.isPending?.(model, refused.version)) return { cause: 'inspecting', text: message }
    return { cause: code === 'model-unavailable' ? 'unavailable' : 'refused', text: message }
  }

  #refusedOf(model: string): readonly RefusedModel[] {
    const { refused } = this.#models
    if (refused !== this.#refused.of) {
      const byName = new Map<string, RefusedModel[]>()
      for (const one of refused) byName.set(one.name, [...(byName.get(one.name) ?? []), one])
      this.#refused = { of: refused, byName }
    }
    return this.#refused.byName.get(model) ?? []
  }
}

/** Made once for each state of a breaker: of its events thousands a second may come. */
const failing = new WeakMap<Breaker, NotServable>()

function failsOnAll(breaker: Breaker): NotServable {
  const known = failing.get(breaker)
  if (known !== undefined) return known
  const why = { cause: 'breaker', text: describeBreaker(breaker), probeAt: breaker.nextProbeAt } as const
  failing.set(breaker, why)
  return why
}

/** The pool knows a model, and in this version where one is asked for, that is not in the folder here. */
function missing(record: ModelRecord | undefined, version: string | undefined): NotServable | undefined {
  if (record === undefined) return undefined
  const refusals = Object.values(record.refusing)
  const versions = Object.keys(record.versions)
  const isKnown = (known: string | undefined): boolean => version === undefined || known === version
  if (![...versions, ...refusals.map((refusal) => refusal.version)].some(isKnown)) return undefined
  const served =
    versions.length > 0 ? `the pool has served version ${versions.join(', ')}` : 'others refuse it'
  return {
    cause: 'missing',
    text: `the models folder here does not hold ${showValue(record.model)}; ${served}`,
  }
}
