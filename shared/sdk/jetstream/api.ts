import { type NatsConnection, TimeoutError } from '@nats-io/transport-node'
import { PeltonError } from '../errors.ts'
import { namedRequest, plainAnswer } from './api-names.ts'
import { explainRequest } from './connection-cause.ts'
import { apiSubject, domainOf } from './domain.ts'
import { untilItPasses, type Waiting } from './election.ts'
import { namesOf } from './names-of.ts'
import { namingOf } from './naming-of.ts'

/** A refusal of the JetStream API. */
export class ApiRefusal extends Error {
  override readonly name = 'ApiRefusal'
  readonly code: number
  readonly status: number

  constructor(
    subject: string,
    error: { readonly err_code: number; readonly code: number; readonly description: string },
  ) {
    super(`${subject}: ${error.description} (${error.err_code})`)
    this.code = error.err_code
    this.status = error.code
  }
}

export const NOT_FOUND = { stream: 10059, consumer: 10014, message: 10037 } as const

/** How long the JetStream API may take for one answer, milliseconds, unless told. */
const ANSWER_MS = 5_000

/**
 * One request to the JetStream API. Streams of Pelton and their subjects have their plain names in it, and in its answer;
 * a refusal has those of the broker.
 *
 * @param timeoutMs how long its answer may take
 * @throws ApiRefusal when the API says no, PeltonError `broker-unavailable` when it does not answer
 */
export async function requestApi<Reply>(
  connection: NatsConnection,
  subject: string,
  body: unknown = {},
  timeoutMs = ANSWER_MS,
): Promise<Reply> {
  const names = namesOf(connection)
  const asked = names.prefix === undefined ? { subject, body } : namedRequest(names, { subject, body })
  const answer = await connection
    .request(apiSubject(connection, asked.subject), JSON.stringify(asked.body), { timeout: timeoutMs })
    .catch((cause: unknown) => {
      const { text, remedy } = explainRequest(cause, domainOf(connection), namingOf(connection))
      const details = remedy === undefined ? {} : { remedy }
      const problem = `JetStream does not answer ${asked.subject}: ${text}`
      throw new PeltonError('broker-unavailable', problem, details, cause)
    })
  const reply = answer.json<Reply & { error?: { err_code: number; code: number; description: string } }>()
  if (reply.error !== undefined) throw new ApiRefusal(asked.subject, reply.error)
  return asked.subject === subject ? reply : plainAnswer(names, reply)
}

/** A group has no leader yet, its leader has not heard of enough servers, or those that hold its copies are away. */
const NOT_YET = new Set([10005, 10008, 10118, 10119])

/**
 * Repeats an act on the JetStream API while a cluster forms or elects: the answer to a creation comes from the leader of
 * the new group, whose election can take longer than one answer is waited for. Only for what may be done twice.
 *
 * @throws what `act` threw last, once patience is over; anything that time does not change, at once; the reason of `signal`
 */
export function patientApi<Result>(act: () => Promise<Result>, waiting: Waiting = {}): Promise<Result> {
  return untilItPasses(act, { ...waiting, passes })
}

function passes(thrown: unknown): boolean {
  const refusal = thrown instanceof PeltonError ? thrown.cause : thrown
  if (refusal instanceof ApiRefusal) return NOT_YET.has(refusal.code)
  return refusal instanceof TimeoutError
}

/** Like {@link requestApi}, but `undefined` where the API answers with `notFoundCode`. */
export async function findApi<Reply>(
  connection: NatsConnection,
  subject: string,
  notFoundCode: number,
  body: unknown = {},
): Promise<Reply | undefined> {
  try {
    return await requestApi<Reply>(connection, subject, body)
  } catch (thrown) {
    if (thrown instanceof ApiRefusal && thrown.code === notFoundCode) return undefined
    throw thrown
  }
}

/** Who holds a stream, or what a consumer knows, as the API tells it; absent for a server alone. */
export interface ClusterInfo {
  /** Name of the server that leads; absent or empty while none does. */
  readonly leader?: string
  /** Since when it leads, RFC 3339. */
  readonly leader_since?: string
  /** The other servers that hold it; while none leads, all of them. */
  readonly replicas?: readonly {
    readonly name: string
    /** Whether it has all that was decided. */
    readonly current: boolean
    /** Whether the cluster takes its server for gone: told late after a crash. */
    readonly offline?: boolean
    /** Since when the leader has heard nothing of it, nanoseconds; 0 when it never has. */
    readonly active: number
    /** Operations decided that it does not have; one may hold many messages. */
    readonly lag?: number
  }[]
}

export interface StreamInfo {
  /** RFC 3339: part of a sequence's identity, because sequences start again with a new stream. */
  readonly created: string
  /** The broker's time when it answered, RFC 3339. */
  readonly ts: string
  readonly config: Readonly<Record<string, unknown>>
  readonly state: {
    readonly messages: number
    readonly bytes: number
    readonly first_seq: number
    readonly last_seq: number
    /** When the oldest message was stored, RFC 3339. */
    readonly first_ts?: string
    /** Consumers it has, of whomever. */
    readonly consumer_count?: number
  }
  readonly cluster?: ClusterInfo
}

export interface ConsumerInfo {
  readonly ts: string
  readonly config: Readonly<Record<string, unknown>>
  readonly num_pending: number
  readonly num_ack_pending: number
  /** Deliveries so far, and when the last of them was. */
  readonly delivered?: { readonly consumer_seq?: number; readonly last_active?: string }
  /** The last message before the first that is not acknowledged; when one was acknowledged last. */
  readonly ack_floor?: { readonly stream_seq?: number; readonly last_active?: string }
  readonly cluster?: ClusterInfo
}

export function streamInfo(connection: NatsConnection, stream: string): Promise<StreamInfo | undefined> {
  return findApi<StreamInfo>(connection, `STREAM.INFO.${stream}`, NOT_FOUND.stream)
}

export function consumerInfo(
  connection: NatsConnection,
  stream: string,
  name: string,
): Promise<ConsumerInfo | undefined> {
  return findApi<ConsumerInfo>(connection, `CONSUMER.INFO.${stream}.${name}`, NOT_FOUND.consumer)
}

/** A stream of Pelton with every name as the broker has it: asked for by its own name it is answered as it is. */
export function streamAtBroker(connection: NatsConnection, stream: string): Promise<StreamInfo | undefined> {
  return streamInfo(connection, namesOf(connection).stream(stream))
}

/** Likewise a consumer of such a stream. */
export function consumerAtBroker(
  connection: NatsConnection,
  stream: string,
  name: string,
): Promise<ConsumerInfo | undefined> {
  return consumerInfo(connection, namesOf(connection).stream(stream), name)
}

/** A message as the leader of its stream holds it. */
export interface StoredCopy {
  readonly subject: string
  readonly sequence: number
  /** When it was stored, milliseconds since 1970 by the broker's clock. */
  readonly storedAt: number
  readonly headerBlock: Uint8Array
  readonly body: Uint8Array
}

/** The last message of a subject, read from the stream's leader; `undefined` when there is none. */
export function lastOfSubject(
  connection: NatsConnection,
  stream: string,
  subject: string,
): Promise<StoredCopy | undefined> {
  return readCopy(connection, stream, { last_by_subj: subject })
}

/** The first message of a subject from a sequence on, read from the stream's leader; `undefined` when there is none. */
export function nextOfSubject(
  connection: NatsConnection,
  stream: string,
  subject: string,
  from: number,
): Promise<StoredCopy | undefined> {
  return readCopy(connection, stream, { seq: from, next_by_subj: subject })
}

/** The messages of a subject, oldest first, each read from the stream's leader. Wildcards are allowed. */
export async function* messagesOf(
  connection: NatsConnection,
  stream: string,
  subject: string,
): AsyncGenerator<StoredCopy> {
  for (let from = 1; ; ) {
    const copy = await nextOfSubject(connection, stream, subject, from)
    if (copy === undefined) return
    yield copy
    from = copy.sequence + 1
  }
}

async function readCopy(
  connection: NatsConnection,
  stream: string,
  which: object,
): Promise<StoredCopy | undefined> {
  const reply = await findApi<{
    readonly message: { subject: string; seq: number; time: string; hdrs?: string; data?: string }
  }>(connection, `STREAM.MSG.GET.${stream}`, NOT_FOUND.message, which)
  if (reply === undefined) return undefined
  const { subject, seq, time, hdrs = '', data = '' } = reply.message
  const [headerBlock, body] = [Buffer.from(hdrs, 'base64'), Buffer.from(data, 'base64')]
  return { subject, sequence: seq, storedAt: Date.parse(time), headerBlock, body }
}

/** Every server that holds a stream is away; so is every one that holds a consumer. */
const OFFLINE = new Set([10118, 10119])

/** Whether the API refused, or left without an answer, because nobody leads what was asked for now. */
export function isUnled(thrown: unknown): boolean {
  return passes(thrown) || (thrown instanceof ApiRefusal && OFFLINE.has(thrown.code))
}
