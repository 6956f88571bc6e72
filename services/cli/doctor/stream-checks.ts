import type { NatsConnection } from '@nats-io/transport-node'
import {
  type ListedConsumer,
  listConsumers,
  pausedUntil,
  resumeRemedy,
} from '../../../shared/operations/broker/consumer-list.ts'
import { type Finding, fail, ok, warn } from '../../../shared/operations/broker/finding.ts'
import { countSubjects } from '../../../shared/operations/broker/snapshot.ts'
import { pause } from '../../../shared/runtime/pause.ts'
import { showBytes, showCount, showShare } from '../../../shared/runtime/quantities.ts'
import { LEDGER_STOPS_AT } from '../../../shared/sdk/contract/bounds.ts'
import { decodeSegment, subjects } from '../../../shared/sdk/contract/subjects.ts'
import {
  type ConsumerSpec,
  consumerSpecs,
  STREAMS,
  type StreamSpec,
  streamSpecs,
  type TopologyOptions,
} from '../../../shared/sdk/contract/topology.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import {
  consumerAtBroker,
  type StreamInfo,
  streamAtBroker,
  streamInfo,
} from '../../../shared/sdk/jetstream/api.ts'
import { namedConfig } from '../../../shared/sdk/jetstream/api-names.ts'
import { isForeign, OWN_NAMES, subjectsOf } from '../../../shared/sdk/jetstream/foreign-stream.ts'
import { namesOf } from '../../../shared/sdk/jetstream/names-of.ts'
import { fitted, planChange } from '../../../shared/sdk/jetstream/plan-change.ts'
import { firstTen } from '../first-ten.ts'

const PROVISION = 'Run `pelton provision`.'
const NOTHING = (): void => undefined

/** Every stream and store: there, as provisioned, with room. */
export async function checkStreams(
  connection: NatsConnection,
  topology: TopologyOptions,
): Promise<readonly Finding[]> {
  const specs = streamSpecs(topology, connection.info?.max_payload ?? 1024 ** 2)
  const findings = (await Promise.all(specs.map((spec) => checkStream(connection, spec)))).flat()
  return findings.length > 0 ? findings : [ok('streams', `all ${specs.length} are as provisioned, with room`)]
}

const MAKE_ROOM = 'Add workers, or replay and discard what is not needed; raise its limit.'
const RAISE_LEDGER =
  'Raise PELTON_LEDGER_MAX_BYTES and run `pelton provision`, or shorten its age: `nats stream edit LEDGER --max-age`.'

/** From which share of a limit on it is told, and from which on it does harm: what then happens, and the way out. */
interface Fullness {
  readonly nearly: number
  readonly full: number
  readonly harm: string
  readonly remedy: string
}

const OTHERS: Fullness = { nearly: 0.8, full: 1, harm: 'it refuses more', remedy: MAKE_ROOM }
const FULLNESS: Readonly<Record<string, Fullness>> = {
  [STREAMS.ledger]: {
    nearly: 0.75 * LEDGER_STOPS_AT,
    full: LEDGER_STOPS_AT,
    harm: 'workers pull nothing more',
    remedy: RAISE_LEDGER,
  },
}

/** One of an older Pelton: `pelton provision` leaves a stream that is larger than asked. */
function unboundedLedger({ state }: StreamInfo): Finding {
  const text = `it has no limit in bytes, and ${showBytes(state.bytes)} now: only its disk ends it`
  const remedy = `Give it one above that: \`nats stream edit ${STREAMS.ledger} --max-bytes <n>\`.`
  return warn(`stream ${STREAMS.ledger}`, text, remedy)
}

async function checkStream(connection: NatsConnection, spec: StreamSpec): Promise<readonly Finding[]> {
  const check = `stream ${spec.name}`
  const info = await streamAtBroker(connection, spec.name)
  if (info === undefined) return [fail(check, 'it does not exist', PROVISION)]
  const wanted = namedConfig(namesOf(connection), fitted(spec, info.config))
  if (isForeign(wanted, info.config))
    return [fail(check, `it is none of Pelton's: its subjects are ${subjectsOf(info.config)}`, OWN_NAMES)]
  const findings = compare(check, info.config, { ...wanted })
  if (spec.name === STREAMS.ledger && Number(info.config.max_bytes ?? -1) <= 0)
    findings.push(unboundedLedger(info))
  for (const [limit, used] of [
    ['max_msgs', info.state.messages],
    ['max_bytes', info.state.bytes],
  ] as const) {
    const most = Number(info.config[limit] ?? -1)
    if (most > 0 && spec.discard === 'new')
      findings.push(...judgeFull(check, limit, used / most, FULLNESS[spec.name] ?? OTHERS))
  }
  return findings
}

function judgeFull(check: string, limit: string, share: number, at: Fullness): readonly Finding[] {
  const text = `${showShare(share)} of ${limit} is used`
  if (share >= at.full) return [fail(check, `${text}: ${at.harm}`, at.remedy)]
  return share >= at.nearly ? [warn(check, text, at.remedy)] : []
}

type Config = Readonly<Record<string, unknown>>

function compare(check: string, present: Config, wanted: Config): Finding[] {
  try {
    const change = planChange(check, present, wanted, NOTHING)
    return change === undefined ? [] : [warn(check, `it differs: ${change.summary}`, PROVISION)]
  } catch (thrown) {
    if (!(thrown instanceof PeltonError)) throw thrown
    return [fail(check, thrown.description, 'See docs/runbooks, or use another account.')]
  }
}

/** The consumers of the pools: there, as provisioned, none that counts attempts, none of strangers. */
export async function checkConsumers(
  connection: NatsConnection,
  topology: TopologyOptions,
  pools: readonly string[],
): Promise<readonly Finding[]> {
  const specs = pools.flatMap((pool) => consumerSpecs(pool, topology))
  const findings = (await Promise.all(specs.map((spec) => checkConsumer(connection, spec)))).flat()
  const known = new Set(specs.map((spec) => spec.durable_name))
  for (const stream of [STREAMS.features, STREAMS.retries]) {
    if ((await streamInfo(connection, stream)) === undefined) continue
    for (const listed of await listConsumers(connection, stream))
      findings.push(...checkPaused(stream, listed), ...checkListed(listed, known))
  }
  return findings.length > 0 ? findings : [ok('consumers', `all ${specs.length} are as provisioned`)]
}

async function checkConsumer(connection: NatsConnection, spec: ConsumerSpec): Promise<readonly Finding[]> {
  const { stream, ...wanted } = spec
  const check = `consumer ${spec.durable_name}`
  const info = await consumerAtBroker(connection, stream, spec.durable_name)
  if (info === undefined) return [fail(check, 'it does not exist', PROVISION)]
  return compare(check, info.config, namedConfig(namesOf(connection), wanted))
}

/** What somebody paused and forgot: everything else about it is as provisioned. */
function checkPaused(stream: string, listed: ListedConsumer): Finding[] {
  const until = pausedUntil(listed)
  if (until === undefined) return []
  const text = `it is paused until ${until}: ${showCount(listed.num_pending)} events wait for it`
  return [fail(`consumer ${listed.name}`, text, resumeRemedy(stream, listed.name))]
}

/** Past `max_deliver` an event becomes an orphan no metric shows; `backoff` silently replaces `ack_wait`. */
function checkListed(
  { name, config, num_pending, num_waiting }: ListedConsumer,
  known: ReadonlySet<string>,
): Finding[] {
  const check = `consumer ${name}`
  const findings: Finding[] = []
  const isOurs = known.has(name) || /^(?:worker|retry)-.+-(?:high|normal|low)$/.test(name)
  if (!isOurs)
    findings.push(warn(check, 'it is none of Pelton and takes events', 'Delete it if nobody knows it.'))
  if (isOurs && config.max_deliver !== -1)
    findings.push(
      fail(check, `max_deliver is ${config.max_deliver}: events past it are never answered`, PROVISION),
    )
  if (config.backoff !== undefined && config.backoff !== null)
    findings.push(
      fail(
        check,
        'it has a backoff, which replaces ack_wait',
        'Delete the consumer while drained, then run `pelton provision`.',
      ),
    )
  if (isOurs && num_pending > 0 && num_waiting === 0)
    findings.push(
      warn(
        check,
        `${showCount(num_pending)} events wait, and no pull is open`,
        'Start or add workers, unless they are busy: see `pelton status`.',
      ),
    )
  return findings
}

/** Events for pools without consumers: no worker will ever pull them. */
export async function checkPools(connection: NatsConnection): Promise<readonly Finding[]> {
  if ((await streamInfo(connection, STREAMS.features)) === undefined) return []
  const { counts } = await countSubjects(connection, STREAMS.features, subjects.allFeatures())
  const served = new Set(
    (await listConsumers(connection, STREAMS.features)).map((one) => String(one.config.filter_subject)),
  )
  const waiting = new Map<string, number>()
  for (const [subject, count] of counts) {
    const [root, pool = '', , lane] = subject.split('.')
    if (!served.has(`${root}.${pool}.*.${lane}`)) waiting.set(pool, (waiting.get(pool) ?? 0) + count)
  }
  if (waiting.size === 0) return [ok('pools', 'every pool with events has its consumers')]
  const { named, rest } = firstTen([...waiting].sort(([, one], [, other]) => other - one))
  const findings = named.map(([segment, count]) => {
    const pool = decodeSegment(segment) ?? segment
    const text = `${showCount(count)} events wait for a pool that has no consumers`
    return fail(
      `pool ${pool}`,
      text,
      `Run \`pelton provision --pool ${pool}\` and start workers with PELTON_POOL=${pool}.`,
    )
  })
  if (rest.length === 0) return findings
  const events = rest.reduce((sum, [, count]) => sum + count, 0)
  const text = `${showCount(events)} events wait for ${showCount(rest.length)} more pools that have no consumers`
  return [...findings, fail('pools', text, 'See who publishes to them: pools are named by producers.')]
}

const ORPHAN_SAMPLE_MS = 1_500

/**
 * Events that no consumer counts: `messages − Σ(pending + in flight)`, above zero in two samples. Events of a pool
 * without consumers are {@link checkPools}'s.
 */
export async function checkOrphans(
  connection: NatsConnection,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const first = await countOrphans(connection)
  if (first > 0) await pause(ORPHAN_SAMPLE_MS, signal)
  const second = first > 0 ? await countOrphans(connection) : first
  if (first <= 0 || second < first) return [ok('orphans', 'every waiting event is known to a consumer')]
  return [
    fail(
      'orphans',
      `${showCount(second)} events of ${STREAMS.features} are known to no consumer: somebody changed one`,
      'Provision the pools first; if it stays, reset the consumer of the lane (`nats consumer reset FEATURES <name>`): ' +
        'what was answered already is recognised.',
    ),
  ]
}

async function countOrphans(connection: NatsConnection): Promise<number> {
  const consumers = await listConsumers(connection, STREAMS.features)
  const counted = consumers.reduce((sum, one) => sum + one.num_pending + one.num_ack_pending, 0)
  const info = await streamInfo(connection, STREAMS.features) // read last: what was settled meanwhile counts for us
  return (info?.state.messages ?? 0) - counted
}
