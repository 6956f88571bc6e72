import { type Datatype, elementSizeBytes, viewTensorData } from '../sdk/contract/tensor.ts'
import { aligned, type OwnedTensor } from './work.ts'

type NumberType = Exclude<Datatype, 'BYTES'>

/** One input in the bytes behind the JSON of a binary body. */
export interface RawInput {
  readonly name: string
  readonly datatype: NumberType
  readonly shape: readonly number[]
  /** Where its bytes begin in the body, and how many there are. */
  readonly at: number
  readonly bytes: number
}

/** Where the inputs of a binary body lie: the same for all bodies with the same JSON. */
export interface RawLayout {
  /** One for every input of the signature, in its order. */
  readonly inputs: readonly RawInput[]
  /** What joining them costs a loop, in bytes. */
  readonly work: number
  /** See `formOf`. */
  readonly form: string
  /** Whether each has a first dimension, along which those of several events can be joined. */
  readonly isJoinable: boolean
}

/** The inputs of a binary event as they came, checked, in its body. */
export class RawRows {
  readonly layout: RawLayout
  readonly body: Uint8Array

  constructor(layout: RawLayout, body: Uint8Array) {
    this.layout = layout
    this.body = body
  }
}

/** Puts the bytes of events one behind the other: all inputs of a run in one buffer, which nobody else holds. */
export class JoinedRaw {
  readonly #events: readonly [RawRows, ...RawRows[]]
  readonly #target: Uint8Array<ArrayBuffer>
  /** Where each input begins, and how far it is filled. */
  readonly #starts: readonly number[]
  readonly #ends: number[]

  /** @param events whose inputs differ in their rows alone */
  constructor(events: readonly [RawRows, ...RawRows[]]) {
    this.#events = events
    const starts: number[] = []
    let size = 0
    for (let index = 0; index < events[0].layout.inputs.length; index++) {
      starts.push(size)
      let bytes = 0
      for (const { layout } of events) bytes += (layout.inputs[index] as RawInput).bytes // as many in each
      size += aligned(bytes)
    }
    this.#target = new Uint8Array(size)
    this.#starts = starts
    this.#ends = [...starts]
  }

  /** Copies the bytes of the next event, the first one first. */
  put({ layout, body }: RawRows): void {
    for (let index = 0; index < layout.inputs.length; index++) {
      const { at, bytes } = layout.inputs[index] as RawInput // within the array
      const end = this.#ends[index] as number // one for each input
      this.#target.set(body.subarray(at, at + bytes), end)
      this.#ends[index] = end + bytes
    }
  }

  /** One tensor for each input. */
  tensors(): OwnedTensor[] {
    const [first] = this.#events
    return first.layout.inputs.map(({ name, datatype, shape }, index) => {
      const start = this.#starts[index] as number // one for each input
      const count = ((this.#ends[index] as number) - start) / elementSizeBytes(datatype)
      const joined = this.#events.length === 1 ? shape : [this.#rowsOf(index), ...shape.slice(1)]
      const data = viewTensorData(datatype, this.#target.buffer, start, count)
      return { name, datatype, shape: joined, data, isOwned: true }
    })
  }

  #rowsOf(index: number): number {
    let rows = 0
    for (const { layout } of this.#events) rows += layout.inputs[index]?.shape[0] ?? 1
    return rows
  }
}
