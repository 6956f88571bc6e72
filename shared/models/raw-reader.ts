import { bytesOf, IS_LITTLE_ENDIAN } from '../sdk/contract/binary-tensors.ts'
import type { Tensor } from '../sdk/contract/tensor.ts'
import type { BoundEvent } from './bind.ts'
import { type AskedAnswer, type RawData, type ReadData, withoutId } from './codec.ts'
import { type RawInput, type RawLayout, RawRows } from './raw-rows.ts'
import { formOf } from './row-plan.ts'
import { workOfAll } from './work.ts'

/** Layouts that are remembered, and bytes of JSON one may have. */
const MAX_LAYOUTS = 8
const MAX_HEADER_BYTES = 4_096

/** A binary body that was read with care, as all that begin with the same JSON can be read. */
interface Known {
  readonly contentType: string | undefined
  readonly headerLength: string
  readonly header: Buffer
  readonly bodyBytes: number
  readonly layout: RawLayout
  readonly bound: Omit<BoundEvent, 'inputs'>
  readonly asked: AskedAnswer
}

/**
 * Reads binary bodies that differ from one before in their numbers alone: their JSON is compared, not parsed, and no
 * number is made of their bytes. Everything else is left to the careful way.
 */
export class RawReader {
  readonly #areFinite: boolean
  /** The one that was used last stands first. */
  readonly #known: Known[] = []

  /** @param areFinite whether NaN and infinities are refused */
  constructor(areFinite: boolean) {
    this.#areFinite = areFinite
  }

  /** Undefined where the body has to be read with care. */
  read(data: RawData): ReadData<RawRows> | undefined {
    const known = this.#find(data)
    if (known === undefined) return undefined
    const { layout, bound, asked } = known
    if (this.#areFinite && !layout.inputs.every((input) => isFiniteIn(data.body, input))) return undefined
    return { kind: 'bound', bound: { ...bound, inputs: new RawRows(layout, data.body) }, asked }
  }

  /**
   * Remembers how a body lies that was read with care, where others can be read like it.
   *
   * @param listed its tensors in the order of its JSON
   */
  learn(data: RawData, listed: readonly Tensor[], bound: BoundEvent, asked: AskedAnswer): void {
    const { contentType, inferenceHeaderLength: headerLength, body } = data
    // With an id of its own no other event has the same JSON.
    if (headerLength === undefined || asked.id !== undefined) return
    const size = Number(headerLength)
    const layout = size > MAX_HEADER_BYTES ? undefined : layoutOf(listed, bound.inputs, size, body.length)
    if (layout === undefined) return
    const { inputs: _, ...rest } = bound
    const known = {
      contentType,
      headerLength,
      header: Buffer.from(body.subarray(0, size)),
      bodyBytes: body.length,
      layout,
      bound: rest,
      asked: withoutId(asked),
    }
    this.#known.unshift(known)
    if (this.#known.length > MAX_LAYOUTS) this.#known.pop()
  }

  #find({ contentType, inferenceHeaderLength, body }: RawData): Known | undefined {
    for (let index = 0; index < this.#known.length; index++) {
      const known = this.#known[index] as Known // within the array
      const { header, headerLength, bodyBytes } = known
      if (headerLength !== inferenceHeaderLength || known.contentType !== contentType) continue
      if (bodyBytes !== body.length || header.compare(body, 0, header.length) !== 0) continue
      if (index > 0) this.#known.unshift(...this.#known.splice(index, 1))
      return known
    }
    return undefined
  }
}

/** Undefined where not all tensors are numbers behind the JSON, or some have values that a datatype forbids. */
function layoutOf(
  listed: readonly Tensor[],
  inputs: readonly Tensor[],
  headerBytes: number,
  bodyBytes: number,
): RawLayout | undefined {
  if (!IS_LITTLE_ENDIAN) return undefined
  const places = new Map<string, RawInput>()
  let at = headerBytes
  for (const { name, datatype, shape, data } of listed) {
    if (datatype === 'BYTES' || datatype === 'BOOL') return undefined
    const bytes = bytesOf(data).length
    places.set(name, { name, datatype, shape, at, bytes })
    at += bytes
  }
  // A tensor with its data in the JSON has none of these bytes: then the sum is larger.
  if (at !== bodyBytes) return undefined
  const placed = inputs.flatMap(({ name }) => places.get(name) ?? [])
  const isJoinable = inputs.every(({ shape }) => shape.length > 0)
  return { inputs: placed, work: workOfAll(inputs), form: formOf(inputs), isJoinable }
}

const EXPONENTS = { FP16: 0x7c00, FP32: 0x7f800000, FP64: 0x7ff00000 } as const

/** Whether no float among these bytes, which may begin anywhere, is NaN or infinite: all bits of its exponent are set. */
function isFiniteIn(body: Uint8Array, { datatype, at, bytes }: RawInput): boolean {
  if (datatype !== 'FP16' && datatype !== 'FP32' && datatype !== 'FP64') return true
  const view = new DataView(body.buffer, body.byteOffset + at, bytes)
  const mask = EXPONENTS[datatype]
  if (datatype === 'FP16') {
    for (let index = 0; index < bytes; index += 2)
      if ((view.getUint16(index, true) & mask) === mask) return false
    return true
  }
  // The exponent lies in the last four bytes of either.
  const step = datatype === 'FP64' ? 8 : 4
  for (let index = step - 4; index < bytes; index += step)
    if ((view.getInt32(index, true) & mask) === mask) return false
  return true
}
