import type { NatsConnection } from '@nats-io/transport-node'
import { subjects } from '../../sdk/contract/subjects.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { findApi, NOT_FOUND, type StreamInfo } from '../../sdk/jetstream/api.ts'
import { namesOf } from '../../sdk/jetstream/names-of.ts'
import { notOnBroker } from '../../sdk/jetstream/not-on-broker.ts'
import { requireStreams } from '../../sdk/jetstream/provision.ts'
import { type ListedConsumer, listConsumers } from '../broker/consumer-list.ts'
import { latestWriter, mustLiveMs, type RegisterState, registerState } from '../broker/register-life.ts'
import { boundOf } from '../broker/stream-bound.ts'

/** What a stream holds, and may hold; Infinity without a bound. */
export interface StreamUse {
  readonly messages: number
  readonly bytes: number
  readonly maxMessages: number
  readonly maxBytes: number
}

/** What the streams say to the doors, at one look. */
export interface DoorFacts {
  /** Broker time, milliseconds since 1970. */
  readonly at: number
  /** Creation time of FEATURES, and the last sequence it gave out. */
  readonly epoch: string
  readonly lastSequence: number
  readonly features: StreamUse
  /** Events of one subject of FEATURES that may be there; Infinity without a bound. */
  readonly maxPerSubject: number
  /** Events of FEATURES by subject: those that wait, and those that workers hold. */
  readonly counts: ReadonlyMap<string, number>
  /** The part of a consumer's events that was not handed out, by its name; of FEATURES. */
  readonly waitingShare: ReadonlyMap<string, number>
  readonly deadLetters: StreamUse
  readonly results: RegisterState & StreamUse
  /** For how long RESULTS promises to remember an outcome, milliseconds. */
  readonly promisedMs: number
}

/**
 * Looks at FEATURES, DEADLETTERS and RESULTS.
 *
 * @param resendMs the resend horizon of producers: with it begins what RESULTS promises
 * @throws PeltonError `not-provisioned`, `broker-unavailable`
 */
export async function readDoorFacts(connection: NatsConnection, resendMs: number): Promise<DoorFacts> {
  const others = [STREAMS.deadLetters, STREAMS.results]
  const consumers = await listConsumers(connection, STREAMS.features)
  const features = await featuresBySubject(connection)
  const infos = await requireStreams(connection, others)
  const [deadLetters, results] = others.map((name) => infos.get(name)) as [StreamInfo, StreamInfo]
  const register = registerState(results)
  return {
    at: Date.parse(features.ts),
    epoch: features.created,
    lastSequence: features.state.last_seq,
    features: useOf(features),
    maxPerSubject: boundOf(features, 'max_msgs_per_subject'),
    counts: new Map(Object.entries(features.state.subjects ?? {})),
    waitingShare: new Map(consumers.map((one) => [one.name, shareOf(one)])),
    deadLetters: useOf(deadLetters),
    results: { ...register, ...useOf(results) },
    promisedMs: Math.min(register.maxAgeMs, mustLiveMs(latestWriter(consumers, resendMs))),
  }
}

interface FeaturesInfo extends StreamInfo {
  readonly state: StreamInfo['state'] & { readonly subjects?: Readonly<Record<string, number>> }
}

/** One answer has 100,000 subjects, and a model has three. */
async function featuresBySubject(connection: NatsConnection): Promise<FeaturesInfo> {
  const asked = { subjects_filter: subjects.allFeatures() }
  const name = STREAMS.features
  const info = await findApi<FeaturesInfo>(connection, `STREAM.INFO.${name}`, NOT_FOUND.stream, asked)
  if (info === undefined) throw notOnBroker(`stream ${namesOf(connection).stream(name)}`)
  return info
}

function useOf(info: StreamInfo): StreamUse {
  const { messages, bytes } = info.state
  return { messages, bytes, maxMessages: boundOf(info, 'max_msgs'), maxBytes: boundOf(info, 'max_bytes') }
}

function shareOf({ num_pending, num_ack_pending }: ListedConsumer): number {
  const all = num_pending + num_ack_pending
  return all === 0 ? 1 : num_pending / all
}
