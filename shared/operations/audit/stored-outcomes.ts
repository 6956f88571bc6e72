import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS } from '../../sdk/contract/headers.ts'
import { subjects, tokenOfSubject } from '../../sdk/contract/subjects.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import type { StreamInfo } from '../../sdk/jetstream/api.ts'
import { readRange } from '../broker/read-range.ts'
import { SequenceSet } from '../broker/sequence-set.ts'
import { countSubjects } from '../broker/snapshot.ts'
import { neededStream } from '../broker/stored-sequences.ts'
import type { Expectations } from './expectations.ts'
import { TokenTable } from './token-table.ts'
import { thoseThat } from './waiting.ts'

/** What a register holds: a prediction, or the failure notice of a dead letter. */
export type ResultKind = 'prediction' | 'dead-letter'

/** What a stream may have dropped by its limits. */
export interface Retention {
  /** What was stored before this may be gone, milliseconds since 1970; -Infinity where nothing can be. */
  readonly goneBefore: number
}

/** What RESULTS holds, as far as the ledger speaks of it. */
export interface StoredResults extends Retention {
  readonly count: number
  /** The last outcome of each register whose token the ledger names. */
  readonly registers: Map<string, ResultKind>
  /** Sequences of FEATURES with a prediction, and with a failure notice. */
  readonly predicted: SequenceSet
  readonly noticed: SequenceSet
  /** Tokens with another outcome after their prediction. */
  readonly answeredTwice: readonly string[]
}

/** What DEADLETTERS holds of the tokens the ledger names. */
export interface StoredDeadLetters extends Retention {
  readonly count: number
  readonly tokens: Set<string>
}

/** Time between an outcome and its record in the ledger, milliseconds: with the limits of RESULTS it may straddle. */
const SLACK_MS = 60_000

/** Reads all of RESULTS, headers only. @throws PeltonError `not-provisioned`, `broker-unavailable` */
export async function readStoredResults(
  connection: NatsConnection,
  { events, plain, epoch }: Expectations,
): Promise<StoredResults> {
  const info = await neededStream(connection, STREAMS.results)
  const registers = new Map<string, ResultKind>()
  const [predicted, noticed] = [
    new SequenceSet(plain.first, plain.last),
    new SequenceSet(plain.first, plain.last),
  ]
  const answered = new TokenTable(info.state.messages)
  const perhapsTwice = new Set<string>()
  const origin = `${STREAMS.features} ${epoch} `
  const range = { stream: STREAMS.results, from: 1, to: info.state.last_seq, headersOnly: true }
  await readRange(connection, range, ({ subject, message }) => {
    const token = tokenOfSubject(subject)
    const kind: ResultKind =
      message.headers?.get(HEADERS.outcome) === 'dead-letter' ? 'dead-letter' : 'prediction'
    if (answered.has(token)) perhapsTwice.add(token)
    if (kind === 'prediction') answered.add(token)
    if (events.has(token)) registers.set(token, kind)
    const from = message.headers?.get(HEADERS.origin) ?? ''
    if (!from.startsWith(origin)) return
    const sequences = kind === 'prediction' ? predicted : noticed
    sequences.add(Number(from.slice(origin.length)))
  })
  const answeredTwice = await thoseThat([...perhapsTwice], (token) => isTwiceIn(connection, token))
  return { count: info.state.messages, registers, predicted, noticed, answeredTwice, ...retentionOf(info) }
}

async function isTwiceIn(connection: NatsConnection, token: string): Promise<boolean> {
  const { counts } = await countSubjects(connection, STREAMS.results, subjects.resultOf(token))
  return [...counts.values()].some((count) => count > 1)
}

/** Reads all of DEADLETTERS, headers only. @throws PeltonError `not-provisioned`, `broker-unavailable` */
export async function readStoredDeadLetters(
  connection: NatsConnection,
  { events }: Expectations,
): Promise<StoredDeadLetters> {
  const info = await neededStream(connection, STREAMS.deadLetters)
  const tokens = new Set<string>()
  const range = { stream: STREAMS.deadLetters, from: 1, to: info.state.last_seq, headersOnly: true }
  await readRange(connection, range, ({ subject }) => {
    const token = tokenOfSubject(subject)
    if (events.has(token)) tokens.add(token)
  })
  return { count: info.state.messages, tokens, ...retentionOf(info) }
}

/** By its limits as they are now: the oldest that must still be there. */
function retentionOf({ config, state, created, ts }: StreamInfo): Retention {
  const now = Date.parse(ts)
  const maxAgeMs = Number(config.max_age ?? 0) / 1e6
  const byAge =
    maxAgeMs > 0 && now - Date.parse(created) > maxAgeMs
      ? now - maxAgeMs + SLACK_MS
      : Number.NEGATIVE_INFINITY
  const isFull = (limit: string, used: number, margin: number): boolean => {
    const most = Number(config[limit] ?? -1)
    return most > 0 && used >= most - margin
  }
  const dropsOldest =
    config.discard === 'old' &&
    (isFull('max_msgs', state.messages, 1) || isFull('max_bytes', state.bytes, 2 * 1024 ** 2))
  const { first_ts } = state as typeof state & { readonly first_ts?: string }
  const byLimit = dropsOldest ? Date.parse(first_ts ?? ts) + SLACK_MS : Number.NEGATIVE_INFINITY
  return { goneBefore: Math.max(byAge, byLimit) }
}
