import { type Datatype, isDatatype } from '../sdk/contract/tensor.ts'
import { PeltonError, showValue } from '../sdk/errors.ts'

/** One input or output as its model declares it. */
export interface TensorSpec {
  readonly name: string
  readonly datatype: Datatype
  /** `null` is a dimension that may be any size from run to run; an empty shape is a scalar. */
  readonly shape: readonly (number | null)[]
}

/** What a model takes and gives. */
export interface Signature {
  readonly inputs: readonly TensorSpec[]
  /** Those a tensor can hold, in the order of the model. */
  readonly outputs: readonly TensorSpec[]
  /**
   * Inputs the model declares together with a value of its own. The runtime always uses that value and ignores what
   * is fed, so they are no inputs; they are known to explain that.
   */
  readonly constants: readonly string[]
}

/** Whether rows of several events could be joined along the first dimension, going by the declared inputs alone. */
export function hasDynamicRows(signature: Signature): boolean {
  return signature.inputs.length > 0 && signature.inputs.every((input) => input.shape[0] === null)
}

/** Reads a signature that came as JSON or as a message. Throws `model-refused` when it is none. */
export function parseSignature(value: unknown): Signature {
  const { inputs, outputs, constants } = readObject(value, 'signature')
  if (!Array.isArray(constants) || !constants.every((name) => typeof name === 'string')) {
    throw notASignature('signature.constants', constants)
  }
  return {
    inputs: readSpecs(inputs, 'signature.inputs'),
    outputs: readSpecs(outputs, 'signature.outputs'),
    constants,
  }
}

function readSpecs(value: unknown, field: string): TensorSpec[] {
  if (!Array.isArray(value)) throw notASignature(field, value)
  return value.map((item: unknown, index) => {
    const { name, datatype, shape } = readObject(item, `${field}[${index}]`)
    if (typeof name !== 'string') throw notASignature(`${field}[${index}].name`, name)
    if (!isDatatype(datatype)) throw notASignature(`${field}[${index}].datatype`, datatype)
    if (!Array.isArray(shape) || !shape.every(isDimension))
      throw notASignature(`${field}[${index}].shape`, shape)
    return { name, datatype, shape }
  })
}

function isDimension(value: unknown): value is number | null {
  return value === null || (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0)
}

function readObject(value: unknown, field: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null) return { ...value }
  throw notASignature(field, value)
}

function notASignature(field: string, value: unknown): PeltonError {
  return new PeltonError('model-refused', 'this is no signature of a model', {
    field,
    value: showValue(value),
  })
}
