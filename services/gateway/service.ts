import type { NatsConnection } from '@nats-io/transport-node'
import type { Logger } from 'pino'
import { followKeys } from '../../shared/operations/keys/key-follower.ts'
import { closedForGood, followBroker, leaveBroker, tellTrouble } from '../../shared/runtime/broker-reach.ts'
import { brokerOptions } from '../../shared/runtime/config.ts'
import type { Service } from '../../shared/runtime/lifecycle.ts'
import { waitingFor } from '../../shared/runtime/start-waiting.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STORES, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { messageOf } from '../../shared/sdk/errors.ts'
import { patientApi } from '../../shared/sdk/jetstream/api.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import { orAborted } from '../../shared/sdk/jetstream/election.ts'
import { requireBuckets, requireStreams } from '../../shared/sdk/jetstream/provision.ts'
import type { GatewaySettings } from './config.ts'
import { createGatewayCore } from './core/gateway-core.ts'
import { openKeyedRequests } from './core/keyed-requests.ts'
import { OPEN_NOTE } from './http/authorisation.ts'
import type { GatewayDoor } from './http-sides.ts'

/** How long before the end of a drain nobody waits for answers any more, milliseconds. */
const LAST_WORD_MS = 2_000

/**
 * Connects, and takes requests until it is stopped.
 *
 * @param aborted ends each wait for the broker: its reason is thrown
 */
export async function startGateway(
  settings: GatewaySettings,
  log: Logger,
  door: GatewayDoor,
  aborted: AbortSignal,
): Promise<Service> {
  const connection = await openConnection(settings, log, aborted)
  door.reach = followBroker(connection)
  const onProblem = (text: string): void => log.warn({ reason: text }, 'the gateway goes on')
  const keyedRequests = openKeyedRequests(connection, { onProblem })
  const { PELTON_GATEWAY_SECRET: secret, PELTON_GATEWAY_QUOTAS: quotas } = settings
  const opening = createGatewayCore(connection, {
    defaultTimeoutMs: settings.PELTON_GATEWAY_TIMEOUT_MS,
    ...(secret !== undefined && { secret }),
    maxInFlight: settings.PELTON_GATEWAY_MAX_IN_FLIGHT,
    maxInFlightBytes: settings.PELTON_GATEWAY_MAX_IN_FLIGHT_BYTES,
    keyedRequests,
    ...(quotas !== undefined && { quotas }),
    onRefused: door.refusals.told,
    onProblem,
    onAbandoned: () => undefined, // counted where requests end
  })
  const core = await orAborted(opening, aborted)
  const keys = door.needsKeys ? followKeys(connection, { onProblem }) : undefined
  keys?.ready.catch((thrown: unknown) => onProblem(messageOf(thrown)))
  door.inside = { core, keys }
  log.info({ address: door.address, needsKeys: door.needsKeys }, 'serving')
  if (!door.needsKeys) log.info(OPEN_NOTE)
  return {
    run: () => closedForGood(connection),
    stop: async () => {
      const graceMs = settings.PELTON_GATEWAY_GRACE_MS
      // Better told where the answer will be than cut.
      setTimeout(() => core.endWaits(), graceMs - Math.min(LAST_WORD_MS, graceMs / 4)).unref()
      await door.listener.drain(graceMs)
      await core.drained()
      await core.close()
      keyedRequests.close()
      await keys?.close()
      await leaveBroker(connection)
    },
    abort: () => void door.listener.close(),
  }
}

/** Buckets that came with gateways: a Pelton of before has none of them. A subject of each. */
const BUCKETS_NEEDED = [
  [STORES.requests, subjects.gatewaySecret()],
  [STORES.keys, subjects.apiKeys()],
] as const

/** Waits for an election to end. @throws PeltonError `not-provisioned` naming a stream that is missing */
async function openConnection(
  settings: GatewaySettings,
  log: Logger,
  aborted: AbortSignal,
): Promise<NatsConnection> {
  const waiting = waitingFor(log, aborted)
  const onTrouble = tellTrouble(log)
  const options = brokerOptions(settings, 'pelton gateway')
  const connection = await connectBroker({ ...options, ...waiting, onTrouble, quorumOf: STREAMS.features })
  await patientApi(() => requireStreams(connection, [STREAMS.features, STREAMS.results]), waiting)
  await patientApi(() => requireBuckets(connection, BUCKETS_NEEDED), waiting)
  return connection
}
