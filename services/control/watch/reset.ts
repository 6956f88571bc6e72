import type { NatsConnection } from '@nats-io/transport-node'
import { requestApi } from '../../../shared/sdk/jetstream/api.ts'

/**
 * Sets a consumer back to the first event of its stream: it hands out everything that is stored under its filter, also
 * what no one was to get any more, and what workers hold at the moment. Acknowledgements that are under way still count.
 * Without the sequence the broker goes back to the acknowledgement floor only, and leaves orphans where they are (tried
 * on 2.15.1). Deliveries are counted from one again.
 *
 * @throws ApiRefusal where the consumer is gone, PeltonError `broker-unavailable`
 */
export async function resetConsumer(
  connection: NatsConnection,
  stream: string,
  consumer: string,
): Promise<void> {
  await requestApi(connection, `CONSUMER.RESET.${stream}.${consumer}`, { seq: 1 })
}
