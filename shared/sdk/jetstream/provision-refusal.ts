import type { ConsumerSpec, StreamSpec } from '../contract/topology.ts'
import { PeltonError } from '../errors.ts'
import type { ApiRefusal } from './api.ts'

/** What a refusal is about, and the way out. */
interface Help<Spec> {
  readonly field: keyof Spec & string
  readonly remedy: string
}

const MORE_SERVERS = 'Lower PELTON_REPLICAS, or add servers to the cluster.'
const MORE_STREAMS =
  "Raise the account's limit of streams: Pelton needs one for each of its streams and buckets (`pelton doctor` names them)."
const OVERLAP =
  'Another stream of this account takes some of its subjects: find it with `nats stream ls`, and use another account.'

/** By error code of the JetStream API (nats-server `errors.json`). */
const OF_STREAMS: Readonly<Record<number, Help<StreamSpec>>> = {
  10005: { field: 'num_replicas', remedy: MORE_SERVERS },
  10074: { field: 'num_replicas', remedy: MORE_SERVERS },
  10047: {
    field: 'max_bytes',
    remedy:
      'Free disk space (the broker uses three quarters of what is free when it starts), or lower PELTON_FEATURES_MAX_BYTES.',
  },
  10023: {
    field: 'max_bytes',
    remedy: "Raise the account's limit of storage, or lower PELTON_FEATURES_MAX_BYTES.",
  },
  10113: {
    field: 'max_bytes',
    remedy:
      'This account wants a limit in bytes on every stream, and only FEATURES has one (PELTON_FEATURES_MAX_BYTES): turn `max_bytes_required` off for the account, or use another one.',
  },
  10122: {
    field: 'max_bytes',
    remedy: "Lower PELTON_FEATURES_MAX_BYTES, or raise the account's limit of bytes for one stream.",
  },
  10027: { field: 'name', remedy: MORE_STREAMS },
  10065: { field: 'subjects', remedy: OVERLAP },
}

const OF_CONSUMERS: Readonly<Record<number, Help<ConsumerSpec>>> = {
  10121: { field: 'max_ack_pending', remedy: 'Lower PELTON_MAX_ACK_PENDING to what the account allows.' },
  10026: {
    field: 'durable_name',
    remedy: "Raise the account's limit of consumers: Pelton needs six for each pool.",
  },
}

/** A refusal that no table knows is still one of an account or a broker, not a defect of this package. */
const ACCOUNT = 'See the limits of this account (`nats account info`), and the log of the broker.'

/** Why a stream cannot be made or changed, with the setting that would help. @param verb `created` or `changed` */
export function refusedStream(spec: StreamSpec, verb: string, refusal: ApiRefusal): PeltonError {
  return refused(`stream ${spec.name}`, verb, spec, OF_STREAMS[refusal.code], refusal)
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
      : { field: help.field, value: shown(spec[help.field]), remedy: help.remedy }
  return new PeltonError('not-provisioned', `${what} cannot be ${verb}: ${refusal.message}`, details, refusal)
}

function shown(value: unknown): string {
  return value === undefined ? 'unlimited' : String(value)
}
