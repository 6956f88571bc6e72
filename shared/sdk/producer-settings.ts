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
  /**
   * Whether events are let in only while they can be predicted in time, by what the workers say of how busy they are.
   * Without, everything is sent, and the full stream is the first to refuse. @default true
   */
  readonly admission?: boolean
  /**
   * How long `publish()` waits to be let in before it throws `overloaded` or `rate-limited`, milliseconds, and no longer than
   * half of what is left until the event's deadline. @default 5_000
   */
  readonly admissionWaitMs?: number
}

const DEFAULTS = {
  maxInFlight: 512,
  maxBuffered: 10_000,
  maxBufferedBytes: 64 * 1024 ** 2,
  ackTimeoutMs: 5_000,
  retryForMs: 30_000,
  fullRetryMs: 0,
  admissionWaitMs: 5_000,
} as const

/** Of these, what may be 0: no patience at all. */
const FROM_ZERO: readonly string[] = ['fullRetryMs', 'admissionWaitMs']

export type ProducerSettings = Readonly<Record<keyof typeof DEFAULTS, number>> & {
  readonly source: string
  readonly pool: string
  readonly isAdmitting: boolean
}

/** Completes and checks what a producer is made with. @throws PeltonError `invalid-argument` */
export function readProducerSettings(options: ProducerOptions): ProducerSettings {
  const { source, pool = 'default', admission = true } = options
  checkIdentity('source', source)
  checkIdentity('pool', pool)
  const numbers = Object.entries(DEFAULTS).map(([field, fallback]) => {
    const value = options[field as keyof typeof DEFAULTS] ?? fallback
    const least = FROM_ZERO.includes(field) ? 0 : 1
    if (Number.isSafeInteger(value) && value >= least) return [field, value] as const
    throw unusable(field, value, `Give a whole number of ${least} or more.`)
  })
  if (typeof admission !== 'boolean') throw unusable('admission', admission, 'Give true or false.')
  return {
    source,
    pool,
    isAdmitting: admission,
    ...(Object.fromEntries(numbers) as Record<keyof typeof DEFAULTS, number>),
  }
}

/** A setting that cannot be used, as an error. */
export function unusable(field: string, value: unknown, remedy: string): PeltonError {
  return new PeltonError('invalid-argument', 'this setting cannot be used', {
    field,
    value: showValue(value),
    remedy,
  })
}
