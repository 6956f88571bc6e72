import type { NatsConnection } from '@nats-io/transport-node'
import { leastRetriesBytes } from '../../shared/sdk/contract/bounds.ts'
import { LANES } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { type StreamInfo, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { namesOf } from '../../shared/sdk/jetstream/names-of.ts'
import type { RetriesLook } from './settle/retry-room.ts'

/** What a worker sees of the streams it depends on. */
export interface StreamWatch {
  /** Another object after each look. */
  readonly retries: RetriesLook
  /** Share of the ledger's bound that is used; 0 without a bound. */
  readonly ledgerUsed: number
  /** The same of DEADLETTERS. */
  readonly deadLettersUsed: number
  /** Looks again soon: what others have done since is not known. */
  lookAgain(): void
  /** Calls after each look. */
  onLook(told: () => void): void
  /** Rejects when a stream that delivers is not what it was at the start. */
  readonly failed: Promise<never>
  close(): void
}

const LOOK_MS = 5_000
/** Between two looks at the least: workers that see nothing else ask for them again and again. */
const LOOK_AGAIN_MS = 100

/** Streams looked at: those that deliver, and those that stop a worker when they are full and drop nothing. */
const WATCHED = [STREAMS.features, STREAMS.retries, STREAMS.ledger, STREAMS.deadLetters]

/**
 * Looks at the streams of a worker now and then: what waits in RETRIES, how full LEDGER and DEADLETTERS are, and whether
 * those that deliver are still what they were.
 *
 * @param streams as they were at the start
 * @throws PeltonError `not-provisioned` where RETRIES has a limit that would drop accepted events
 */
export function watchStreams(
  connection: NatsConnection,
  streams: ReadonlyMap<string, StreamInfo>,
): StreamWatch {
  const maxPayload = connection.info?.max_payload ?? 1024 ** 2
  const told: (() => void)[] = []
  const { stream } = namesOf(connection)
  const read = (info: StreamInfo | undefined): RetriesLook =>
    retriesIn(info, maxPayload, stream(STREAMS.retries))
  let retries = read(streams.get(STREAMS.retries))
  const used = new Map<string, number>(
    [STREAMS.ledger, STREAMS.deadLetters].map((name) => [name, usedOf(streams.get(name))]),
  )
  let fail: (thrown: unknown) => void = () => undefined
  const failed = new Promise<never>((_resolve, reject) => {
    fail = reject
  })
  const look = async (name: string): Promise<void> => {
    const info = await streamInfo(connection, name).catch(() => undefined)
    if (info === undefined) return // no answer now: the next look tells
    if (used.has(name)) used.set(name, usedOf(info))
    else if (info.created !== streams.get(name)?.created) throw madeAnew(stream(name))
    if (name === STREAMS.retries) retries = read(info)
  }
  const lookAt = (names: readonly string[]): Promise<void> =>
    Promise.all(names.map(look)).then(() => {
      for (const tell of told) tell()
    }, fail)
  const timer = setInterval(() => void lookAt(WATCHED), LOOK_MS)
  timer.unref()
  let again: NodeJS.Timeout | undefined
  return {
    get retries() {
      return retries
    },
    get ledgerUsed() {
      return used.get(STREAMS.ledger) ?? 0
    },
    get deadLettersUsed() {
      return used.get(STREAMS.deadLetters) ?? 0
    },
    lookAgain() {
      again ??= setTimeout(() => {
        void lookAt([STREAMS.retries]).finally(() => {
          again = undefined
        })
      }, LOOK_AGAIN_MS).unref()
    },
    onLook: (tell) => void told.push(tell),
    failed,
    close() {
      clearInterval(timer)
      clearTimeout(again)
    },
  }
}

/** Share of the limit that is nearest, of a stream that refuses at it. Pure. */
function usedOf(info: StreamInfo | undefined): number {
  if (info === undefined) return 0
  const { config, state } = info
  const share = (limit: unknown, used: number): number => (Number(limit ?? -1) > 0 ? used / Number(limit) : 0)
  return Math.max(share(config.max_bytes, state.bytes), share(config.max_msgs, state.messages))
}

/** @param name of RETRIES at the broker */
function retriesIn(info: StreamInfo | undefined, maxPayload: number, name: string): RetriesLook {
  if (info === undefined)
    return { events: 0, bytes: 0, lastSequence: 0, maxBytes: Number.POSITIVE_INFINITY, pools: 1 }
  refuseLimits(info, maxPayload, name)
  const { messages: events, bytes, last_seq: lastSequence, consumer_count: consumers = 0 } = info.state
  const maxBytes = Number(info.config.max_bytes ?? -1)
  // Each pool has a consumer for each lane; what anybody else reads with makes it one more, which is on the safe side.
  const pools = Math.max(1, Math.ceil(consumers / LANES.length))
  return { events, bytes, lastSequence, maxBytes: maxBytes > 0 ? maxBytes : Number.POSITIVE_INFINITY, pools }
}

function madeAnew(stream: string): PeltonError {
  return new PeltonError('not-provisioned', `stream ${stream} was deleted and made anew`, {
    remedy: 'Nothing to do: a worker that starts now knows the new one.',
  })
}

/**
 * RETRIES holds events whose originals are acknowledged, and drops the oldest at a limit. Workers keep it far below one in
 * bytes, where that leaves them anything; below any other they cannot.
 */
function refuseLimits({ config }: Pick<StreamInfo, 'config'>, maxPayload: number, name: string): void {
  const least = leastRetriesBytes(maxPayload)
  for (const limit of ['max_msgs', 'max_bytes', 'max_age', 'max_msgs_per_subject']) {
    const most = Number(config[limit] ?? 0)
    if (!(most > 0) || (limit === 'max_bytes' && most >= least)) continue
    const remedy =
      limit === 'max_bytes'
        ? `Set PELTON_RETRIES_MAX_BYTES to ${least} or more and run \`pelton provision\`.`
        : `Remove it: nats stream edit ${name}.`
    throw new PeltonError('not-provisioned', `stream ${name} has a limit that would drop accepted events`, {
      field: limit,
      value: String(config[limit]),
      remedy,
    })
  }
}
