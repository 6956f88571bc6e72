import type { NatsConnection } from '@nats-io/transport-node'
import type { Logger } from 'pino'
import { brokerOptions } from '../../shared/runtime/config.ts'
import { LANES } from '../../shared/sdk/contract/subjects.ts'
import { dueConsumer, featureConsumer, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { createBrokerClock } from '../../shared/sdk/jetstream/broker-clock.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import { requireConsumer, requireStreams } from '../../shared/sdk/jetstream/provision.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import type { WorkerSettings } from './config.ts'

/** What a worker has of its broker. */
export interface BrokerSide {
  readonly connection: NatsConnection
  readonly window: PublishWindow
  /** Broker time, milliseconds since 1970. */
  readonly now: () => number
  /** Creation time of each stream that delivers: sequences start again when a stream is made anew. */
  readonly epochs: ReadonlyMap<string, string>
  /** How long the broker waits before it hands a silent delivery to somebody else, milliseconds. */
  readonly ackWaitMs: number
  /** What the largest message there can be counts against a pull: body, headers and subjects. */
  readonly maxMessageBytes: number
  /** Whether the retry lane has room for another event. */
  readonly mayRetry: () => boolean
  close(): Promise<void>
}

/** Streams a worker reads or writes. */
const NEEDED = [STREAMS.features, STREAMS.retries, STREAMS.results, STREAMS.deadLetters, STREAMS.ledger]

/** A pull counts subject and reply subject with a message. */
const SUBJECTS_BYTES = 4 * 1024

/** Events the retry lane may hold: its stream cannot refuse (the server takes no schedules with `discard: new`). */
const MAX_RETRIES_WAITING = 100_000

/** A clock further off than this is worth a warning, milliseconds. */
const MAX_SKEW_MS = 5_000

/**
 * Connects and checks that the broker is provisioned for this worker's pool.
 *
 * @throws PeltonError `broker-unavailable`, `broker-too-old` or `not-provisioned`, saying what to do
 */
export async function openBrokerSide(settings: WorkerSettings, log: Logger): Promise<BrokerSide> {
  const connection = await connectBroker(brokerOptions(settings, `pelton worker ${settings.PELTON_WORKER}`))
  const streams = await requireStreams(connection, NEEDED)
  const ackWaitMs = await shortestAckWait(connection, settings.PELTON_POOL)
  let retriesWaiting = 0
  const clock = await createBrokerClock(connection, STREAMS.retries, {
    onInfo: ({ state }) => {
      retriesWaiting = state.messages
    },
  })
  // Deadlines go by the broker's clock: a wrong clock here harms nothing but the times in this log.
  if (Math.abs(clock.skewMs) > MAX_SKEW_MS)
    log.warn({ skewMs: Math.round(clock.skewMs) }, 'this clock is wrong')
  const window = new PublishWindow(connection)
  const epochOf = (name: string): [string, string] => [name, streams.get(name)?.created ?? '']
  return {
    connection,
    window,
    now: clock.now,
    epochs: new Map([epochOf(STREAMS.features), epochOf(STREAMS.retries)]),
    ackWaitMs,
    maxMessageBytes: (connection.info?.max_payload ?? 1024 ** 2) + SUBJECTS_BYTES,
    mayRetry: () => retriesWaiting < MAX_RETRIES_WAITING,
    async close() {
      window.close()
      clock.close()
      await connection.drain()
    },
  }
}

async function shortestAckWait(connection: NatsConnection, pool: string): Promise<number> {
  const consumers = LANES.flatMap((lane) => [featureConsumer(pool, lane), dueConsumer(pool, lane)])
  const checked = await Promise.all(
    consumers.map(({ stream, durable_name }) => requireConsumer(connection, stream, durable_name)),
  )
  return Math.min(...checked.map(({ ackWaitMs }) => ackWaitMs))
}
