import type { NatsConnection } from '@nats-io/transport-node'
import { STREAMS } from '../../sdk/contract/topology.ts'
import type { StreamInfo } from '../../sdk/jetstream/api.ts'
import { SequenceSet, toRanges } from '../broker/sequence-set.ts'
import { neededStream, storedSet } from '../broker/stored-sequences.ts'
import { createLedgerReader } from '../records/ledger-reader.ts'
import { Accounts } from './accounts.ts'
import { checkOutcomes } from './deep.ts'
import { EarlierFeatures } from './earlier.ts'
import { collectExpectations } from './expectations.ts'
import type { Floor } from './floor.ts'
import { confirmMissing, confirmReached, findMissing, type Proof } from './missing.ts'
import { askSyncs, type Outside } from './outside.ts'
import { type AuditReport, type Findings, isSignable, makeReport } from './report.ts'
import { type Found, type Known, readKnown, type Start, startFrom } from './start.ts'
import { readFeatures, readWaitingTokens } from './waiting.ts'

/** How far an audit goes back, and how much it reads. */
export interface AuditOptions {
  /** Starts from the first event instead of from the signed-off floor. @default false */
  readonly full?: boolean
  /** What an earlier audit left open: where it is later than the signed-off floor, this one starts from it. */
  readonly since?: Floor
  /** Reads results and dead letters themselves. @default false */
  readonly deep?: boolean
  /** Where it learns what the broker may have forgotten. @default nowhere: the report says so */
  readonly outside?: Outside
  /** Shortens the pauses before an alarm. */
  readonly signal: AbortSignal
  /** Told what is being done, for people. */
  readonly progress?: (text: string) => void
  /** Removed sequences the broker is asked to list at most; beyond, single sequences are looked up. */
  readonly maxRemoved?: number
}

/** What an audit found, and what can be signed off. */
export interface Audited {
  readonly report: AuditReport
  /** What can be signed off; undefined where something is lost or contradicts the ledger. */
  readonly floor: Floor | undefined
  /** Revision of the floor it would replace. */
  readonly revision: number
}

/**
 * Accounts for every event FEATURES ever took: each is still stored, or the ledger says how it ended. Works while
 * producers and workers go on, because of the order in which it reads: what is known, the end of the ledger, what
 * waits, and then the ledger to its new end. What was known at the first end must be discharged by the second.
 *
 * @throws PeltonError `not-provisioned`, `broker-unavailable`
 */
export async function audit(connection: NatsConnection, options: AuditOptions): Promise<Audited> {
  const startedAt = performance.now()
  const { progress = () => undefined, signal, deep = false, full = false, outside = {} } = options
  const asked = askSyncs(connection, outside) // a broker that does not tell costs time
  const known = await readKnown(connection, outside)
  progress('reading what waits')
  const then = await readWaiting(connection, options)
  const { features } = then
  const start = startFrom(known, foundIn(then), { isFull: full, since: options.since })
  const accounts = openAccounts(start, then)
  const { first, last } = accounts.settled
  const earlier = openEarlier(start, known, then)
  const expectations = deep ? collectExpectations(features.epoch) : undefined
  const from = start.floor?.ledger.next ?? 1
  const ledger = createLedgerReader(connection, from, (record, position, storedAt) => {
    accounts.enter(record, position, storedAt)
    earlier?.enter(record)
    expectations?.enter(record, storedAt)
  })
  progress('reading the ledger')
  await ledger.readOn()

  const stored = storedSet(features, first) ?? new SequenceSet(first, last)
  const proof: Proof = { accounts, ledger, stored }
  const nowhere = await confirmMissing(connection, proof, findMissing(proof, then.waitingTokens), signal)
  const mostGiven = Math.max(start.reached, accounts.highest)
  const reached = await confirmReached(connection, features, mostGiven, signal)
  const signedAt = start.signed === undefined ? Number.NEGATIVE_INFINITY : Date.parse(start.signed.at)
  const { ledgerThen } = then
  const { firstRecordAt } = accounts
  const deepDeps = { ledger, ledgerThen, firstRecordAt, signedAt, progress, signal }
  const checked = expectations && (await checkOutcomes(connection, { ...deepDeps, expectations }))
  const ledgerNow = await neededStream(connection, STREAMS.ledger)
  const state = { from, next: ledger.next, unreadable: ledger.unreadable, ...gapsOf(ledgerNow, from) }
  const findings = {
    ...{ accounts, start, features, stored, nowhere, reached, ledger: state },
    ...{ earlier: earlier?.open, deep: checked, syncs: await asked, now: Date.parse(ledgerNow.ts) },
  }
  const report = makeReport(findings, performance.now() - startedAt)
  const floor = isSignable(report) ? nextFloor(findings, ledgerNow) : undefined
  return { report, floor, revision: known.revision }
}

/** The end of the ledger first, then what waits: an event that is gone by then is in the ledger beyond that end. */
async function readWaiting(connection: NatsConnection, { maxRemoved }: AuditOptions) {
  const ledgerThen = await neededStream(connection, STREAMS.ledger)
  const features = await readFeatures(connection, maxRemoved)
  const { created: retriesEpoch } = await neededStream(connection, STREAMS.retries)
  const waitingTokens = await readWaitingTokens(connection)
  return { ledgerThen, features, retriesEpoch, waitingTokens }
}

type Then = Awaited<ReturnType<typeof readWaiting>>

function foundIn({ features, retriesEpoch, ledgerThen: { created, state } }: Then): Found {
  const ledger = { epoch: created, firstSequence: state.first_seq, lastSequence: state.last_seq }
  const madeAfter = { [STREAMS.retries]: retriesEpoch, [STREAMS.ledger]: created }
  return { features, ledger, madeAfter }
}

/** What was known of a FEATURES that is gone counts until a floor of today's is signed off. */
function openEarlier(
  start: Start,
  known: Known,
  { features, ledgerThen }: Then,
): EarlierFeatures | undefined {
  if (start.signed !== undefined || start.floor !== undefined) return undefined
  const isWhole = start.earlier !== undefined || ledgerThen.state.first_seq <= 1
  const { epoch = '', marks = [] } = known.features ?? {}
  const ofWatch = marks.map(([, sequence]) => ({ epoch, sequence }))
  const seen = [...ofWatch, ...start.outside.gone]
  return new EarlierFeatures(features.epoch, { floor: start.earlier, seen }, isWhole)
}

function openAccounts({ openThen, marks }: Start, { features, ledgerThen, retriesEpoch }: Then): Accounts {
  return new Accounts({
    epochs: new Map([
      [STREAMS.features, features.epoch],
      [STREAMS.retries, retriesEpoch],
    ]),
    lastSequence: features.lastSequence,
    obligedUntil: ledgerThen.state.last_seq,
    openThen,
    marks,
  })
}

/** Records that were there and are gone: expired as they shall, or removed by other means. */
function gapsOf({ config, state, created, ts }: StreamInfo, from: number) {
  const maxAgeMs = Number(config.max_age ?? 0) / 1e6
  const hasOldEnough = maxAgeMs > 0 && Date.parse(ts) - Date.parse(created) > maxAgeMs
  const drops = config.discard !== 'new' // one that refuses at its limit loses nothing to it
  const hasLimit = drops && (Number(config.max_msgs ?? -1) > 0 || Number(config.max_bytes ?? -1) > 0)
  const cut = Math.max(0, state.first_seq - from)
  const holes = state.messages === 0 ? 0 : state.last_seq - state.first_seq + 1 - state.messages
  const isExpiry = hasOldEnough || hasLimit
  return { expired: isExpiry ? cut : 0, removed: holes + (isExpiry ? 0 : cut) }
}

/** What is open now: still stored without an outcome, or waiting for a retry. */
function nextFloor({ accounts, features, ledger, stored }: Findings, info: StreamInfo): Floor {
  const waiting = function* (): Generator<number> {
    for (const sequence of accounts.settled.absent()) if (stored.has(sequence)) yield sequence
  }
  return {
    epoch: features.epoch,
    sequence: features.lastSequence,
    ledger: { epoch: info.created, next: ledger.next },
    at: info.ts,
    waiting: toRanges(waiting()),
    retries: [...accounts.retries.values(), ...accounts.youngRetries.values()],
  }
}
