import type { NatsConnection } from '@nats-io/transport-node'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { PeltonError, showValue } from '../../../shared/sdk/errors.ts'
import { patientApi } from '../../../shared/sdk/jetstream/api.ts'
import { createBrokerClock } from '../../../shared/sdk/jetstream/broker-clock.ts'
import { createMessageProducer } from '../../../shared/sdk/producer.ts'
import { LONGEST_TIMEOUT_MS } from './event-of-request.ts'
import { Handles } from './handles.ts'
import type { GatewayCoreOptions } from './options.ts'
import { PUBLISH_MS, RunningCore } from './running-core.ts'
import { checkSecret, sharedSecret } from './secret.ts'

/** How long the stream's word on one try may take, milliseconds. */
const ACK_MS = 2_000
/** Publishes that wait for the stream's word at once. */
const MOST_PUBLISHES = 1_024

/**
 * Makes the core of a gateway over a connection that it shares.
 *
 * @throws PeltonError `invalid-argument` for an option, `not-provisioned`, `broker-unavailable`
 */
export async function createGatewayCore(
  connection: NatsConnection,
  options: GatewayCoreOptions,
): Promise<RunningCore> {
  checkOption('defaultTimeoutMs', options.defaultTimeoutMs, LONGEST_TIMEOUT_MS)
  checkOption('maxInFlight', options.maxInFlight)
  checkOption('maxInFlightBytes', options.maxInFlightBytes)
  const secret = options.secret === undefined ? await sharedSecret(connection) : checkSecret(options.secret)
  const producer = await createMessageProducer({
    ...{
      connection,
      source: 'gateway',
      maxInFlight: MOST_PUBLISHES,
      ackTimeoutMs: ACK_MS,
      retryForMs: PUBLISH_MS,
    },
    // Requests ask at the gateway's own door, and what is in flight is bounded here already.
    admission: false,
    maxBuffered: options.maxInFlight,
    maxBufferedBytes: Number.MAX_SAFE_INTEGER,
  })
  // A gateway whose clock is behind would have its events over before they are there.
  const clock = await patientApi(() => createBrokerClock(connection, STREAMS.features))
  return new RunningCore(connection, { ...options, producer, clock, handles: new Handles(secret) })
}

function checkOption(field: string, value: number, most = Number.MAX_SAFE_INTEGER): void {
  if (Number.isSafeInteger(value) && value >= 1 && value <= most) return
  throw new PeltonError('invalid-argument', 'this setting cannot be used', {
    field,
    value: showValue(value),
    remedy: `Give a whole number of 1 or more${most < Number.MAX_SAFE_INTEGER ? `, ${most} at most` : ''}.`,
  })
}
