import { elementCount, elementSizeBytes, type Tensor } from '../sdk/contract/tensor.ts'

/** What the answers to a run may have at most. */
export interface AnswerBound {
  /** Bytes of one answer. */
  readonly maxBytes: number
  /** Rows of the smallest event of the run; undefined where all of the outputs are of one event. */
  readonly leastRows: number | undefined
}

/**
 * Outputs that no answer could hold, as their shapes tell, without their values: those stay where they were made. Whoever asks
 * for such an output is refused by its shape.
 */
export function withhold(outputs: readonly Tensor[], bound: AnswerBound): readonly Tensor[] {
  if (!outputs.some((output) => isBeyond(output, bound))) return outputs
  return outputs.map((output) => (isBeyond(output, bound) ? { ...output, data: [] } : output))
}

/** Whether an output has been withheld: it has none of the values its shape speaks of. */
export function isWithheld({ data, shape }: Tensor): boolean {
  return data.length === 0 && elementCount(shape) > 0
}

function isBeyond({ datatype, shape }: Tensor, { maxBytes, leastRows }: AnswerBound): boolean {
  const [rows = 0] = shape
  const share = leastRows === undefined ? 1 : leastRows / Math.max(1, rows)
  return elementCount(shape) * share * leastElementBytes(datatype) > maxBytes
}

/** Bytes an element has at least, as JSON or as raw bytes. */
function leastElementBytes(datatype: Tensor['datatype']): number {
  const size = elementSizeBytes(datatype)
  return size === undefined ? 3 : Math.min(size, 2)
}
