import { PeltonError, showValue } from './errors.ts'
import { checkIdentity } from './event-message.ts'
import type { ConnectionOptions } from './link.ts'

export interface ProducerOptions extends ConnectionOptions {
  /** Who produces: the CloudEvents source of every event, part of its identity. At most 1024 characters. */
  readonly source: string
  /** Pool whose workers serve the models. @default 'default' */
  readonly pool?: string
  /** Publishes that wait for the broker's word at once. @default 512 */
  readonly maxInFlight?: number
  /** Publishes accepted and not settled; beyond it `publish()` waits. @default 10_000 */
  readonly maxBuffered?: number
  /** Their bytes, headers included; beyond it `publish()` waits. @default 64 MiB */
  readonly maxBufferedBytes?: number
  /** How long the broker's word on one try may take, milliseconds. @default 5_000 */
  readonly ackTimeoutMs?: number
  /**
   * How long a publish whose fate is unknown is tried again with the same id, milliseconds. At most the stream's
   * duplicate window: a later try could be stored twice. @default 30_000
   */
  readonly retryForMs?: number
  /** How long a publish that a full stream refuses is tried again, milliseconds. @default 0, the caller is told at once */
  readonly fullRetryMs?: number
}

const DEFAULTS = {
  maxInFlight: 512,
  maxBuffered: 10_000,
  maxBufferedBytes: 64 * 1024 ** 2,
  ackTimeoutMs: 5_000,
  retryForMs: 30_000,
  fullRetryMs: 0,
} as const

export type ProducerSettings = Readonly<Record<keyof typeof DEFAULTS, number>> & {
  readonly source: string
  readonly pool: string
}

/** Completes and checks what a producer is made with. @throws PeltonError `invalid-argument` */
export function readProducerSettings(options: ProducerOptions): ProducerSettings {
  const { source, pool = 'default' } = options
  checkIdentity('source', source)
  checkIdentity('pool', pool)
  const numbers = Object.entries(DEFAULTS).map(([field, fallback]) => {
    const value = options[field as keyof typeof DEFAULTS] ?? fallback
    const least = field === 'fullRetryMs' ? 0 : 1
    if (Number.isSafeInteger(value) && value >= least) return [field, value] as const
    const details = { field, value: showValue(value), remedy: `Give a whole number of ${least} or more.` }
    throw new PeltonError('invalid-argument', 'this setting cannot be used', details)
  })
  return { source, pool, ...(Object.fromEntries(numbers) as Record<keyof typeof DEFAULTS, number>) }
}
