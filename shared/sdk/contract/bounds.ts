import { ARTIFACTS_STREAM, STORES, STREAMS } from './topology.ts'

const MIB = 1024 ** 2
const GIB = 1024 ** 3

/** The bytes a stream gets where its account wants a bound and nobody set one. */
export interface BoundWish {
  /** What is asked for. */
  readonly bytes: number
  /** With less it does not work: the wish is halved no further. */
  readonly least: number
}

/**
 * RETRIES cannot refuse: the server takes no schedules in a stream that does, and one that is full drops its oldest, an
 * accepted event. So workers keep what is in it to a quarter of its bound. A copy that comes due lies there twice for a
 * moment, which is the second quarter; the other half is for what several workers add before they see each other.
 */
const RETRIES_PARTS = 4

/** Messages of the largest size that workers can keep in RETRIES at the least. */
const LEAST_KEPT = 16

/** What workers keep in a RETRIES of so many bytes. */
export function keptInRetries(maxBytes: number): number {
  return Math.floor(maxBytes / RETRIES_PARTS)
}

/** The least RETRIES may be bounded to. @param maxPayloadBytes the server's `max_payload` */
export function leastRetriesBytes(maxPayloadBytes: number): number {
  return RETRIES_PARTS * LEAST_KEPT * maxPayloadBytes
}

/** The share of LEDGER at which workers stop pulling: the rest is for what they hold then. */
export const LEDGER_STOPS_AT = 0.8

/**
 * The share of DEADLETTERS from which on workers give up no event that could still run: the rest is for those that end as dead
 * letters whatever is done, because a full DEADLETTERS stops every worker.
 */
export const SHEDDING_STOPS_AT = 0.8

/**
 * What each stream and bucket is bounded to where that is required. What happens at each bound: docs/provisioning.md.
 * FEATURES is not among them: it always has a bound.
 */
export function boundWishes(maxPayloadBytes: number): ReadonlyMap<string, BoundWish> {
  const wish = (bytes: number, least = 16 * MIB): BoundWish => ({ bytes, least: Math.min(bytes, least) })
  return new Map([
    [STREAMS.retries, wish(8 * GIB, leastRetriesBytes(maxPayloadBytes))],
    [STREAMS.results, wish(8 * GIB)],
    [STREAMS.deadLetters, wish(8 * GIB)],
    [STREAMS.ledger, wish(32 * GIB)],
    [STREAMS.advisories, wish(64 * MIB, MIB)],
    [STORES.models, wish(256 * MIB)],
    [STORES.starts, wish(256 * MIB)],
    [STORES.replays, wish(256 * MIB)],
    [STORES.keys, wish(16 * MIB, MIB)],
    [STORES.requests, wish(256 * MIB)],
    [ARTIFACTS_STREAM, wish(MIB)],
  ])
}

/** The setting that bounds a stream or bucket; undefined for those that no setting bounds. */
export function boundSetting(stream: string): string | undefined {
  return SETTINGS.get(stream)
}

const SETTINGS: ReadonlyMap<string, string> = new Map([
  [STREAMS.features, 'PELTON_FEATURES_MAX_BYTES'],
  [STREAMS.retries, 'PELTON_RETRIES_MAX_BYTES'],
  [STREAMS.results, 'PELTON_RESULTS_MAX_BYTES'],
  [STREAMS.deadLetters, 'PELTON_DEAD_LETTERS_MAX_BYTES'],
  [STREAMS.ledger, 'PELTON_LEDGER_MAX_BYTES'],
  [STORES.models, 'PELTON_BUCKETS_MAX_BYTES'],
  [STORES.starts, 'PELTON_BUCKETS_MAX_BYTES'],
  [STORES.replays, 'PELTON_BUCKETS_MAX_BYTES'],
  [STORES.keys, 'PELTON_BUCKETS_MAX_BYTES'],
  [STORES.requests, 'PELTON_BUCKETS_MAX_BYTES'],
])
