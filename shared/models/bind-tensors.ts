import { type Datatype, isCarriedText, type Tensor, type TensorData } from '../sdk/contract/tensor.ts'
import { type PeltonError, showValue } from '../sdk/errors.ts'
import { type BindPlan, didYouMean, mismatch } from './bind-plan.ts'
import { seeModels } from './models-page.ts'
import type { TensorSpec } from './signature.ts'

/** The tensors of an event in the order of the signature. Throws `schema-mismatch` for one that does not fit. */
export function takeTensors(plan: BindPlan, given: readonly Tensor[]): Tensor[] {
  const { specs, indexByName } = plan
  const inputs = new Array<Tensor | undefined>(specs.length)
  for (let at = 0; at < given.length; at++) {
    const tensor = given[at] as Tensor // within the array
    const index = indexByName.get(tensor.name)
    const spec = index === undefined ? undefined : specs[index]
    if (index === undefined || spec === undefined) throw unknownInput(plan, tensor.name, at)
    if (inputs[index] !== undefined) {
      throw mismatch(plan, 'this input appears twice', `inputs[${at}].name`, tensor.name, 'Send it once.')
    }
    checkTensorFits(plan, spec, tensor, at)
    inputs[index] = tensor
  }
  if (given.length < specs.length) throw missingInput(plan, inputs)
  return inputs as Tensor[] // as many as there are specs, each at its own place
}

function checkTensorFits(plan: BindPlan, spec: TensorSpec, tensor: Tensor, at: number): void {
  if (tensor.datatype !== spec.datatype) {
    const remedy = `Send ${spec.datatype}.`
    throw mismatch(
      plan,
      `input ${showValue(spec.name)} has another datatype`,
      `inputs[${at}].datatype`,
      tensor.datatype,
      remedy,
    )
  }
  const { shape } = tensor
  let fits = shape.length === spec.shape.length
  for (let index = 0; fits && index < shape.length; index++) {
    const expected = spec.shape[index]
    fits = expected === null || expected === shape[index]
  }
  if (!fits) {
    const remedy = `Send shape ${showShape(spec.shape)}${spec.shape.includes(null) ? ', where * may be any size' : ''}.`
    throw mismatch(
      plan,
      `input ${showValue(spec.name)} has another shape`,
      `inputs[${at}].shape`,
      shape,
      remedy,
    )
  }
  checkValues(plan, spec, tensor.data, `inputs[${at}].data`)
}

function checkValues(plan: BindPlan, { datatype }: TensorSpec, data: TensorData, path: string): void {
  if (datatype === 'BYTES') {
    const bad = (data as string[]).findIndex((text) => !isCarriedText(text)) // BYTES is held by strings
    if (bad >= 0) {
      const problem = 'the runtime would cut or change this text'
      throw mismatch(plan, problem, `${path}[${bad}]`, data[bad], 'Send well-formed text without NUL.')
    }
  } else if (plan.model.manifest.checks.finiteInputs) {
    const bad = findNonFinite(datatype, data)
    if (bad >= 0) {
      const value = datatype === 'FP16' ? 'NaN or Infinity' : String(data[bad])
      const remedy = `Send finite numbers; the manifest of the model forbids others. ${seeModels('checks')}`
      throw mismatch(plan, 'this value is not finite', `${path}[${bad}]`, value, remedy)
    }
  }
}

/** Index of the first NaN or infinity in a range, or -1; other datatypes than floats have none. */
export function findNonFinite(
  datatype: Datatype,
  data: TensorData,
  start = 0,
  end: number = data.length,
): number {
  if (datatype !== 'FP16' && datatype !== 'FP32' && datatype !== 'FP64') return -1
  const values = data as Float64Array // one class stands for the three
  for (let index = start; index < end; index++) {
    const value = values[index] ?? 0
    if (datatype === 'FP16' ? (value & 0x7c00) === 0x7c00 : !Number.isFinite(value)) return index
  }
  return -1
}

function unknownInput(plan: BindPlan, name: string, at: number): PeltonError {
  const path = `inputs[${at}].name`
  if (plan.model.signature.constants.includes(name)) {
    const remedy = 'Leave it out; the runtime always uses the value the model brings.'
    return mismatch(plan, 'this input cannot be changed', path, name, remedy)
  }
  return mismatch(
    plan,
    'the model has no such input',
    path,
    name,
    didYouMean(name, new Set(plan.indexByName.keys())),
  )
}

function missingInput(plan: BindPlan, inputs: readonly (Tensor | undefined)[]): PeltonError {
  const missing = plan.specs.filter((_, index) => inputs[index] === undefined).map((spec) => spec.name)
  return mismatch(plan, 'inputs are missing', 'inputs', missing, 'Send every input of the model.')
}

function showShape(shape: readonly (number | null)[]): string {
  return `[${shape.map((dimension) => dimension ?? '*').join(', ')}]`
}
