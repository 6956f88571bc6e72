import type { NatsConnection } from '@nats-io/transport-node'
import { requestApi } from './api.ts'

/** What an account may have in JetStream, and has: of the tier for a number of copies where it has tiers. */
export interface Account {
  /** Name of the tier, `R3`; absent where limits count for all streams. */
  readonly tier?: string
  /** Whether the account has a tier for that many copies; without any tiers it needs none. */
  readonly hasTier: boolean
  /** Tiers it has. */
  readonly tiers: readonly string[]
  /** Streams, those that are there, and how many there may be; Infinity without a limit. */
  readonly streams: number
  readonly maxStreams: number
  /** Consumers of one stream. */
  readonly maxConsumers: number
  readonly maxAckPending: number
  /** Bytes on disk, those stored, and how many there may be. */
  readonly storage: number
  readonly maxStorage: number
  /** The bounds of its streams, each once, however many copies it has. */
  readonly reservedStorage: number
  /** How often a stream counts against `maxStorage`: once for each copy, or once in a tier. */
  readonly counts: number
  /** Bytes of one stream. */
  readonly maxStreamBytes: number
  /** Whether each stream must have a limit in bytes. */
  readonly needsMaxBytes: boolean
}

interface WireLimits {
  readonly max_storage?: number
  readonly max_streams?: number
  readonly max_consumers?: number
  readonly max_ack_pending?: number
  readonly storage_max_stream_bytes?: number
  readonly max_bytes_required?: boolean
}

interface WireUse {
  readonly streams?: number
  readonly storage?: number
  readonly reserved_storage?: number
  readonly limits?: WireLimits
}

/** What `$JS.API.INFO` answers. */
export interface WireAccount extends WireUse {
  readonly tiers?: Readonly<Record<string, WireUse>>
}

/**
 * Asks what the account of a connection may have.
 *
 * @param replicas copies of each stream
 * @throws ApiRefusal when JetStream is off for it, PeltonError `broker-unavailable` when nothing answers
 */
export async function readAccount(connection: NatsConnection, replicas: number): Promise<Account> {
  return accountOf(await requestApi<WireAccount>(connection, 'INFO'), replicas)
}

/** Reads it from the answer. Pure. */
export function accountOf(answer: WireAccount, replicas: number): Account {
  const tiers = Object.keys(answer.tiers ?? {})
  const isTiered = tiers.length > 0
  const tier = `R${replicas}`
  const {
    streams = 0,
    storage = 0,
    reserved_storage = 0,
    limits = {},
  } = isTiered ? (answer.tiers?.[tier] ?? {}) : answer
  const { max_storage: maxStorage = -1 } = limits
  return {
    ...(isTiered && { tier }),
    hasTier: !isTiered || tiers.includes(tier),
    tiers,
    streams,
    maxStreams: limitOf(limits.max_streams),
    maxConsumers: limitOf(limits.max_consumers),
    maxAckPending: limitOf(limits.max_ack_pending),
    storage,
    maxStorage: maxStorage < 0 ? Number.POSITIVE_INFINITY : maxStorage, // none at all is a limit, too
    reservedStorage: reserved_storage,
    counts: isTiered ? 1 : replicas,
    maxStreamBytes: limitOf(limits.storage_max_stream_bytes),
    needsMaxBytes: limits.max_bytes_required === true,
  }
}

function limitOf(limit: number | undefined): number {
  return limit !== undefined && limit > 0 ? limit : Number.POSITIVE_INFINITY
}
