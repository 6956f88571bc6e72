import type { Tensor, TensorData } from '../sdk/contract/tensor.ts'
import { type ErrorCode, messageOf, PeltonError, toPeltonError } from '../sdk/errors.ts'
import { aligned, isOwned } from './work.ts'

/** A model file and the key its sessions are kept under: two files never share one. */
export interface ModelFile {
  readonly key: string
  readonly path: string
  /** SHA-256 in hex; when given, a file with other bytes is refused instead of opened. */
  readonly digest?: string
  /** Whether it is a private copy, which nobody writes: its bytes are those that were digested. */
  readonly isCopy?: boolean
  /** Of all its files, external data included. */
  readonly sizeBytes?: number
}

/** Only what a message can carry: callers pass whole models. */
export function fileOf({ key, path, digest, isCopy = false, sizeBytes }: ModelFile): ModelFile {
  const whole = { key, path, isCopy, ...(sizeBytes !== undefined && { sizeBytes }) }
  return digest === undefined ? whole : { ...whole, digest }
}

/** How many sessions a thread keeps open. The one used least recently is closed first. */
export interface SessionLimits {
  /** @default 64 */
  readonly maxOpen?: number
  /** Sum of the sizes of their files; a session takes about 1.3 times its file. @default 1073741824 (1 GiB) */
  readonly maxFileBytes?: number
}

export type ThreadRequest =
  | { readonly kind: 'run'; model: ModelFile; inputs: readonly Tensor[]; outputNames?: readonly string[] }
  | { readonly kind: 'load'; readonly model: ModelFile }
  | { readonly kind: 'unload'; readonly key: string }

export type ToThread = (ThreadRequest & { readonly id: number }) | { readonly kind: 'stop' }

/** An error on its way through a message, which keeps only plain values. */
export interface ErrorMessage {
  readonly code: ErrorCode
  readonly description: string
}

export type FromThread =
  | { readonly kind: 'ready' }
  /** The model of the request it is busy with is opened, or is open now: that is no run. */
  | { readonly kind: 'opening' }
  | { readonly kind: 'opened' }
  /** `runMs`: how long the run took, the opening of its model excluded; nothing where none ran. */
  | {
      readonly kind: 'done'
      readonly id: number
      readonly outputs: readonly Tensor[]
      readonly runMs?: number
    }
  | { readonly kind: 'failed'; readonly id: number; readonly error: ErrorMessage }

/** What is thrown on the far side, made ready for a message; what is no {@link PeltonError} becomes `fallback`. */
export function toErrorMessage(thrown: unknown, fallback: ErrorCode): ErrorMessage {
  const text = messageOf(thrown)
  const { code, description } = toPeltonError(thrown, fallback, text)
  return { code, description }
}

export function fromErrorMessage({ code, description }: ErrorMessage): PeltonError {
  return new PeltonError(code, description)
}

/**
 * Copies of the tensors in one buffer, and the buffer. Sending that costs one transfer however many tensors there are,
 * and the originals stay usable: a batch that fails is cut up and run again. Tensors nobody needs again are not copied.
 *
 * @param areKept whether those are needed again, too. @default false
 */
export function packTensors(
  tensors: readonly Tensor[],
  areKept = false,
): { tensors: Tensor[]; transfer: ArrayBuffer[] } {
  const isCopied = (tensor: Tensor): tensor is NumberTensor =>
    isNumbers(tensor) && (areKept || !isOwned(tensor))
  const buffers = buffersOf(tensors)
  // What lies in one buffer already is copied by the message itself, unless the buffer is handed over.
  if (buffers.length <= 1 && tensors.every((tensor) => !isNumbers(tensor) || isOwned(tensor)))
    return { tensors: [...tensors], transfer: areKept ? [] : buffers }
  let size = 0
  for (const tensor of tensors) if (isCopied(tensor)) size += aligned(tensor.data.byteLength)
  const packed = new Uint8Array(size)
  let at = 0
  const copies = tensors.map((tensor): Tensor => {
    if (!isCopied(tensor)) return tensor
    const { data } = tensor
    packed.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at)
    // Every typed array class takes these arguments; one stands for all.
    const View = data.constructor as Float64ArrayConstructor
    const copy = new View(packed.buffer, at, data.length)
    at += aligned(data.byteLength)
    return { ...tensor, data: copy }
  })
  return {
    tensors: copies,
    transfer: [packed.buffer, ...(areKept ? [] : buffersOf(tensors.filter(isOwned)))],
  }
}

type NumberTensor = Tensor & { readonly data: Exclude<TensorData, string[]> }

function isNumbers({ data }: Tensor): boolean {
  return !Array.isArray(data)
}

/** The buffers of tensors nobody else holds, each once. */
export function buffersOf(tensors: readonly Tensor[]): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>()
  for (const { data } of tensors) {
    if (!Array.isArray(data) && data.buffer instanceof ArrayBuffer) buffers.add(data.buffer)
  }
  return [...buffers]
}
