import { showValue } from '../sdk/errors.ts'
import type { Signature, TensorSpec } from './signature.ts'

/**
 * How a version takes and gives other tensors than the one below it, each difference in words; nothing where producers and
 * subscribers need not know.
 */
export function describeSignatureChange(before: Signature, after: Signature): string[] {
  return [
    ...describeSide('input', before.inputs, after.inputs),
    ...describeSide('output', before.outputs, after.outputs),
  ]
}

function describeSide(
  side: 'input' | 'output',
  before: readonly TensorSpec[],
  after: readonly TensorSpec[],
): string[] {
  const earlier = new Map(before.map((spec) => [spec.name, spec]))
  const later = new Set(after.map(({ name }) => name))
  const changed = after.flatMap((spec) => {
    const old = earlier.get(spec.name)
    if (old === undefined) return [`${side} ${showValue(spec.name)} is new, ${showType(spec)}`]
    return showType(old) === showType(spec)
      ? []
      : [`${side} ${showValue(spec.name)} was ${showType(old)}, is ${showType(spec)}`]
  })
  const gone = before.filter(({ name }) => !later.has(name))
  return [...changed, ...gone.map((spec) => `${side} ${showValue(spec.name)} is gone, ${showType(spec)}`)]
}

/** Datatype and shape, `?` for a size that is left open. */
export function showType({ datatype, shape }: TensorSpec): string {
  return `${datatype}[${shape.map((size) => size ?? '?').join(', ')}]`
}
