import { createNames, type Names } from '../contract/names.ts'
import { claimNames } from '../jetstream/names-of.ts'
import { inboxPrefixOf } from '../jetstream/publish-window.ts'
import { checkConnectionOptions } from '../link.ts'
import { type ProducerOptions, readProducerSettings, unusable } from '../producer-settings.ts'
import type { RejectedEvent } from './rejected-event.ts'

export interface OutboxOptions
  extends Omit<
    ProducerOptions,
    'maxBuffered' | 'maxBufferedBytes' | 'retryForMs' | 'fullRetryMs' | 'admissionWaitMs'
  > {
  /**
   * Folder of the outbox, made where it is missing. It holds nothing else, and one outbox at a time has it open. What waits
   * there goes to the Pelton that it is opened for: `url` and `prefix`.
   */
  readonly path: string
  /** Events kept at most, rejected ones included. @default 100_000 */
  readonly maxEvents?: number
  /** Their bytes, headers included. The folder takes up to twice that, and some MB. @default 256 MiB */
  readonly maxBytes?: number
  /**
   * Whether `publish()` waits until the event is on the disk itself and survives a loss of power. Without, it survives
   * the end of the process, but not that of the machine. @default true
   */
  readonly sync?: boolean
  /** What `publish()` does while the outbox is full: throw `outbox-full`, or wait for room. @default 'refuse' */
  readonly whenFull?: 'refuse' | 'wait'
  /**
   * Publishes that wait for the broker's word at once. With 1 the order of a model and lane is kept exactly, at one round
   * trip per event; with more, events that must be sent again may be overtaken by those under way. @default 256
   */
  readonly maxInFlight?: number
  /**
   * Opens a damaged folder with what can be read of it; `stats().lost` says how many events are gone. Without, a damaged
   * folder is refused. @default false
   */
  readonly repair?: boolean
  /** Told each event that the broker will never take. It stays on disk: see `rejected()`. */
  readonly onRejected?: (event: RejectedEvent) => void
}

export interface OutboxSettings {
  readonly path: string
  readonly source: string
  readonly pool: string
  readonly maxEvents: number
  readonly maxBytes: number
  readonly maxInFlight: number
  readonly isSynced: boolean
  readonly isRepair: boolean
  readonly isWaiting: boolean
  /** What its broker calls everything. */
  readonly names: Names
  /** Below what else they may lie: what its connection listens to. */
  readonly inboxPrefix: string | undefined
  /** For the producer that sends: one try each, because the outbox itself tries again. */
  readonly producer: ProducerOptions
}

/** Completes and checks what an outbox is opened with. @throws PeltonError `invalid-argument` */
export function readOutboxSettings(options: OutboxOptions): OutboxSettings {
  const { path, maxEvents = 100_000, maxBytes = 256 * 1024 ** 2, maxInFlight = 256 } = options
  const { sync = true, whenFull = 'refuse', repair = false, onRejected: _own, ...rest } = options
  if (typeof path !== 'string' || path === '') throw unusable('path', path, 'Name a folder.')
  for (const [field, value] of Object.entries({ maxEvents, maxBytes }))
    if (!Number.isSafeInteger(value) || value < 1)
      throw unusable(field, value, 'Give a whole number of 1 or more.')
  for (const [field, value] of Object.entries({ sync, repair }))
    if (typeof value !== 'boolean') throw unusable(field, value, 'Give true or false.')
  if (!['refuse', 'wait'].includes(whenFull)) throw unusable('whenFull', whenFull, "Use 'refuse' or 'wait'.")
  checkConnectionOptions(options)
  const name = `pelton outbox ${String(options.source).slice(0, 64)}`
  const producer = { name, ...rest, maxInFlight, maxBuffered: maxInFlight, retryForMs: 1, fullRetryMs: 0 }
  const { source, pool } = readProducerSettings(producer)
  const { connection, prefix } = options
  const names = connection === undefined ? createNames(prefix) : claimNames(connection, prefix)
  const inboxPrefix = connection === undefined ? options.inboxPrefix : inboxPrefixOf(connection)
  return {
    ...{ path, source, pool, names, inboxPrefix, maxEvents, maxBytes, maxInFlight, producer },
    ...{ isSynced: sync, isRepair: repair, isWaiting: whenFull === 'wait' },
  }
}
