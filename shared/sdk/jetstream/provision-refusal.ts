import { boundSetting } from '../contract/bounds.ts'
import type { ConsumerSpec, StreamSpec } from '../contract/topology.ts'
import { PeltonError } from '../errors.ts'
import { ApiRefusal } from './api.ts'

/** What a refusal is about, and the way out. */
interface Help<Spec> {
  readonly field: keyof Spec & string
  readonly remedy: string
}

const MORE_SERVERS = 'Lower PELTON_REPLICAS, or add servers to the cluster.'
const AWAY =
  'Start the servers of the cluster that are away (`nats server report jetstream` names them), or lower PELTON_REPLICAS. Where all are there, one holds as many streams as its `max_ha_assets` allows.'

/**
 * Why too few servers can hold a stream, in the words the broker adds to `no suitable peers for placement` (nats-server
 * `selectPeerError`): several may stand there, one for each server that was passed over. Without any there are too few.
 */
const NO_PEERS: readonly (Help<StreamSpec> & { readonly said: string })[] = [
  {
    said: 'insufficient storage',
    field: 'max_bytes',
    remedy:
      'Each server that holds it reserves this much: lower PELTON_FEATURES_MAX_BYTES, or raise `max_file_store` of the servers (three quarters of the free disk space unless set).',
  },
  {
    said: 'server tag not unique',
    field: 'num_replicas',
    remedy:
      'The servers have `unique_tag`, which wants each replica on a server with another tag: give them different `server_tags`, or lower PELTON_REPLICAS.',
  },
  {
    said: 'exclude tag set',
    field: 'num_replicas',
    remedy:
      'Servers with the tag `!jetstream` hold no streams: remove it from their `server_tags`, or lower PELTON_REPLICAS.',
  },
  {
    said: 'jetstream not enabled in cluster',
    field: 'num_replicas',
    remedy: 'Turn JetStream on for the servers of this cluster.',
  },
  { said: 'peer offline', field: 'num_replicas', remedy: AWAY },
  // A server of which the leader of the cluster has never heard.
  { said: 'miscellaneous issue', field: 'num_replicas', remedy: AWAY },
]
const MORE_STREAMS =
  "Raise the account's limit of streams: Pelton needs one for each of its streams and buckets (`pelton doctor` names them)."
const OVERLAP =
  'Another stream of this account takes some of its subjects: find it with `nats stream ls` and take them from it, set PELTON_PREFIX for all processes of this Pelton, or use another account.'
const NO_TIER =
  'The account has no tier for so many copies: set PELTON_REPLICAS to that of one it has (`nats account info`).'

/** By error code of the JetStream API (nats-server `errors.json`). */
const OF_STREAMS: Readonly<Record<number, Help<StreamSpec>>> = {
  10074: { field: 'num_replicas', remedy: MORE_SERVERS },
  10047: {
    field: 'max_bytes',
    remedy:
      'Free disk space (the broker uses three quarters of what is free when it starts, unless `max_file_store` says how much), or lower PELTON_FEATURES_MAX_BYTES.',
  },
  10023: {
    field: 'max_bytes',
    remedy: "Raise the account's limit of storage, or lower PELTON_FEATURES_MAX_BYTES.",
  },
  10113: {
    field: 'max_bytes',
    remedy:
      'This account wants a limit in bytes on every stream, and this one was made without: give it one first, well above what is in it (`nats stream edit --max-bytes`).',
  },
  10122: {
    field: 'max_bytes',
    remedy: "Lower PELTON_FEATURES_MAX_BYTES, or raise the account's limit of bytes for one stream.",
  },
  10027: { field: 'name', remedy: MORE_STREAMS },
  10065: { field: 'subjects', remedy: OVERLAP },
  10120: { field: 'num_replicas', remedy: NO_TIER },
}

const OF_CONSUMERS: Readonly<Record<number, Help<ConsumerSpec>>> = {
  10121: { field: 'max_ack_pending', remedy: 'Lower PELTON_MAX_ACK_PENDING to what the account allows.' },
  10026: {
    field: 'durable_name',
    remedy:
      "Raise the account's limit of consumers: FEATURES and RETRIES need three each for every pool, and what reads a stream for a while is one more.",
  },
  10120: { field: 'durable_name', remedy: NO_TIER },
}

/** A refusal that no table knows is still one of an account or a broker, not a defect of this package. */
const ACCOUNT = 'See the limits of this account (`nats account info`), and the log of the broker.'

/** By error code, what any request of the JetStream API may be refused for, and what to do. */
const OF_REQUESTS: Readonly<Record<number, string>> = {
  10002: "Raise the account's limits of storage and memory: they are used up.",
  10023: "Raise the account's limit of storage, or make room.",
  10026: "Raise the account's limit of consumers of one stream: what reads a stream for a while is one.",
  10028: "Raise the account's limit of memory: what reads a stream for a while is kept there.",
  10035: 'Turn JetStream on for this account, or use another one.',
  10039: 'Turn JetStream on for this account, or use another one.',
  10047: 'Free disk space of the broker, or lower what is asked for.',
  10076: 'Turn JetStream on for this server.',
  10121: 'Ask for fewer messages in flight, or have the account raise its `max_ack_pending`.',
}

/** What the account or the broker refused, said to a person: never a defect of this package. */
export function explainRefusal(refusal: ApiRefusal): PeltonError {
  return new PeltonError(
    'not-provisioned',
    `the broker refused ${refusal.message}`,
    { remedy: OF_REQUESTS[refusal.code] ?? ACCOUNT },
    refusal,
  )
}

/** What the account or the broker refused is no defect; anything else that was thrown stays what it is. */
export function explained(thrown: unknown): unknown {
  return thrown instanceof ApiRefusal ? explainRefusal(thrown) : thrown
}

/** Everything that is in the way of a plan, at once; one alone stands for itself. */
export function refusedPlan(obstacles: readonly PeltonError[]): PeltonError {
  const [only, another] = obstacles
  if (only !== undefined && another === undefined) return only
  const lines = obstacles.map(({ description }) => `\n  - ${description}`).join('')
  return new PeltonError(
    'not-provisioned',
    `${obstacles.length} things are in the way, and nothing was made:${lines}`,
  )
}

/** Why a stream cannot be made or changed, with the setting that would help. @param verb `created` or `changed` */
export function refusedStream(spec: StreamSpec, verb: string, refusal: ApiRefusal): PeltonError {
  const help = refusal.code === NO_SUITABLE_PEERS ? noPeers(refusal.message) : OF_STREAMS[refusal.code]
  return refused(`stream ${spec.name}`, verb, spec, help, refusal)
}

const NO_SUITABLE_PEERS = 10005

/** All that helps, of what the broker says: where servers lack room and one is away, neither alone may do. */
function noPeers(message: string): Help<StreamSpec> {
  const reasons = NO_PEERS.filter(({ said }) => message.includes(said))
  const remedies = new Set(reasons.map(({ remedy }) => remedy))
  return { field: reasons[0]?.field ?? 'num_replicas', remedy: [...remedies].join(' ') || MORE_SERVERS }
}

/** Likewise, for a consumer. */
export function refusedConsumer(spec: ConsumerSpec, verb: string, refusal: ApiRefusal): PeltonError {
  return refused(`consumer ${spec.durable_name}`, verb, spec, OF_CONSUMERS[refusal.code], refusal)
}

function refused<Spec>(
  what: string,
  verb: string,
  spec: Spec,
  help: Help<Spec> | undefined,
  refusal: ApiRefusal,
): PeltonError {
  const [kind = '', name = ''] = what.split(' ')
  const details =
    help === undefined
      ? { field: kind, value: name, remedy: ACCOUNT }
      : { field: help.field, value: shown(spec[help.field]), remedy: forStream(name, help.remedy) }
  return new PeltonError('not-provisioned', `${what} cannot be ${verb}: ${refusal.message}`, details, refusal)
}

/** What is said of bytes in general names the setting of FEATURES: others have one of their own. */
function forStream(name: string, remedy: string): string {
  return remedy.replaceAll('PELTON_FEATURES_MAX_BYTES', boundSetting(name) ?? 'PELTON_FEATURES_MAX_BYTES')
}

function shown(value: unknown): string {
  return value === undefined ? 'unlimited' : String(value)
}
