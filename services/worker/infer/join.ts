import { type OwnedTensor, packTexts, workOf, workOfAll } from '../../../shared/models/work.ts'
import { TURN_BYTES, type Turns } from '../../../shared/runtime/turns.ts'
import {
  concatRows,
  createTensorData,
  elementCount,
  rowsOf,
  type Tensor,
} from '../../../shared/sdk/contract/tensor.ts'
import type { Batch } from '../prepare/prepared.ts'

/**
 * The inputs of a batch of several events, joined row by row. What is more than a turn of the loop may copy is joined
 * over several turns, and goes to its thread without another copy.
 */
export async function joinInputs(batch: Batch, turns: Pick<Turns, 'spend'>): Promise<readonly Tensor[]> {
  let work = 0
  for (const { inputs } of batch) work += workOfAll(inputs)
  const joined: Tensor[] = []
  for (let index = 0; index < (batch[0]?.inputs.length ?? 0); index++) {
    const pieces = batch.map(({ inputs }) => inputs[index] as Tensor) // of the same kind: as many inputs
    joined.push(work > TURN_BYTES ? await joinOverTurns(pieces, turns) : concatRows(pieces))
  }
  return joined
}

/** One tensor with the rows of all, which are of the same kind; texts are packed. */
async function joinOverTurns(pieces: readonly Tensor[], turns: Pick<Turns, 'spend'>): Promise<OwnedTensor> {
  const [first] = pieces as [Tensor, ...Tensor[]] // a batch has events
  let rows = 0
  for (const piece of pieces) rows += rowsOf(piece)
  const shape = [rows, ...first.shape.slice(1)]
  const { name, datatype } = first
  if (datatype === 'BYTES')
    return { name, datatype, shape, data: await joinTexts(pieces, turns), isOwned: true }
  // The same datatype means the same class of array, which the compiler cannot see.
  const data = createTensorData(datatype, elementCount(shape)) as Float64Array
  let at = 0
  for (const piece of pieces) {
    await turns.spend(workOf(piece))
    data.set(piece.data as Float64Array, at)
    at += piece.data.length
  }
  return { name, datatype, shape, data, isOwned: true }
}

async function joinTexts(pieces: readonly Tensor[], turns: Pick<Turns, 'spend'>): Promise<Uint8Array> {
  const packed: Tensor[] = []
  let size = 0
  for (const piece of pieces) {
    await turns.spend(workOf(piece))
    const each = packTexts(piece)
    packed.push(each)
    size += (each.data as Uint8Array).length
  }
  const joined = new Uint8Array(size)
  let at = 0
  for (const { data } of packed) {
    await turns.spend(data.length)
    joined.set(data as Uint8Array, at)
    at += data.length
  }
  return joined
}
