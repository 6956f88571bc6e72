import type { NatsConnection } from '@nats-io/transport-node'
import { pause } from '../../runtime/pause.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import type { SequenceSet } from '../broker/sequence-set.ts'
import { neededStream } from '../broker/stored-sequences.ts'
import { createLedgerReader, type LedgerReader } from '../records/ledger-reader.ts'
import type { Accounts, RetriedEvent } from './accounts.ts'
import { isRetryWaiting, isStored, type StoredFeatures, thoseThat } from './waiting.ts'

/** What has no outcome and does not seem to wait. */
export interface Missing {
  readonly sequences: readonly number[]
  readonly retries: readonly RetriedEvent[]
}

/** What an audit has read: entries and streams that prove where an event is, or how it ended. */
export interface Proof {
  readonly accounts: Accounts
  readonly ledger: LedgerReader
  /** Sequences FEATURES held; those found later are added. */
  readonly stored: SequenceSet
}

/** A leader that has just been elected may answer for a moment without the latest. */
const ROUND_PAUSES_MS = [0, 500, 2_000]
/** More than this are looked up once: no passing disturbance makes so many. */
const MANY = 10_000

/** What neither the ledger nor its stream names: it may have moved while both were read. Pure. */
export function findMissing({ accounts, stored }: Proof, waitingTokens: ReadonlySet<string>): Missing {
  const sequences: number[] = []
  for (const sequence of accounts.settled.absent()) if (!stored.has(sequence)) sequences.push(sequence)
  return {
    sequences,
    retries: [...accounts.retries.values()].filter(({ token }) => !waitingTokens.has(token)),
  }
}

/**
 * Looks for everything that seems to be missing where it could be: in its stream, and then in what the ledger was told meanwhile. In this
 * order, because a worker tells the ledger before an event leaves its stream.
 *
 * @returns those that are nowhere
 */
export async function confirmMissing(
  connection: NatsConnection,
  proof: Proof,
  missing: Missing,
  signal: AbortSignal,
): Promise<Missing> {
  let left = missing
  for (const [round, pauseMs] of ROUND_PAUSES_MS.entries()) {
    if (left.sequences.length + left.retries.length === 0) return left
    await pause(pauseMs, signal)
    const isTooMany = round > 0 && left.sequences.length + left.retries.length > MANY
    const waiting = isTooMany ? new Set<string>() : await lookUp(connection, proof, left)
    await proof.ledger.readOn()
    left = {
      sequences: left.sequences.filter(
        (sequence) => !proof.stored.has(sequence) && !proof.accounts.settled.has(sequence),
      ),
      retries: left.retries.filter(({ token }) => !waiting.has(token) && proof.accounts.retries.has(token)),
    }
  }
  return { ...left, retries: await withoutEnd(connection, left.retries) }
}

/**
 * Whether FEATURES really ends before a sequence it had given out: its sequences were taken back, and are given out again.
 *
 * @returns that sequence, or `undefined` where all is well
 */
export async function confirmReached(
  connection: NatsConnection,
  { epoch, lastSequence }: Pick<StoredFeatures, 'epoch' | 'lastSequence'>,
  reached: number,
  signal: AbortSignal,
): Promise<number | undefined> {
  if (reached <= lastSequence) return undefined
  for (const pauseMs of ROUND_PAUSES_MS) {
    await pause(pauseMs, signal)
    const { created, state } = await neededStream(connection, STREAMS.features)
    if (created !== epoch || state.last_seq >= reached) return undefined
  }
  return reached
}

async function lookUp(connection: NatsConnection, { stored }: Proof, left: Missing): Promise<Set<string>> {
  const found = await thoseThat(left.sequences, (seq) => isStored(connection, STREAMS.features, { seq }))
  for (const sequence of found) stored.add(sequence)
  const waiting = await thoseThat(left.retries, ({ token }) => isRetryWaiting(connection, token))
  return new Set(waiting.map(({ token }) => token))
}

/**
 * A copy can be answered before the worker that scheduled it tells the ledger of the retry: then the end stands before
 * the beginning. The whole ledger is read for such tokens. A replay opens an event again: ends before it do not count.
 */
async function withoutEnd(
  connection: NatsConnection,
  retries: readonly RetriedEvent[],
): Promise<readonly RetriedEvent[]> {
  if (retries.length === 0) return retries
  const open = new Set(retries.map(({ token }) => token))
  const ended = new Set<string>()
  const ledger = createLedgerReader(connection, 1, ({ entries }) => {
    for (const { token, outcome } of entries) {
      if (token === undefined || outcome === 'retried' || !open.has(token)) continue
      if (outcome === 'replayed') ended.delete(token)
      else ended.add(token)
    }
  })
  await ledger.readOn()
  return retries.filter(({ token }) => !ended.has(token))
}
