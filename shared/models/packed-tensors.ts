import { type Datatype, type Tensor, type TensorData, viewTensorData } from '../sdk/contract/tensor.ts'
import { PeltonError } from '../sdk/errors.ts'
import { buffersOf } from './thread-messages.ts'
import { aligned, isOwned } from './work.ts'

/**
 * Tensors as a message carries them: strings and buffers alone. An object and an array for each tensor, and a string for
 * each text, would take both sides longer than all that is in them.
 */
export interface PackedTensors {
  /** JSON of a {@link Place} for each tensor: the same for batches of the same model and size. */
  readonly places: string
  /** Numbers, and texts that were packed. */
  readonly buffers: readonly ArrayBuffer[]
  /** All other texts, with a NUL between them: no text of a tensor has one. */
  readonly texts: string
}

/** Name, datatype, shape; which buffer, or -1 for texts; the first byte or text; how many elements. */
type Place = readonly [string, Datatype, readonly number[], number, number, number]

const BETWEEN_TEXTS = '\0'

/**
 * Packs tensors for a message, and says which buffers it takes along. Numbers are copied into one buffer and the tensors
 * stay usable: a batch that fails is cut up and run again. Tensors nobody needs again are not copied.
 *
 * @param areKept whether those are needed again, too. @default false
 */
export function packTensors(
  tensors: readonly Tensor[],
  areKept = false,
): { packed: PackedTensors; transfer: ArrayBuffer[] } {
  // What lies in one buffer already is copied by the message itself, unless the buffer is handed over.
  const isReady =
    tensors.every((tensor) => !isNumbers(tensor) || isOwned(tensor)) && buffersOf(tensors).length <= 1
  const placed = isReady ? tensors : copyTensors(tensors, (tensor) => areKept || !isOwned(tensor))
  const buffers = buffersOf(placed)
  const texts: string[] = []
  const places = placed.map(({ name, datatype, shape, data }): Place => {
    if (!Array.isArray(data))
      return [
        name,
        datatype,
        shape,
        buffers.indexOf(data.buffer as ArrayBuffer),
        data.byteOffset,
        data.length,
      ]
    const first = texts.length
    for (const text of data) texts.push(text)
    return [name, datatype, shape, -1, first, data.length]
  })
  const packed = { places: JSON.stringify(places), buffers, texts: texts.join(BETWEEN_TEXTS) }
  return { packed, transfer: isReady && areKept ? [] : buffers }
}

/** The tensors of a message: views of its buffers. Throws `internal` for a text that cannot be carried. */
export function unpackTensors({ places, buffers, texts }: PackedTensors): Tensor[] {
  const all = texts.split(BETWEEN_TEXTS)
  let count = 0
  const tensors = placesOf(places).map(([name, datatype, shape, index, first, length]): Tensor => {
    const buffer = buffers[index]
    if (buffer !== undefined) return { name, datatype, shape, data: viewOf(datatype, buffer, first, length) }
    count += length
    return { name, datatype, shape, data: all.slice(first, first + length) }
  })
  // No texts at all are joined to what one empty text is joined to.
  if (count === all.length || (count === 0 && texts === '')) return tensors
  throw new PeltonError('internal', 'a text with a NUL was sent to a model')
}

/**
 * Tensors with copies of their numbers in one buffer, each where a buffer of its own could begin.
 *
 * @param isCopied which of them; the others are given back as they are. @default all
 */
export function copyTensors(
  tensors: readonly Tensor[],
  isCopied: (tensor: Tensor) => boolean = () => true,
): Tensor[] {
  let size = 0
  for (const tensor of tensors)
    if (isNumbers(tensor) && isCopied(tensor)) size += aligned(tensor.data.byteLength)
  const copies = new Uint8Array(size)
  let at = 0
  return tensors.map((tensor): Tensor => {
    if (!isNumbers(tensor) || !isCopied(tensor)) return tensor
    const { data } = tensor
    copies.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at)
    // Every typed array class takes these arguments; one stands for all.
    const View = data.constructor as Float64ArrayConstructor
    const copy = new View(copies.buffer, at, data.length)
    at += aligned(data.byteLength)
    return { ...tensor, data: copy }
  })
}

type NumberTensor = Tensor & { readonly data: Exclude<TensorData, string[]> }

function isNumbers(tensor: Tensor): tensor is NumberTensor {
  return !Array.isArray(tensor.data)
}

/** Texts in a buffer are packed ones. */
function viewOf(datatype: Datatype, buffer: ArrayBuffer, offset: number, length: number): TensorData {
  return viewTensorData(datatype === 'BYTES' ? 'UINT8' : datatype, buffer, offset, length)
}

/** Places that are remembered: most messages of a model have one of few sizes. */
const MAX_PLACES = 256
const known = new Map<string, readonly Place[]>()

function placesOf(json: string): readonly Place[] {
  const found = known.get(json)
  if (found !== undefined) return found
  if (known.size >= MAX_PLACES) known.clear()
  const places = JSON.parse(json) as readonly Place[] // written by packTensors
  known.set(json, places)
  return places
}
