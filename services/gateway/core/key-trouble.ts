import type { NatsConnection } from '@nats-io/transport-node'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { ApiRefusal, NOT_FOUND } from '../../../shared/sdk/jetstream/api.ts'
import { NO_STREAM } from '../../../shared/sdk/jetstream/publish-reply.ts'
import { readEntry } from './request-entry.ts'

/** What a caller is told of trouble with the broker: an error of the table. */
export async function explainTrouble(
  connection: NatsConnection,
  digest: string,
  thrown: unknown,
): Promise<unknown> {
  // A bucket that is not there answers no publish. Who asks for a message of it is told.
  const isUntaken = thrown instanceof PeltonError && thrown.description.includes(NO_STREAM)
  const cause = isUntaken ? await readEntry(connection, digest).then(() => thrown, refusalOr(thrown)) : thrown
  if (!(cause instanceof ApiRefusal)) return thrown
  if (cause.code !== NOT_FOUND.stream)
    return new PeltonError('broker-unavailable', 'the broker cannot tell of this key', {}, cause)
  return new PeltonError(
    'not-provisioned',
    'a stream that idempotency keys need does not exist on this broker',
    { remedy: 'Run `pelton provision` once.' },
    cause,
  )
}

function refusalOr(thrown: unknown): (trouble: unknown) => unknown {
  return (trouble) => (trouble instanceof ApiRefusal ? trouble : thrown)
}
