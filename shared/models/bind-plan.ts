import { PeltonError, showValue } from '../sdk/errors.ts'
import type { InputMapping } from './feature-mapping.ts'
import type { Manifest } from './manifest.ts'
import { nearestName } from './nearest-name.ts'
import type { Signature, TensorSpec } from './signature.ts'

export interface BinderModel {
  readonly name: string
  readonly version: string
  readonly signature: Signature
  readonly manifest: Manifest
  /** Whether rows of different events share a run of it, once that is known. */
  readonly batchable?: boolean
}

/** All that is known of a model before its events come. */
export interface BindPlan {
  readonly model: BinderModel
  readonly specs: readonly TensorSpec[]
  readonly indexByName: ReadonlyMap<string, number>
  readonly mappings: readonly InputMapping[]
  /** Every feature some input takes, each once: a set, because each name of an event is looked up in it. */
  readonly features: ReadonlySet<string>
  readonly outputs: readonly string[]
  readonly outputNames: ReadonlySet<string>
  /** Name of an input no features can fill, if there is one. */
  readonly unmapped: string | undefined
}

export function planBinding(model: BinderModel): BindPlan {
  const { signature, manifest } = model
  const mappings = manifest.inputs
  const specs = signature.inputs.map((spec, index) => settleColumns(spec, mappings[index]))
  return {
    model,
    specs,
    indexByName: new Map(specs.map((spec, index) => [spec.name, index])),
    mappings,
    features: new Set(mappings.flatMap(({ columns }) => columns.map((column) => column.feature))),
    outputs: manifest.outputs,
    outputNames: new Set(manifest.outputs),
    unmapped: mappings.find((mapping) => mapping.rowShape === undefined)?.tensor,
  }
}

/** A column count the model leaves open is the number of columns the manifest names. */
function settleColumns(spec: TensorSpec, mapping: InputMapping | undefined): TensorSpec {
  if (mapping?.rowShape === undefined || !mapping.isExplicit || spec.shape.length !== 2) return spec
  return { ...spec, shape: [spec.shape[0] ?? null, mapping.columns.length] }
}

/** Comparisons of two letters a suggestion may take: what an event of 64 KB costs; wider models get none. */
const MAX_SUGGESTION_STEPS = 65_536

/** A remedy that names what there is, and what was probably meant where that is found at once. */
export function didYouMean(name: string, known: ReadonlySet<string>): string {
  const nearest = nearestName(name, known, MAX_SUGGESTION_STEPS)
  const meant = nearest === undefined ? '' : `Did you mean ${showValue(nearest)}? `
  return `${meant}Known are ${showValue(firstOf(known, MAX_SHOWN), MAX_SHOWN)}.`
}

/** Characters of a list of names that are shown, and so more names than can be. */
const MAX_SHOWN = 200

function firstOf(names: ReadonlySet<string>, count: number): string[] {
  const first: string[] = []
  for (const name of names) if (first.push(name) > count) break
  return first
}

export function nameOf({ model }: BindPlan): string {
  return `model ${model.name} version ${model.version}`
}

/** A refusal of the event at hand; `value` is shown shortened. */
export function mismatch(
  plan: BindPlan,
  problem: string,
  field: string,
  value: unknown,
  remedy: string,
): PeltonError {
  const shown = value === undefined ? 'nothing' : showValue(value)
  return new PeltonError('schema-mismatch', `${problem}, for ${nameOf(plan)}`, {
    field,
    value: shown,
    remedy,
  })
}
