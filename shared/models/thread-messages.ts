import type { Tensor } from '../sdk/contract/tensor.ts'
import { type ErrorCode, type ErrorDetails, messageOf, PeltonError, toPeltonError } from '../sdk/errors.ts'
import type { PackedTensors } from './packed-tensors.ts'
import type { AnswerBound } from './withheld.ts'

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
  | {
      readonly kind: 'run'
      readonly model: ModelFile
      readonly inputs: readonly Tensor[]
      readonly outputNames?: readonly string[]
      readonly bound?: AnswerBound
    }
  | { readonly kind: 'load'; readonly model: ModelFile }
  | { readonly kind: 'unload'; readonly key: string }

/** A request as a thread is sent it. */
export type SentRequest =
  | (Omit<Extract<ThreadRequest, { readonly kind: 'run' }>, 'inputs'> & { readonly inputs: PackedTensors })
  | Exclude<ThreadRequest, { readonly kind: 'run' }>

export type ToThread = (SentRequest & { readonly id: number }) | { readonly kind: 'stop' }

/** An error on its way through a message, which keeps only plain values. */
export interface ErrorMessage {
  readonly code: ErrorCode
  /** The whole sentence, details included. */
  readonly description: string
  readonly details: ErrorDetails
}

export type FromThread =
  | { readonly kind: 'ready' }
  /** The model of the request it is busy with is opened, or is open now: that is no run. */
  | { readonly kind: 'opening' }
  | { readonly kind: 'opened' }
  /** A model was closed for want of room. */
  | { readonly kind: 'closed'; readonly key: string }
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
  const { code, description, details } = toPeltonError(thrown, fallback, text)
  return { code, description, details }
}

export function fromErrorMessage({ code, description, details }: ErrorMessage): PeltonError {
  // Given to the constructor, they would stand in the sentence twice.
  return Object.assign(new PeltonError(code, description), { details })
}

/** The buffers of tensors nobody else holds, each once. */
export function buffersOf(tensors: readonly Tensor[]): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>()
  for (const { data } of tensors) {
    if (!Array.isArray(data) && data.buffer instanceof ArrayBuffer) buffers.add(data.buffer)
  }
  return [...buffers]
}
