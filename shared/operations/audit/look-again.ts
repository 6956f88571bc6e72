import type { NatsConnection } from '@nats-io/transport-node'
import { subjects } from '../../sdk/contract/subjects.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { PeltonError } from '../../sdk/errors.ts'
import { messagesOf, type StoredCopy } from '../../sdk/jetstream/api.ts'
import type { Hold } from '../records/holds.ts'
import { readValue } from '../records/key-value.ts'
import type { Evidence, ReplayHold } from './evidence.ts'
import { readLetter, readOutcome } from './stored-outcomes.ts'
import { isRetryWaiting, isStored } from './waiting.ts'

/**
 * Reads all there is about one event from the leaders of its streams. First where it waits, then what is stored: a worker
 * stores an outcome, tells the ledger, and only then lets the event go.
 *
 * @param epoch creation time of the FEATURES of today
 */
export async function lookAgain(
  connection: NatsConnection,
  evidence: Evidence,
  epoch: string,
): Promise<Evidence> {
  const { token, event } = evidence
  const hold = await replayHolding(connection, token)
  const isWaiting = await waitsSomewhere(connection, evidence, epoch)
  const seconds = new Set(
    evidence.register.filter(({ isSecond }) => isSecond).map(({ sequence }) => sequence),
  )
  const register = await readAll(connection, STREAMS.results, subjects.resultOf(token))
  const letters = await readAll(connection, STREAMS.deadLetters, subjects.deadLetterOf(token))
  return {
    ...{ token, event, hold, isWaiting },
    register: register.map((message) => ({
      ...readOutcome(message),
      isSecond: seconds.has(message.sequence),
    })),
    letters: letters.map(readLetter),
  }
}

async function waitsSomewhere(
  connection: NatsConnection,
  { token, event, register, letters }: Evidence,
  epoch: string,
): Promise<boolean> {
  const origins = [...register, ...letters].map(({ origin }) => origin)
  const places = [...origins, event].filter(
    (place) => place?.stream === STREAMS.features && place.epoch === epoch,
  )
  for (const seq of new Set(places.map((place) => place?.sequence ?? 0)))
    if (await isStored(connection, STREAMS.features, { seq })) return true
  return isRetryWaiting(connection, token)
}

/** The replay that has an event in its hands; none also where what lies there cannot be read. */
export async function replayHolding(
  connection: NatsConnection,
  token: string,
): Promise<ReplayHold | undefined> {
  try {
    const hold = (await readValue<Hold>(connection, `held.${token}`))?.value
    if (hold?.by.kind !== 'replay') return undefined
    return { letter: hold.sequence, supersedes: hold.sent?.supersedes }
  } catch (thrown) {
    if (thrown instanceof PeltonError && thrown.code === 'broker-unavailable') throw thrown
    return undefined
  }
}

/** More messages under one token no one reads: a forger's. */
const MOST_MESSAGES = 100

async function readAll(connection: NatsConnection, stream: string, subject: string): Promise<StoredCopy[]> {
  const messages: StoredCopy[] = []
  for await (const message of messagesOf(connection, stream, subject))
    if (messages.push(message) === MOST_MESSAGES) break
  return messages
}
