import { readJsonData } from '../sdk/contract/json-tensors.ts'
import type { FeatureValue } from '../sdk/contract/open-inference.ts'
import { PeltonError, showValue } from '../sdk/errors.ts'
import { type ManifestProblem, problem, unknownName } from './manifest-problems.ts'
import type { ManifestSource } from './manifest-schema.ts'
import type { Signature, TensorSpec } from './signature.ts'

type MappingSource = NonNullable<ManifestSource['inputs']>

/** One feature and the place it takes in a row. */
export interface FeatureColumn {
  readonly feature: string
  /** Taken when the feature is missing or null; without it that is an error. */
  readonly default?: Exclude<FeatureValue, null>
}

/** How features fill one input. */
export interface InputMapping {
  readonly tensor: string
  readonly columns: readonly FeatureColumn[]
  /** The shape of one row made of features; undefined when the input cannot be filled from scalars. */
  readonly rowShape: readonly number[] | undefined
  /** Whether the manifest gave the columns: then they also settle a column count the model leaves open. */
  readonly isExplicit: boolean
}

/** The mapping of every input, from the manifest or by the input's own name. Adds what does not fit to `problems`. */
export function mapInputs(
  source: MappingSource,
  signature: Signature,
  problems: ManifestProblem[],
): InputMapping[] {
  const known = signature.inputs.map((input) => input.name)
  for (const tensor of Object.keys(source)) {
    if (!known.includes(tensor)) problems.push(unknownName(`inputs.${tensor}`, tensor, known))
  }
  return signature.inputs.map((spec) => {
    const given = Object.hasOwn(source, spec.name) ? source[spec.name] : undefined
    const mapping = toMapping(spec, given)
    if (mapping.isExplicit) checkMapping(spec, mapping, problems)
    return mapping
  })
}

function toMapping(spec: TensorSpec, given: MappingSource[string] | undefined): InputMapping {
  const list = given === undefined ? [spec.name] : isList(given) ? given.features : [given]
  const columns = list.map((item): FeatureColumn => {
    if (typeof item === 'string') return { feature: item }
    return item.default === undefined
      ? { feature: item.feature }
      : { feature: item.feature, default: item.default }
  })
  return {
    tensor: spec.name,
    columns,
    rowShape: rowShape(spec, columns.length),
    isExplicit: given !== undefined,
  }
}

function isList(
  given: MappingSource[string],
): given is Extract<MappingSource[string], { features: unknown }> {
  return typeof given === 'object' && 'features' in given
}

/** The shape that one record of `count` features fills, if the input has one. */
function rowShape({ shape }: TensorSpec, count: number): number[] | undefined {
  const fits = (index: number, size: number): boolean => shape[index] === null || shape[index] === size
  if (shape.length === 0) return count === 1 ? [] : undefined
  if (shape.length === 1) return fits(0, count) && (count === 1 || shape[0] !== null) ? [count] : undefined
  if (shape.length === 2) return fits(0, 1) && fits(1, count) ? [1, count] : undefined
  return undefined
}

function checkMapping(spec: TensorSpec, mapping: InputMapping, problems: ManifestProblem[]): void {
  const path = `inputs.${spec.name}`
  if (mapping.rowShape === undefined) {
    const remedy = `These ${mapping.columns.length} features do not fill an input of shape ${showValue(spec.shape)}.`
    problems.push(
      problem(
        path,
        mapping.columns.map((column) => column.feature),
        remedy,
      ),
    )
  }
  const features = new Set<string>()
  mapping.columns.forEach((column, index) => {
    if (features.has(column.feature)) {
      problems.push(
        problem(`${path}.features[${index}]`, column.feature, 'Name each feature once per input.'),
      )
    }
    features.add(column.feature)
    if (column.default === undefined) return
    const remedy = misfit(spec, column.default)
    if (remedy !== undefined)
      problems.push(problem(`${path}.features[${index}].default`, column.default, remedy))
  })
}

function misfit({ datatype }: TensorSpec, value: FeatureValue): string | undefined {
  try {
    readJsonData(datatype, [1], 1, [toJsonValue(value)], 'default')
    return undefined
  } catch (thrown) {
    return thrown instanceof PeltonError ? `The input is ${datatype}: ${thrown.description}` : String(thrown)
  }
}

/** YAML can write NaN and infinities as numbers, JSON only as strings. */
export function toJsonValue(value: FeatureValue): FeatureValue {
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
}
