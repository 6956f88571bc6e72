import type { NatsConnection } from '@nats-io/transport-node'
import type { Logger } from 'pino'
import { closedForGood, leaveBroker, tellTrouble } from '../../shared/runtime/broker-reach.ts'
import { brokerOptions } from '../../shared/runtime/config.ts'
import { LANES } from '../../shared/sdk/contract/subjects.ts'
import { dueConsumer, featureConsumer, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { patientApi, type StreamInfo } from '../../shared/sdk/jetstream/api.ts'
import { createBrokerClock } from '../../shared/sdk/jetstream/broker-clock.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import type { Waiting } from '../../shared/sdk/jetstream/election.ts'
import {
  type ConsumerInfoChecked,
  requireConsumer,
  requireStreams,
} from '../../shared/sdk/jetstream/provision.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import type { WorkerSettings } from './config.ts'
import type { RetriesLook } from './settle/retry-room.ts'
import { watchStreams } from './stream-watch.ts'

/** What a worker has of its broker. */
export interface BrokerSide {
  readonly connection: NatsConnection
  readonly window: PublishWindow
  /** Below what an event's reply subject may lie, where that is said. */
  readonly replyRoots: readonly string[] | undefined
  /** Broker time, milliseconds since 1970. */
  readonly now: () => number
  /** This machine's clock minus the broker's, milliseconds; learnt again every ten seconds. */
  readonly skewMs: () => number
  /** Creation time of each stream that delivers: sequences start again when a stream is made anew. */
  readonly epochs: ReadonlyMap<string, string>
  /** How long the broker waits before it hands a silent delivery to somebody else, milliseconds. */
  readonly ackWaitMs: number
  /** Deliveries a lane of the pool may have in flight over all workers. */
  readonly maxAckPending: number
  /** What the largest message there can be counts against a pull: body, headers and subjects. */
  readonly maxMessageBytes: number
  /** What the retry lane held when it was last looked at, of all pools; another object after each look. */
  readonly inRetries: () => RetriesLook
  /** Has the retry lane looked at again soon. */
  readonly lookAgain: () => void
  /** Share of the ledger's bound that was used at the last look. */
  readonly ledgerUsed: () => number
  /** Share of the bound of DEADLETTERS that was used at the last look. */
  readonly deadLettersUsed: () => number
  /** Calls after each look at the streams. */
  readonly onLook: (told: () => void) => void
  /**
   * Rejects when this worker cannot go on with its broker: the connection is closed for good, a stream is another.
   * Resolves after {@link close}.
   */
  readonly failed: Promise<void>
  close(): Promise<void>
}

/** Streams a worker reads or writes. */
const NEEDED = [STREAMS.features, STREAMS.retries, STREAMS.results, STREAMS.deadLetters, STREAMS.ledger]

/** A pull counts subject and reply subject with a message. */
const SUBJECTS_BYTES = 4 * 1024

/** A clock further off than this is worth a warning, milliseconds. */
const MAX_SKEW_MS = 5_000

/**
 * Connects and checks that the broker is provisioned for this worker's pool.
 *
 * @param waiting for leaders that are elected just then
 * @throws PeltonError `broker-unavailable`, `broker-too-old` or `not-provisioned`, saying what to do; the reason of
 *   `waiting.signal`
 */
export async function openBrokerSide(
  settings: WorkerSettings,
  log: Logger,
  waiting: Waiting = {},
): Promise<BrokerSide> {
  const name = `pelton worker ${settings.PELTON_WORKER}`
  const onTrouble = tellTrouble(log)
  const connection = await connectBroker({ ...brokerOptions(settings, name), ...waiting, onTrouble })
  const streams = await patientApi(() => requireStreams(connection, NEEDED), waiting)
  const consumers = await patientApi(() => requireConsumers(connection, settings.PELTON_POOL), waiting)
  const clock = await patientApi(() => createBrokerClock(connection, STREAMS.features), waiting)
  const watch = watchStreams(connection, streams)
  // Deadlines go by the broker's clock: a wrong clock here harms nothing but the times in this log.
  if (Math.abs(clock.skewMs) > MAX_SKEW_MS)
    log.warn({ skewMs: Math.round(clock.skewMs) }, 'this clock is wrong')
  const window = new PublishWindow(connection)
  const epochOf = (name: string): [string, string] => [name, streams.get(name)?.created ?? '']
  return {
    connection,
    window,
    replyRoots: settings.PELTON_REPLY_PREFIXES,
    now: clock.now,
    skewMs: () => clock.skewMs,
    epochs: new Map([epochOf(STREAMS.features), epochOf(STREAMS.retries)]),
    ackWaitMs: Math.min(...consumers.map(({ ackWaitMs }) => ackWaitMs)),
    maxAckPending: Math.min(...consumers.map(({ maxAckPending }) => maxAckPending)),
    maxMessageBytes: largestMessage(connection, streams) + SUBJECTS_BYTES,
    inRetries: () => watch.retries,
    lookAgain: watch.lookAgain,
    ledgerUsed: () => watch.ledgerUsed,
    deadLettersUsed: () => watch.deadLettersUsed,
    onLook: watch.onLook,
    failed: Promise.race([watch.failed, closedForGood(connection)]),
    async close() {
      window.close()
      clock.close()
      watch.close()
      await leaveBroker(connection)
    },
  }
}

function requireConsumers(connection: NatsConnection, pool: string): Promise<ConsumerInfoChecked[]> {
  const consumers = LANES.flatMap((lane) => [featureConsumer(pool, lane), dueConsumer(pool, lane)])
  return Promise.all(
    consumers.map(({ stream, durable_name }) => requireConsumer(connection, stream, durable_name)),
  )
}

/** The broker's limit may have been lowered since larger events were stored. */
function largestMessage(connection: NatsConnection, streams: ReadonlyMap<string, StreamInfo>): number {
  const stored = Number(streams.get(STREAMS.features)?.config.max_msg_size ?? 0)
  return Math.max(connection.info?.max_payload ?? 1024 ** 2, stored)
}
