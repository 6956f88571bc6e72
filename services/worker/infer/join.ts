import { type EventInputs, toTensors, workOfInputs } from '../../../shared/models/event-reader.ts'
import { JoinedRaw, RawRows } from '../../../shared/models/raw-rows.ts'
import { canFollow, JoinedRows, workOfRow } from '../../../shared/models/row-join.ts'
import { Row } from '../../../shared/models/row-store.ts'
import { type OwnedTensor, packTexts, workOf } from '../../../shared/models/work.ts'
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
 * The inputs of a batch, those of several events joined row by row. What is more than a turn of the loop may copy is
 * joined over several turns. What was joined goes to its thread without another copy.
 */
export async function joinInputs(batch: Batch, turns: Pick<Turns, 'spend'>): Promise<readonly Tensor[]> {
  const [first] = batch
  if (first === undefined) return []
  if (batch.length === 1) return toTensors(first.inputs)
  let work = 0
  for (const { inputs } of batch) work += workOfInputs(inputs)
  const rows = allOf(batch, isRow, canFollow)
  if (rows !== undefined) return joinRows(rows, work, turns)
  const bodies = allOf(batch, isRaw, areAlike)
  if (bodies !== undefined) return joinBodies(bodies, work, turns)
  const events: (readonly Tensor[])[] = []
  for (const { inputs } of batch) {
    if (work > TURN_BYTES && !Array.isArray(inputs)) await turns.spend(workOfInputs(inputs))
    events.push(toTensors(inputs))
  }
  const joined: Tensor[] = []
  for (let index = 0; index < (events[0]?.length ?? 0); index++) {
    const pieces = events.map((inputs) => inputs[index] as Tensor) // of the same kind: as many inputs
    joined.push(work > TURN_BYTES ? await joinOverTurns(pieces, turns) : concatRows(pieces))
  }
  return joined
}

/** The inputs of a batch where those of each event can follow the first ones; undefined where some cannot. */
function allOf<Inputs extends EventInputs>(
  batch: Batch,
  isOne: (inputs: EventInputs) => inputs is Inputs,
  mayFollow: (first: Inputs, other: Inputs) => boolean,
): [Inputs, ...Inputs[]] | undefined {
  const first = batch[0]?.inputs
  if (first === undefined || !isOne(first)) return undefined
  const all: [Inputs, ...Inputs[]] = [first]
  for (let index = 1; index < batch.length; index++) {
    const inputs = batch[index]?.inputs
    if (inputs === undefined || !isOne(inputs) || !mayFollow(first, inputs)) return undefined
    all.push(inputs)
  }
  return all
}

const isRow = (inputs: EventInputs): inputs is Row => inputs instanceof Row
const isRaw = (inputs: EventInputs): inputs is RawRows => inputs instanceof RawRows

/** Of one kind, so only their rows differ. */
function areAlike({ layout }: RawRows, other: RawRows): boolean {
  return layout.isJoinable && layout.form === other.layout.form
}

async function joinBodies(
  bodies: readonly [RawRows, ...RawRows[]],
  work: number,
  turns: Pick<Turns, 'spend'>,
): Promise<readonly Tensor[]> {
  const joined = new JoinedRaw(bodies)
  for (const body of bodies) {
    if (work > TURN_BYTES) await turns.spend(body.layout.work)
    joined.put(body)
  }
  return joined.tensors()
}

async function joinRows(
  rows: readonly [Row, ...Row[]],
  work: number,
  turns: Pick<Turns, 'spend'>,
): Promise<readonly Tensor[]> {
  const joined = new JoinedRows(rows[0].plan, rows.length)
  if (work <= TURN_BYTES) joined.put(rows)
  else
    for (const [index, row] of rows.entries()) {
      await turns.spend(workOfRow(row))
      joined.put([row], index)
    }
  return joined.tensors()
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
