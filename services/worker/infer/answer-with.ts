import type { NatsConnection } from '@nats-io/transport-node'
import { type AnswerPart, workOfAnswers, writeAnswers } from '../../../shared/models/codec.ts'
import type { Codec } from '../../../shared/models/codec-threads.ts'
import { TURN_BYTES, type Turns } from '../../../shared/runtime/turns.ts'
import type { Tensor } from '../../../shared/sdk/contract/tensor.ts'
import type { Answering } from './predict.ts'

/** Writes small answers here, in a turn of the loop that has room for them, and large ones on threads. */
export function answerWith(
  { connection }: { readonly connection: Pick<NatsConnection, 'info'> },
  turns: Pick<Turns, 'take' | 'spend'>,
  codec: Pick<Codec, 'answer'>,
): Answering {
  return {
    maxBytes: () => connection.info?.max_payload ?? Number.POSITIVE_INFINITY,
    async answer(outputs: readonly Tensor[], parts: readonly AnswerPart[]) {
      const work = workOfAnswers(outputs, parts)
      if (work > TURN_BYTES) return codec.answer(outputs, parts)
      if (!turns.take(work)) await turns.spend(work)
      return writeAnswers(outputs, parts)
    },
  }
}
