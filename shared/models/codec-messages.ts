import type { FeatureEvent, StoredMessage } from '../sdk/contract/event.ts'
import type { EncodedBody } from '../sdk/contract/open-inference.ts'
import type { Tensor } from '../sdk/contract/tensor.ts'
import type { BinderModel } from './bind-plan.ts'
import type { AnswerPart, RawData, ReadData } from './codec.ts'
import type { ErrorMessage } from './thread-messages.ts'

/** What a codec thread is asked to do. */
export type CodecRequest =
  /** Read a message as an event; its headers and body are as they came. */
  | { readonly kind: 'read'; readonly message: StoredMessage }
  /** Read the data of an event and fit it to its model, which comes along the first time. */
  | { readonly kind: 'bind'; readonly key: string; readonly model?: BinderModel; readonly data: RawData }
  /** Write the answers to a batch. */
  | { readonly kind: 'answer'; readonly outputs: readonly Tensor[]; readonly parts: readonly AnswerPart[] }

/** An event on its way through a message, which keeps only plain values. */
export type PlainEvent = Omit<FeatureEvent, 'problem'> & { readonly problem: ErrorMessage | undefined }

/** What it answers; buffers that came along go back. */
export type CodecAnswer =
  | {
      readonly kind: 'read'
      readonly event: PlainEvent
      readonly body: Uint8Array
      /** Digest of the event's own body. */
      readonly digest: string
    }
  | {
      readonly kind: 'bind'
      readonly result:
        | Extract<ReadData, { kind: 'bound' }>
        | { readonly kind: 'refused'; readonly stage: 'decode' | 'validate'; readonly error: ErrorMessage }
      readonly body: Uint8Array
    }
  | { readonly kind: 'answer'; readonly answers: readonly (EncodedBody | ErrorMessage)[] }
  /** A defect: nothing an event brings leads here. */
  | { readonly kind: 'failed'; readonly error: ErrorMessage }

export type ToCodec = CodecRequest & { readonly id: number }
export type FromCodec = CodecAnswer & { readonly id: number }
