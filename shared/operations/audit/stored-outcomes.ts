import type { NatsConnection } from '@nats-io/transport-node'
import { type Origin, readOrigin } from '../../sdk/contract/event.ts'
import { HEADERS, type Headers, readHeader } from '../../sdk/contract/headers.ts'
import { inputDigestStart, outcomeDigest } from '../../sdk/contract/outcome-digest.ts'
import {
  isLetterOfOtherModel,
  isOfOtherModel,
  type Registered,
  readRegistered,
} from '../../sdk/contract/registered.ts'
import { tokenOfSubject } from '../../sdk/contract/subjects.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import type { StoredCopy, StreamInfo } from '../../sdk/jetstream/api.ts'
import { parseHeaderBlock } from '../../sdk/jetstream/stored-message.ts'
import { readRange } from '../broker/read-range.ts'
import { neededStream } from '../broker/stored-sequences.ts'
import type { OutcomeKind, StoredLetter, StoredOutcome } from './evidence.ts'
import type { Expectations } from './expectations.ts'
import { TokenTable } from './token-table.ts'

/** The messages of one event that have to be judged. */
export interface Gathered {
  readonly register: StoredOutcome[]
  readonly letters: StoredLetter[]
  /** Whether its register holds more than was gathered: it must be read again. */
  isPart: boolean
}

/** What RESULTS and DEADLETTERS hold, but for the plain predictions that are as the ledger says. */
export interface StoredOutcomes {
  readonly results: StreamInfo
  readonly deadLetters: StreamInfo
  readonly byToken: ReadonlyMap<string, Gathered>
}

/**
 * Reads all of RESULTS and DEADLETTERS. What agrees with the ledger is noted there and leaves nothing behind.
 *
 * @throws PeltonError `not-provisioned`, `broker-unavailable`
 */
export async function readStoredOutcomes(
  connection: NatsConnection,
  expectations: Expectations,
  progress: (text: string) => void,
): Promise<StoredOutcomes> {
  const results = await neededStream(connection, STREAMS.results)
  const sorting = sortOutcomes(expectations, results.state.messages)
  const read = (info: StreamInfo, stream: string, take: (message: StoredCopy) => void): Promise<void> =>
    readRange(connection, { stream, from: 1, to: info.state.last_seq }, ({ message, ...place }) =>
      take({ ...place, headerBlock: message.headerBlock, body: message.data }),
    )
  progress('reading results')
  await read(results, STREAMS.results, sorting.takeOutcome)
  progress('reading dead letters')
  const deadLetters = await neededStream(connection, STREAMS.deadLetters)
  await read(deadLetters, STREAMS.deadLetters, sorting.takeLetter)
  return { results, deadLetters, byToken: sorting.byToken }
}

/** Parts what agrees with the ledger from what has to be judged. Pure. @param most messages of RESULTS at most */
function sortOutcomes({ plain, events }: Pick<Expectations, 'plain' | 'events'>, most: number) {
  const byToken = new Map<string, Gathered>()
  const answered = new TokenTable(most)
  const gather = (token: string): Gathered => {
    const known = byToken.get(token)
    if (known !== undefined) return known
    const gathered: Gathered = { register: [], letters: [], isPart: false }
    byToken.set(token, gathered)
    return gathered
  }
  const takeOutcome = (message: StoredCopy): void => {
    const token = tokenOfSubject(message.subject)
    const outcome = readOutcome(message)
    const { kind, origin, digest } = outcome
    const isFeature = kind === 'prediction' && origin?.stream === STREAMS.features
    const seen = (isFeature && plain.get(origin.epoch)?.see(origin.sequence, digest)) || 'unrecorded'
    const isAgain = answered.has(token)
    if (kind === 'prediction') answered.add(token)
    if (seen === 'as-recorded' && !isAgain && !events.has(token)) return
    const gathered = gather(token)
    gathered.register.push(seen === 'second' ? { ...outcome, isSecond: true } : outcome)
    gathered.isPart ||= isAgain
  }
  const takeLetter = (message: StoredCopy): void => {
    gather(tokenOfSubject(message.subject)).letters.push(readLetter(message))
  }
  return { byToken, takeOutcome, takeLetter }
}

const KINDS: Readonly<Record<Registered, OutcomeKind>> = {
  prediction: 'prediction',
  'dead-letter': 'notice',
  junk: 'unreadable',
  newer: 'newer',
}

/** A message of RESULTS, whatever it is. Never throws. */
export function readOutcome({ subject, sequence, storedAt, headerBlock, body }: StoredCopy): StoredOutcome {
  const headers = parseHeaderBlock(headerBlock)
  const origin = originIn(headers)
  const follows = Number(readHeader(headers, HEADERS.expectedSubjectSequence) ?? Number.NaN)
  const inputs = [HEADERS.inputDigest, HEADERS.originalDigest].map((name) =>
    inputDigestStart(readHeader(headers, name)),
  )
  return {
    kind: isOfOtherModel(subject, headers)
      ? 'unreadable'
      : KINDS[readRegistered(headers, tokenOfSubject(subject))],
    ...{ sequence, storedAt, origin },
    digest: outcomeDigest(headerBlock, body),
    madeAt: Date.parse(readHeader(headers, HEADERS.time) ?? ''),
    inputs: inputs.filter((input) => input !== undefined),
    follows: Number.isSafeInteger(follows) ? follows : undefined,
    isSecond: false,
  }
}

/** A message of DEADLETTERS, whatever it is. Never throws. */
export function readLetter({ subject, sequence, storedAt, headerBlock, body }: StoredCopy): StoredLetter {
  const headers = parseHeaderBlock(headerBlock)
  return {
    ...{ sequence, storedAt },
    digest: outcomeDigest(headerBlock, body),
    origin: originIn(headers),
    failedAt: Date.parse(readHeader(headers, HEADERS.failedAt) ?? ''),
    isElsewhere: isLetterOfOtherModel(subject, headers),
  }
}

let lastEpoch = ''

/** An origin whose text is its own: a part of a header keeps all the headers of its message in memory. */
function originIn(headers: Headers): Origin | undefined {
  const origin = readOrigin({ headers })
  if (origin === undefined) return undefined
  if (origin.epoch !== lastEpoch) lastEpoch = Buffer.from(origin.epoch).toString()
  return { ...origin, epoch: lastEpoch }
}

/** Time between an outcome and its record in the ledger, milliseconds: with the limits of a stream it may straddle. */
export const SLACK_MS = 60_000

/** Before when a stream may have dropped what it stored, by its limits as they are now; -Infinity where it cannot have. */
export function goneBefore({ config, state, created, ts }: StreamInfo): number {
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
  const byLimit = dropsOldest ? Date.parse(state.first_ts ?? ts) + SLACK_MS : Number.NEGATIVE_INFINITY
  return Math.max(byAge, byLimit)
}
