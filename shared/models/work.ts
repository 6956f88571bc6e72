import { binarySizeOf, readBinaryData, writeBinaryData } from '../sdk/contract/binary-tensors.ts'
import { type Datatype, elementCount, elementSizeBytes, type Tensor } from '../sdk/contract/tensor.ts'

/** Bytes an element is counted with at least: the shortest JSON of one has two characters. */
const ELEMENT_BYTES = 2

/** Bytes a text of BYTES is counted with beside its characters: its length, as in the binary form. */
const TEXT_BYTES = 4

/** What {@link workOf} counts an element of a tensor with; of a text, what it has beside its characters. */
export function workOfElement(datatype: Datatype): number {
  return datatype === 'BYTES' ? TEXT_BYTES : Math.max(ELEMENT_BYTES, elementSizeBytes(datatype))
}

/** What reading, joining or writing a tensor costs a loop, in bytes: its own, and two at least for each element. */
export function workOf({ datatype, data }: Tensor): number {
  // Packed texts have more bytes than they have elements.
  if (!Array.isArray(data))
    return Math.max(data.byteLength, datatype === 'BYTES' ? 0 : ELEMENT_BYTES * data.length)
  let bytes = TEXT_BYTES * data.length
  for (const text of data) bytes += text.length
  return bytes
}

/** The same of several. */
export function workOfAll(tensors: readonly Tensor[]): number {
  let bytes = 0
  for (const tensor of tensors) bytes += workOf(tensor)
  return bytes
}

/**
 * A tensor nobody needs after it was sent to a thread: its buffer goes there, without a copy. Texts lie in one buffer
 * too, in their binary form (see {@link packTexts}).
 */
export interface OwnedTensor extends Tensor {
  readonly isOwned: true
}

export function isOwned(tensor: Tensor): tensor is OwnedTensor {
  return (tensor as Partial<OwnedTensor>).isOwned === true
}

/**
 * Texts as the bytes of their binary form: many strings would be written and read one by one by the loops on both sides
 * of a thread. Other tensors, and texts that are packed already, are given back as they are.
 */
export function packTexts(tensor: Tensor): Tensor {
  if (!Array.isArray(tensor.data)) return tensor
  const packed = Buffer.from(new ArrayBuffer(binarySizeOf(tensor)))
  writeBinaryData(tensor, packed, 0)
  return { ...tensor, data: new Uint8Array(packed.buffer) }
}

/** The texts of a tensor as strings again; other tensors are given back as they are. */
export function unpackTexts(tensor: Tensor): Tensor {
  const { datatype, shape, data, name } = tensor
  if (datatype !== 'BYTES' || Array.isArray(data)) return tensor
  return { ...tensor, data: readBinaryData('BYTES', elementCount(shape), data as Uint8Array, name) }
}

/**
 * To 16 bytes, as a buffer of its own would be: the runtime sums in another order where a tensor begins elsewhere, and
 * the last bits of an answer would depend on the tensors in front of it.
 */
export function aligned(bytes: number): number {
  return Math.ceil(bytes / 16) * 16
}
