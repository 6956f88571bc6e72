import type { NatsConnection } from '@nats-io/transport-node'
import type { Headers } from '../../../shared/sdk/contract/headers.ts'
import { findApi, NOT_FOUND } from '../../../shared/sdk/jetstream/api.ts'
import { parseHeaderBlock } from '../../../shared/sdk/jetstream/stored-message.ts'

/** A message as it lies in a stream, to the byte. */
export interface Stored {
  readonly stream: string
  readonly subject: string
  readonly sequence: number
  /** Broker time, milliseconds since 1970. */
  readonly storedAt: number
  readonly headerBlock: Uint8Array
  readonly headers: Headers
  readonly body: Uint8Array
}

interface Reply {
  readonly message: {
    readonly subject: string
    readonly seq: number
    readonly hdrs?: string
    readonly data?: string
    readonly time: string
  }
}

/** All that a stream holds under a subject, in order, read message by message: a work queue has no second consumer. */
export async function readStored(
  connection: NatsConnection,
  stream: string,
  filter = '>',
): Promise<Stored[]> {
  const stored: Stored[] = []
  for (let seq = 1; ; ) {
    const wanted = { seq, next_by_subj: filter }
    const reply = await findApi<Reply>(connection, `STREAM.MSG.GET.${stream}`, NOT_FOUND.message, wanted)
    if (reply === undefined) return stored
    stored.push(storedOf(stream, reply))
    seq = reply.message.seq + 1
  }
}

function storedOf(stream: string, { message }: Reply): Stored {
  const { subject, seq: sequence, time, hdrs = '', data = '' } = message
  const headerBlock = Buffer.from(hdrs, 'base64')
  const body = Buffer.from(data, 'base64')
  const headers = parseHeaderBlock(headerBlock)
  return { stream, subject, sequence, storedAt: Date.parse(time), headerBlock, headers, body }
}
