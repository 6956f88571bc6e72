import { readJsonData } from '../sdk/contract/json-tensors.ts'
import type { Features, FeatureValue } from '../sdk/contract/open-inference.ts'
import type { Tensor, TensorData } from '../sdk/contract/tensor.ts'
import { PeltonError, showValue } from '../sdk/errors.ts'
import { type BindPlan, didYouMean, mismatch } from './bind-plan.ts'
import { findNonFinite } from './bind-tensors.ts'
import { type FeatureColumn, type InputMapping, toJsonValue } from './feature-mapping.ts'
import { seeModels } from './models-page.ts'
import type { TensorSpec } from './signature.ts'

/** Features of an event that its model does not know, where the manifest lets them pass. */
export interface IgnoredFeatures {
  readonly count: number
  /** The first of them, at most eight, each cut to 64 characters. */
  readonly names: readonly string[]
}

/** Names of ignored features an event tells of at most. */
const MAX_IGNORED_NAMES = 8

/** One row of tensors made of the features of an event. Throws `schema-mismatch` for a feature that does not fit. */
export function takeFeatures(
  plan: BindPlan,
  features: Features,
): { readonly inputs: readonly Tensor[]; readonly ignored: IgnoredFeatures | undefined } {
  if (plan.unmapped !== undefined) {
    const problem = `input ${showValue(plan.unmapped)} cannot be filled from features`
    const remedy = `Send inputs, or let the manifest name the feature of each column. ${seeModels('feature-mapping')}`
    throw mismatch(plan, problem, 'features', Object.keys(features), remedy)
  }
  const inputs: Tensor[] = []
  for (let index = 0; index < plan.specs.length; index++) {
    const mapping = plan.mappings[index] as InputMapping // one for every spec
    inputs.push(fillInput(plan, plan.specs[index] as TensorSpec, mapping, features))
  }
  return { inputs, ignored: ignoredOf(plan, features) }
}

/** What of an event is ignored. Throws `schema-mismatch` where the manifest lets nothing pass that the model does not know. */
export function ignoredOf(plan: BindPlan, features: Features): IgnoredFeatures | undefined {
  let used = 0
  for (const name of plan.features) if (Object.hasOwn(features, name)) used++
  const unknown = Object.keys(features).length - used
  if (unknown === 0) return undefined
  if (plan.model.manifest.unknownFeatures === 'refuse') throw unknownFeature(plan, features)
  return { count: unknown, names: unknownNames(plan, features, MAX_IGNORED_NAMES) }
}

function fillInput(plan: BindPlan, spec: TensorSpec, mapping: InputMapping, features: Features): Tensor {
  const { name, datatype } = spec
  const { columns, rowShape: shape = [] } = mapping
  const values = columns.map((column) => featureValue(plan, column, features))
  let data: TensorData
  try {
    data = readJsonData(datatype, shape, values.length, values, name)
  } catch (thrown) {
    throw explainMisfit(plan, spec, columns, values, thrown)
  }
  if (plan.model.manifest.checks.finiteInputs) {
    const bad = findNonFinite(datatype, data)
    if (bad >= 0) {
      const remedy = `Send finite numbers; the manifest of the model forbids others. ${seeModels('checks')}`
      throw mismatch(
        plan,
        'this value is not finite',
        `features.${columns[bad]?.feature}`,
        values[bad],
        remedy,
      )
    }
  }
  return { name, datatype, shape, data }
}

function featureValue(plan: BindPlan, column: FeatureColumn, features: Features): FeatureValue {
  const value = Object.hasOwn(features, column.feature) ? features[column.feature] : undefined
  if (value !== undefined && value !== null) return value
  if (column.default !== undefined) return toJsonValue(column.default)
  const problem = value === null ? 'this feature is null and has no default' : 'this feature is missing'
  throw mismatch(
    plan,
    problem,
    `features.${column.feature}`,
    value,
    `Send a value, or give it a default in the manifest. ${seeModels('feature-mapping')}`,
  )
}

/** The same refusal, told about the feature instead of the tensor it would have become a part of. */
function explainMisfit(
  plan: BindPlan,
  { datatype }: TensorSpec,
  columns: readonly FeatureColumn[],
  values: readonly FeatureValue[],
  thrown: unknown,
): unknown {
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? null
    try {
      readJsonData(datatype, [1], 1, [value], 'value')
    } catch (cause) {
      if (!(cause instanceof PeltonError)) return cause
      const remedy = `Send what fits: ${cause.description.split(' (')[0]}.`
      return mismatch(
        plan,
        `this feature does not fit ${datatype}`,
        `features.${columns[index]?.feature}`,
        value,
        remedy,
      )
    }
  }
  return thrown
}

function unknownFeature(plan: BindPlan, features: Features): PeltonError {
  const unknown = Object.keys(features).find((name) => !plan.features.has(name)) ?? ''
  const path = `features.${unknown.slice(0, MAX_NAME_SHOWN)}`
  return mismatch(
    plan,
    'the model takes no such feature',
    path,
    features[unknown],
    didYouMean(unknown, plan.features),
  )
}

/** Characters of a name from outside that are told. */
const MAX_NAME_SHOWN = 64

function unknownNames(plan: BindPlan, features: Features, most: number): string[] {
  const names: string[] = []
  for (const name of Object.keys(features)) {
    if (plan.features.has(name)) continue
    if (names.push(name.slice(0, MAX_NAME_SHOWN)) === most) break
  }
  return names
}
