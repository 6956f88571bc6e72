import type { NatsConnection } from '@nats-io/transport-node'
import { type FeatureEvent, readEvent } from '../../shared/sdk/contract/event.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { parseHeaderBlock } from '../../shared/sdk/jetstream/stored-message.ts'

interface Reply {
  readonly message: { readonly subject: string; readonly hdrs: string; readonly data?: string }
}

/** What lies in FEATURES, in order, read message by message as no worker is there. */
export async function storedFeatures(connection: NatsConnection): Promise<FeatureEvent[]> {
  const state = (await streamInfo(connection, STREAMS.features))?.state
  const events: FeatureEvent[] = []
  if (!state?.messages) return events
  for (let sequence = state.first_seq; sequence <= state.last_seq; sequence++) {
    const { message } = await requestApi<Reply>(connection, `STREAM.MSG.GET.${STREAMS.features}`, {
      seq: sequence,
    })
    events.push(
      readEvent({
        subject: message.subject,
        headers: parseHeaderBlock(Buffer.from(message.hdrs, 'base64')),
        body: Buffer.from(message.data ?? '', 'base64'),
        stream: STREAMS.features,
        epoch: 'epoch',
        sequence,
      }),
    )
  }
  return events
}

/** Changes the configuration of FEATURES as an operator would. */
export async function editFeatures(connection: NatsConnection, changes: object): Promise<void> {
  const { config } = await requestApi<{ config: object }>(connection, `STREAM.INFO.${STREAMS.features}`)
  await requestApi(connection, `STREAM.UPDATE.${STREAMS.features}`, { ...config, ...changes })
}
