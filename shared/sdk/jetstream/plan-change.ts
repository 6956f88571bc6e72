import { plainStreamOf } from '../contract/names.ts'
import { type ConsumerSpec, DEFAULT_TOPOLOGY, STREAMS, type StreamSpec } from '../contract/topology.ts'
import { PeltonError, showValue } from '../errors.ts'

/** A stream or consumer as the JetStream API knows it. */
export type Config = Readonly<Record<string, unknown>>

/** Limits that may grow in place; the number is what means "no limit". */
const GROWING: Readonly<Record<string, number>> = {
  max_msgs: -1,
  max_bytes: -1,
  max_age: 0,
  max_msgs_per_subject: -1,
  max_msg_size: -1,
  num_replicas: Number.POSITIVE_INFINITY,
}

/** Settings whose change loses nothing. */
const FREE = new Set([
  'description',
  'duplicate_window',
  'ack_wait',
  'max_ack_pending',
  'max_deliver',
  'allow_direct',
  'allow_msg_ttl',
])

/** Whether a stream may have less than it asks for: the ledger, of which nobody said how large it may be. */
export function isWish(spec: StreamSpec): boolean {
  return spec.name === STREAMS.ledger && spec.max_bytes === DEFAULT_TOPOLOGY.ledgerMaxBytes
}

/** A spec as it is held against a stream that is there: a bound that was halved to fit is as good. */
export function fitted(spec: StreamSpec, present: Config): StreamSpec {
  const most = Number(present.max_bytes ?? -1)
  return isWish(spec) && most > 0 ? { ...spec, max_bytes: most } : spec
}

/**
 * What to update, if anything. Pure but for its notes. Both are as the broker has them.
 *
 * @throws PeltonError `not-provisioned` for a difference that is neither a growing limit nor harmless
 */
export function planChange(
  what: string,
  present: Config,
  wanted: Config,
  note: (text: string) => void,
): { readonly config: Config; readonly summary: string } | undefined {
  const changes: string[] = []
  const config: Record<string, unknown> = { ...present }
  for (const [key, value] of Object.entries(wanted)) {
    const current = present[key] ?? unset(value)
    if (isSame(current, value)) continue
    const unlimited = GROWING[key]
    if (unlimited !== undefined && isLarger(current, value, unlimited)) {
      note(`${what}: ${key} stays at ${showValue(current)}, larger than ${showValue(value)}`)
      continue
    }
    if (unlimited === undefined && !FREE.has(key) && !isLedgerToRefuse(wanted, key))
      throw differs(what, key, current, value)
    config[key] = value
    changes.push(`${key} ${showValue(current)} → ${showValue(value)}`)
  }
  return changes.length === 0 ? undefined : { config, summary: changes.join(', ') }
}

/** Likewise for a consumer. A backoff would replace its `ack_wait`. @throws PeltonError `not-provisioned` */
export function planConsumerChange(
  { stream: _of, ...wanted }: ConsumerSpec,
  present: Config,
  note: (text: string) => void,
): ReturnType<typeof planChange> {
  const what = `consumer ${wanted.durable_name}`
  if (present.backoff !== undefined) throw differs(what, 'backoff', present.backoff, 'none')
  return planChange(what, present, wanted, note)
}

/** An older Pelton had the ledger drop the oldest; without a limit but its age it never did, and refusing loses nothing. */
function isLedgerToRefuse(wanted: Config, key: string): boolean {
  return (
    plainStreamOf(String(wanted.name)) === STREAMS.ledger && key === 'discard' && wanted.discard === 'new'
  )
}

function unset(like: unknown): unknown {
  return typeof like === 'boolean' ? false : typeof like === 'number' ? 0 : undefined
}

function isSame(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b))
    return JSON.stringify([...a].sort()) === JSON.stringify([...b].sort())
  return a === b
}

function isLarger(current: unknown, wanted: unknown, unlimited: number): boolean {
  const size = (value: unknown): number =>
    value === unlimited || value === 0 ? Number.POSITIVE_INFINITY : Number(value)
  return size(current) > size(wanted)
}

/** Said of a difference whose change could lose events. */
export function differs(what: string, field: string, current: unknown, wanted: unknown): PeltonError {
  return new PeltonError(
    'not-provisioned',
    `${what} differs from what Pelton needs, and changing it could lose events`,
    {
      field,
      value: `${showValue(current)}, needed ${showValue(wanted)}`,
      remedy: 'Use another account or broker, or drain and delete it by hand first.',
    },
  )
}
