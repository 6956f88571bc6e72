import { IS_LITTLE_ENDIAN } from '../sdk/contract/binary-tensors.ts'
import { elementSizeBytes, type Tensor, viewTensorData } from '../sdk/contract/tensor.ts'
import type { RowColumn, RowInput, RowPlan } from './row-plan.ts'
import type { Row } from './row-store.ts'
import { aligned, type OwnedTensor, workOfElement } from './work.ts'

const TEXT_BYTES = workOfElement('BYTES')

/** What joining a row costs a loop, in bytes: as much as its tensors would. */
export function workOfRow({ plan, texts, at }: Row): number {
  let bytes = plan.work
  for (let place = 0; place < plan.texts; place++)
    bytes += TEXT_BYTES + (texts[at * plan.texts + place] as string).length
  return bytes
}

/** Whether rows of `other` can follow this one in a run. */
export function canFollow({ plan }: Row, other: Row): boolean {
  return plan === other.plan && plan.isJoinable
}

/** The inputs of a run, made of rows: all numbers in one buffer, which nobody else holds. */
export class JoinedRows {
  readonly #plan: RowPlan
  readonly #rows: number
  readonly #view: DataView<ArrayBuffer>
  readonly #texts: readonly string[][]

  /** @param rows how many there will be */
  constructor(plan: RowPlan, rows: number) {
    this.#plan = plan
    this.#rows = rows
    let size = 0
    for (const input of plan.inputs) size += this.#sizeOf(input)
    this.#view = new DataView(new ArrayBuffer(size))
    this.#texts = plan.inputs.map(({ datatype, columns }) =>
      datatype === 'BYTES' ? new Array<string>(rows * columns.length).fill('') : [],
    )
  }

  /** Puts rows in from row `first` on. */
  put(rows: readonly Row[], first = 0): void {
    let start = 0
    for (let index = 0; index < this.#plan.inputs.length; index++) {
      const input = this.#plan.inputs[index] as RowInput // within the array
      const { datatype, columns } = input
      for (let at = 0; at < columns.length; at++) {
        const { place } = columns[at] as RowColumn // within the array
        if (datatype === 'BYTES') this.#putTexts(index, columns.length, at, place, rows, first)
        else this.#putNumbers(input, start, at, place, rows, first)
      }
      start += this.#sizeOf(input)
    }
  }

  /** One tensor for each input. */
  tensors(): Tensor[] {
    let start = 0
    return this.#plan.inputs.map((input, index): Tensor | OwnedTensor => {
      const { name, datatype, rowShape, columns } = input
      const shape = this.#rows === 1 ? rowShape : [this.#rows, ...rowShape.slice(1)]
      if (datatype === 'BYTES') return { name, datatype, shape, data: this.#texts[index] ?? [] }
      const data = viewTensorData(datatype, this.#view.buffer, start, this.#rows * columns.length)
      start += this.#sizeOf(input)
      return { name, datatype, shape, data, isOwned: true }
    })
  }

  #sizeOf({ datatype, columns }: RowInput): number {
    return aligned(this.#rows * columns.length * (elementSizeBytes(datatype) ?? 0))
  }

  #putTexts(
    index: number,
    width: number,
    column: number,
    place: number,
    rows: readonly Row[],
    first: number,
  ): void {
    const target = this.#texts[index] as string[] // one for each input
    const { texts: count } = this.#plan
    let to = first * width + column
    for (let at = 0; at < rows.length; at++, to += width) {
      const row = rows[at] as Row // within the array
      target[to] = row.texts[row.at * count + place] as string
    }
  }

  #putNumbers(
    { datatype, columns }: RowInput,
    start: number,
    column: number,
    place: number,
    rows: readonly Row[],
    first: number,
  ): void {
    const size = elementSizeBytes(datatype) ?? 0
    const isFloat = datatype === 'FP32' || datatype === 'FP64'
    const { numbers: count } = this.#plan
    let to = start + (first * columns.length + column) * size
    for (let at = 0; at < rows.length; at++, to += columns.length * size) {
      const row = rows[at] as Row // within the array
      const value = row.numbers[row.at * count + place] as number
      if (isFloat) writeFloat(this.#view, to, size, value)
      else writeInteger(this.#view, to, size, value)
    }
  }
}

function writeFloat(view: DataView, to: number, size: number, value: number): void {
  if (size === 4) view.setFloat32(to, value, IS_LITTLE_ENDIAN)
  else view.setFloat64(to, value, IS_LITTLE_ENDIAN)
}

/** Whole numbers of 2^53 at most, or bits; signed and unsigned ones have the same bytes. */
function writeInteger(view: DataView, to: number, size: number, value: number): void {
  if (size === 8) {
    const high = Math.floor(value / 2 ** 32)
    view.setInt32(IS_LITTLE_ENDIAN ? to + 4 : to, high, IS_LITTLE_ENDIAN)
    view.setInt32(IS_LITTLE_ENDIAN ? to : to + 4, value - high * 2 ** 32, IS_LITTLE_ENDIAN)
  } else if (size === 4) view.setInt32(to, value, IS_LITTLE_ENDIAN)
  else if (size === 2) view.setInt16(to, value, IS_LITTLE_ENDIAN)
  else view.setInt8(to, value)
}
