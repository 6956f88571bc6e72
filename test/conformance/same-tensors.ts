import { fromHalfBits } from '../../shared/sdk/contract/float16.ts'
import type { Tensor } from '../../shared/sdk/contract/tensor.ts'

/** Why two lists of tensors are not the same, bit for bit but for the payload of a NaN; undefined when they are. */
export function difference(found: readonly Tensor[], expected: readonly Tensor[]): string | undefined {
  if (found.length !== expected.length) return `${found.length} tensors instead of ${expected.length}`
  for (const [index, wanted] of expected.entries()) {
    const tensor = found[index] as Tensor
    const shown = `output ${wanted.name}`
    if (formOf(tensor) !== formOf(wanted)) return `${shown} is ${formOf(tensor)} instead of ${formOf(wanted)}`
    if (tensor.data.length !== wanted.data.length) return `${shown} has ${tensor.data.length} elements`
    for (let at = 0; at < wanted.data.length; at++) {
      const [a, b] = [elementOf(tensor, at), elementOf(wanted, at)]
      if (!Object.is(a, b)) return `${shown}[${at}] is ${String(a)} instead of ${String(b)}`
    }
  }
  return undefined
}

/** Name, datatype and shape: what must agree even where a model draws random numbers. */
export function formOf({ name, datatype, shape }: Tensor): string {
  return `${name} ${datatype} [${shape}]`
}

/** Whether a tensor is what was expected, by the measure of numpy.testing.assert_allclose. */
export function isClose(found: Tensor, expected: Tensor, rtol: number, atol: number): boolean {
  if (String(found.shape) !== String(expected.shape) || found.datatype !== expected.datatype) return false
  for (let at = 0; at < expected.data.length; at++) {
    const [a, b] = [elementOf(found, at), elementOf(expected, at)]
    if (Object.is(a, b)) continue
    if (typeof a === 'string' || typeof b === 'string') return false
    if (!(Math.abs(Number(a) - Number(b)) <= atol + rtol * Math.abs(Number(b)))) return false
  }
  return true
}

/** The value of an element; half precision as a number, so that every NaN is the same. */
function elementOf({ datatype, data }: Tensor, at: number): number | bigint | string | undefined {
  const value = data[at]
  return datatype === 'FP16' ? fromHalfBits(Number(value)) : value
}
