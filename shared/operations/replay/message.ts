import { readEvent, writeOrigin } from '../../sdk/contract/event.ts'
import { HEADERS, type HeaderEntry, type Headers, readHeader } from '../../sdk/contract/headers.ts'
import type { OutgoingMessage } from '../../sdk/contract/outcome.ts'
import { subjects } from '../../sdk/contract/subjects.ts'
import { payloadDigest } from '../../sdk/contract/token.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import type { DeadLetterOrigin } from '../dead-letters/origin.ts'
import type { StoredDeadLetter } from '../records/dead-letter.ts'
import type { Edited } from './edit.ts'
import type { ReplayOptions } from './task.ts'

export interface ReplayFacts extends DeadLetterOrigin {
  readonly task: string
  /** Sequence of the failure notice the outcome may replace; 0 when there is none. */
  readonly supersedes: number
  /** Sequence of the dead letter: one that comes of the replay names it. */
  readonly letter: number
  /** Gets a copy of the outcome: the sign to look at the register. */
  readonly replyTo: string
}

/**
 * The event of a dead letter as it is sent again: its payload, its own headers and its identity, as a first attempt.
 * What the dead letter says about its failure stays behind. With an edit it is still the same event: it carries the
 * digest of its first payload, so that no worker takes the two for one id used twice. Without `Nats-Msg-Id`: the broker
 * must not take a second replay for the first; the register does.
 */
export function replayMessage(
  { model, token, headers, body }: Pick<StoredDeadLetter, 'model' | 'token' | 'headers' | 'body'>,
  facts: ReplayFacts,
  options: Pick<ReplayOptions, 'lane' | 'modelVersion' | 'dropVersion' | 'keepDeadline'>,
  edited?: Pick<Edited, 'body' | 'inferenceHeaderLength'>,
): OutgoingMessage {
  const own: HeaderEntry[] = [
    [HEADERS.expectedStream, STREAMS.features],
    [HEADERS.token, token],
    [HEADERS.origin, writeOrigin(facts.origin)],
    [HEADERS.attempt, '1'],
    [HEADERS.replay, facts.task],
    [HEADERS.supersedes, String(facts.supersedes)],
    [HEADERS.replayedLetter, String(facts.letter)],
    [HEADERS.replyTo, facts.replyTo],
  ]
  if (options.modelVersion !== undefined) own.push([HEADERS.modelVersion, options.modelVersion])
  if (edited?.inferenceHeaderLength !== undefined)
    own.push([HEADERS.inferenceHeaderLength, String(edited.inferenceHeaderLength)])
  const original = readHeader(headers, HEADERS.originalDigest)
  if (original !== undefined || edited !== undefined)
    own.push([HEADERS.originalDigest, original ?? payloadDigest(body)])
  const set = new Set(own.map(([name]) => name.toLowerCase()))
  return {
    subject: subjects.feature({ pool: facts.pool, model, lane: options.lane }),
    headers: [...own, ...eventHeaders(headers, options).filter(([name]) => !set.has(name))],
    body: edited?.body ?? body,
  }
}

/** Headers a replay does without: the register is looked at without a wake-up, and a first attempt need not say so. */
const SPARE: ReadonlySet<string> = new Set(
  [HEADERS.replyTo, HEADERS.attempt, HEADERS.history, HEADERS.replayedLetter].map((name) =>
    name.toLowerCase(),
  ),
)

/** The same replay as small as it can be, for an event that fills FEATURES' largest message; undefined when it is. */
export function slimmed(message: OutgoingMessage): OutgoingMessage | undefined {
  const headers = message.headers.filter(([name]) => !SPARE.has(name.toLowerCase()))
  return headers.length === message.headers.length ? undefined : { ...message, headers }
}

/** Whether workers will take a replay for the event of this token: an id that cannot be read makes it another. */
export function isSameEvent({ subject, headers, body }: OutgoingMessage, token: string): boolean {
  const lower = new Map(headers.map(([name, value]) => [name.toLowerCase(), value]))
  const stored = { subject, headers: lower, body, stream: STREAMS.features, epoch: '', sequence: 0 }
  return readEvent(stored).token === token
}

/** Pelton's own headers that belong to the event, not to its failure. */
const KEPT = [HEADERS.contract, HEADERS.publishedAt, HEADERS.history].map((name) => name.toLowerCase())

function eventHeaders(
  headers: Headers,
  { keepDeadline, dropVersion = false }: Pick<ReplayOptions, 'keepDeadline' | 'dropVersion'>,
): HeaderEntry[] {
  return [...headers].filter(([name]) => {
    if (name === HEADERS.expiryTime) return keepDeadline
    if (name === HEADERS.modelVersion.toLowerCase()) return !dropVersion
    if (name.startsWith('pelton-')) return KEPT.includes(name)
    return !/^(?:nats-|x-dead-letter-|x-original-|x-failed-at$|x-first-seen$|x-delivery-count$)/.test(name)
  })
}
