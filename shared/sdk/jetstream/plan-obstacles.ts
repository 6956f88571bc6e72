import { boundSetting, leastRetriesBytes } from '../contract/bounds.ts'
import type { Names } from '../contract/names.ts'
import { type ConsumerSpec, STREAMS, type StreamSpec } from '../contract/topology.ts'
import { PeltonError } from '../errors.ts'
import type { BoundRoom, Fit, ToBound, TooLarge } from './fit-bounds.ts'
import { OWN_NAMES } from './foreign-stream.ts'
import type { Found, Overlap } from './provision-found.ts'

/** What is to be made, and what it is given. */
export interface Bounds {
  readonly missing: readonly StreamSpec[]
  /** Of the missing, what each must have. */
  readonly toBound: readonly ToBound[]
  /** What there is for all of them. */
  readonly room: BoundRoom
  readonly fit: Fit
  /** What counts against the storage of the account now, bytes. */
  readonly used: number
  /** Bytes by which bounds of streams that are there grow. */
  readonly growth: number
}

interface Needs {
  readonly specs: readonly StreamSpec[]
  readonly consumers: readonly ConsumerSpec[]
  readonly maxPayload: number
}

/** Where a plan needs more than its account allows: each limit once, with the way out. Pure. */
export function againstLimits(needs: Needs, found: Found, bounds: Bounds): readonly PeltonError[] {
  if (!found.account.hasTier) return [noTier(found.account)] // none of its limits are known then
  return [
    tooFewStreams(found.account, bounds.missing.length),
    tooFewConsumers(needs.consumers, found),
    tooManyInFlight(needs.consumers, found),
    tooSmallRetries(needs),
    tooSmallStreams(bounds, found.account),
    tooLittleStorage(bounds, found.account),
  ].filter((error) => error !== undefined)
}

/**
 * Streams that take subjects of Pelton, each once for each stream that needs them.
 *
 * @param names those the texts get in the end
 */
export function takenBy(overlaps: readonly Overlap[], names: Pick<Names, 'text'>): readonly PeltonError[] {
  const subjects = new Map<string, readonly Overlap[]>()
  for (const overlap of overlaps) {
    const key = `${overlap.by} ${overlap.stream}` // names of streams hold no spaces
    subjects.set(key, [...(subjects.get(key) ?? []), overlap])
  }
  return [...subjects.values()].flatMap((all) => {
    const [first] = all
    if (first === undefined) return []
    const { stream } = first
    // Somebody else's may have the very name that one of Pelton's has without its prefix: quoted it stays as it is.
    const by = names.text(first.by) === first.by ? first.by : `"${first.by}"`
    return obstacle(`stream ${by} of this account takes subjects that ${stream} needs`, {
      field: 'subjects',
      value: all.map(({ subject }) => subject).join(', '),
      remedy: `Take them from it (\`nats stream edit ${by}\`). Or: ${OWN_NAMES}`,
    })
  })
}

type Account = Found['account']

function noTier({ tier = '', tiers }: Account): PeltonError {
  return obstacle('the account allows no streams with so many copies', {
    field: 'num_replicas',
    value: tier,
    remedy: `Set PELTON_REPLICAS to that of a tier it has (${tiers.join(', ')}), or ask its operator for this one.`,
  })
}

function tooFewStreams(account: Account, missing: number): PeltonError | undefined {
  const { streams, maxStreams } = account
  if (streams + missing <= maxStreams) return undefined
  return obstacle(
    `the account allows ${maxStreams} streams and has ${streams}: Pelton needs ${missing} more, one for each of its streams and buckets`,
    {
      field: inTier('max_streams', account),
      value: String(maxStreams),
      remedy: `Ask the operator of the account for ${streams + missing} or more.`,
    },
  )
}

/** The limit is one of each stream: what reads a stream for a while counts as well. */
function tooFewConsumers(consumers: readonly ConsumerSpec[], found: Found): PeltonError | undefined {
  const { maxConsumers } = found.account
  let most = 0
  for (const stream of new Set(consumers.map((one) => one.stream))) {
    const missing = consumers.filter((one) => one.stream === stream && !found.consumers.has(one.durable_name))
    if (missing.length > 0)
      most = Math.max(most, (found.streams.get(stream)?.consumers ?? 0) + missing.length)
  }
  if (most <= maxConsumers) return undefined
  return obstacle(
    `the account allows ${maxConsumers} consumers on one stream: ${STREAMS.features} and ${STREAMS.retries} need three each for every pool`,
    {
      field: inTier('max_consumers', found.account),
      value: String(maxConsumers),
      remedy: `Name fewer pools with --pool, or ask the operator of the account for ${most} or more; each worker and each audit reads with one more.`,
    },
  )
}

/** One that is there as it is asked for stays. */
function tooManyInFlight(consumers: readonly ConsumerSpec[], found: Found): PeltonError | undefined {
  const { account } = found
  const { maxAckPending } = account
  const changing = consumers.filter(
    (one) => found.consumers.get(one.durable_name)?.max_ack_pending !== one.max_ack_pending,
  )
  const most = Math.max(0, ...changing.map((one) => one.max_ack_pending))
  if (most <= maxAckPending) return undefined
  return obstacle(`the account allows ${maxAckPending} events in flight to a consumer, not ${most}`, {
    field: inTier('max_ack_pending', account),
    value: String(maxAckPending),
    remedy: `Set PELTON_MAX_ACK_PENDING (--max-ack-pending) to ${maxAckPending} or less.`,
  })
}

/** A bound so low that hardly anything may be kept below it. */
function tooSmallRetries({ specs, maxPayload }: Needs): PeltonError | undefined {
  const asked = specs.find(({ name }) => name === STREAMS.retries)?.max_bytes
  const least = leastRetriesBytes(maxPayload)
  if (asked === undefined || asked >= least) return undefined
  return obstacle(
    `stream ${STREAMS.retries} drops its oldest events at its bound, so workers keep it to a quarter: that needs ${least} bytes`,
    {
      field: 'PELTON_RETRIES_MAX_BYTES',
      value: String(asked),
      remedy: `Set PELTON_RETRIES_MAX_BYTES (--retries-max-bytes) to ${least} or more, or lower \`max_payload\` of the broker.`,
    },
  )
}

function tooSmallStreams({ fit, toBound }: Bounds, account: Account): PeltonError | undefined {
  const { tooLarge } = fit
  const { maxStreamBytes } = account
  if (tooLarge.length === 0) return undefined
  const isOpen = ({ name }: TooLarge): boolean =>
    toBound.some((one) => one.name === name && one.wish !== undefined)
  const set = tooLarge.filter((one) => !isOpen(one)).map(({ name }) => boundSetting(name))
  const most = Math.max(0, ...tooLarge.filter(isOpen).map(({ bytes }) => bytes))
  const named = tooLarge.map(({ name, bytes }) => `${name} needs ${bytes}`).join(', ')
  const ways = [
    ...[...new Set(set)].map(
      (setting) => `Set ${setting} (${optionOf(setting ?? '')}) to ${maxStreamBytes} or less.`,
    ),
    ...(most > 0 ? [`Ask the operator of the account for ${most} bytes or more.`] : []),
  ]
  return obstacle(`the account allows ${maxStreamBytes} bytes for one stream: ${named}`, {
    field: inTier('max_stream_bytes', account),
    value: String(maxStreamBytes),
    remedy: ways.join(' '),
  })
}

function tooLittleStorage(
  { toBound, room, fit, used, growth }: Bounds,
  account: Account,
): PeltonError | undefined {
  if (fit.least <= room.all) return undefined
  const { maxStorage, counts } = account
  const needed = fit.least + growth
  const copies = counts > 1 ? `, each of them ${counts} times` : ''
  const set = toBound.filter(({ wish, bytes }) => wish === undefined && bytes !== undefined)
  return obstacle(
    `the account allows ${maxStorage} bytes of storage, of which ${used} are reserved: Pelton's streams need ${needed} bytes more${copies}`,
    {
      field: inTier('max_storage', account),
      value: String(maxStorage),
      remedy: `${lowerOne(set, fit.least - room.all)}ask the operator of the account for ${needed * counts + used} bytes or more.`,
    },
  )
}

/** The largest bound that was set is the one to lower, where that helps. */
function lowerOne(set: readonly ToBound[], tooMany: number): string {
  const [largest] = [...set].sort((one, other) => (other.bytes ?? 0) - (one.bytes ?? 0))
  const setting = boundSetting(largest?.name ?? '')
  const most = (largest?.bytes ?? 0) - tooMany
  if (setting === undefined || most < LEAST_SETTING) return 'Lower PELTON_FEATURES_MAX_BYTES and others, or '
  return `Set ${setting} (${optionOf(setting)}) to ${most} or less, or `
}

/** Every setting of bytes takes so much at the least. */
const LEAST_SETTING = 1024 ** 2

function optionOf(setting: string): string {
  return `--${setting.replace('PELTON_', '').toLowerCase().replaceAll('_', '-')}`
}

function inTier(limit: string, { tier }: Account): string {
  return tier === undefined ? limit : `${limit} (${tier})`
}

function obstacle(
  text: string,
  details: { readonly field: string; readonly value: string; readonly remedy: string },
): PeltonError {
  return new PeltonError('not-provisioned', text, details)
}
