import { STREAMS } from '../../sdk/contract/topology.ts'
import { countIn, type SequenceRange, type SequenceSet, toRanges } from '../broker/sequence-set.ts'
import type { StepBack } from '../watch-record/marks.ts'
import type { Accounts, ForeignEntries, OutcomeCounts, RetriedEvent } from './accounts.ts'
import type { DeepReport } from './deep.ts'
import type { EarlierSequences } from './earlier.ts'
import type { Missing } from './missing.ts'
import { blindSpot, type GoneFeatures, type Syncs } from './outside.ts'
import type { Start } from './start.ts'
import type { StoredFeatures } from './waiting.ts'

/** What an audit found. Counts are of sequences of FEATURES unless they say otherwise. */
export interface AuditReport {
  /** Nothing is lost, no sequence was given out twice, and with `--deep` nothing contradicts the ledger. */
  readonly clean: boolean
  /** Creation time of FEATURES: its sequences start again with a new one. */
  readonly epoch: string
  /** Last sequence that was accounted for; events stored later are for the next audit. */
  readonly lastSequence: number
  /** Sequences that were looked at: all of them, or those open at the floor and since. */
  readonly sequences: number
  /** The audit this one started from: the signed-off one, or a later one of the control service by itself. */
  readonly floor?: { readonly sequence: number; readonly at: string }
  /** The first outcome of each sequence. */
  readonly outcomes: OutcomeCounts
  /** Further entries of sequences that had an outcome: lost acknowledgements, operators' acts. */
  readonly further: OutcomeCounts
  /** Still in FEATURES, without an outcome. */
  readonly waiting: number
  /** How deliveries from RETRIES ended, and how many retried events still wait. */
  readonly retries: { readonly outcomes: OutcomeCounts; readonly waiting: number }
  /** Every sequence that is nowhere. */
  readonly lost: readonly SequenceRange[]
  /** Retried events whose copy is nowhere. */
  readonly lostRetries: readonly RetriedEvent[]
  /** What waited in a FEATURES that was deleted, by the floor of then, and has no record in the LEDGER. */
  readonly lostEarlier?: EarlierSequences
  /** FEATURES had given out this sequence, and now ends before it: new events get numbers the ledger knows already. */
  readonly wentBackFrom?: number
  /** By the durable marks: sequences that were given out a second time. Nobody knows what had them before. */
  readonly takenBack?: readonly StepBack[]
  /** By the durable marks: a FEATURES of this broker that is gone; not all of what it had taken is known. */
  readonly gone?: readonly GoneFeatures[]
  /** Files of durable marks that cannot be read, and why. */
  readonly damagedMarks?: readonly string[]
  /** What this audit cannot know, for want of durable marks or of a broker that syncs first. Does not make it unclean. */
  readonly cannotKnow?: string
  /** Sequences whose records may have expired with the oldest of the LEDGER: neither proven nor lost. */
  readonly unproven: readonly SequenceRange[]
  readonly ledger: LedgerState
  /** Entries of streams that were deleted and made anew. */
  readonly earlier: readonly ForeignEntries[]
  /** What makes this audit prove less than it could. */
  readonly warnings: readonly string[]
  readonly deep?: DeepReport
  readonly tookMs: number
}

/** How much of the LEDGER there was to read. Counts of records. */
export interface LedgerState {
  /** First sequence of the LEDGER that was read. */
  readonly from: number
  /** First sequence that was not read. */
  readonly next: number
  /** Records that expired before they were read. */
  readonly expired: number
  /** Records that are gone before their time: removed by other means than Pelton. */
  readonly removed: number
  readonly unreadable: number
}

/** What {@link makeReport} makes a report of. */
export interface Findings {
  readonly accounts: Accounts
  readonly start: Start
  readonly ledger: LedgerState
  readonly features: StoredFeatures
  readonly stored: SequenceSet
  readonly nowhere: Missing
  /** A sequence beyond the end of FEATURES that it had given out. */
  readonly reached: number | undefined
  /** What is open of an earlier FEATURES. */
  readonly earlier: EarlierSequences | undefined
  readonly deep: DeepReport | undefined
  readonly syncs: Syncs
  /** Broker time, milliseconds since 1970. */
  readonly now: number
}

/** @param tookMs how long the audit took, milliseconds */
export function makeReport(findings: Findings, tookMs: number): AuditReport {
  const { accounts, start, ledger, features, stored, nowhere, reached, deep } = findings
  const horizon = ledger.expired > 0 ? accounts.horizon : 0
  const lost = toRanges(nowhere.sequences.filter((sequence) => sequence > horizon))
  const { floor, outside } = start
  const forgotten = forgottenBy(findings)
  const found = {
    lost,
    lostRetries: nowhere.retries,
    ...(findings.earlier?.sequences.length && { lostEarlier: findings.earlier }),
    ...(reached !== undefined && { wentBackFrom: reached }),
    ...(deep !== undefined && { deep }),
  }
  return {
    clean: !isWrong(found) && !isForgotten(forgotten) && outside.files.damaged.length === 0,
    epoch: features.epoch,
    lastSequence: features.lastSequence,
    sequences: features.lastSequence - (floor?.sequence ?? 0) + countIn(floor?.waiting ?? []),
    ...(floor !== undefined && { floor: { sequence: floor.sequence, at: floor.at } }),
    outcomes: accounts.outcomes,
    further: accounts.further,
    waiting: countWaiting(accounts, stored),
    retries: {
      outcomes: accounts.retryOutcomes,
      waiting: accounts.retries.size + accounts.youngRetries.size - nowhere.retries.length,
    },
    ...found,
    ...forgotten,
    unproven: toRanges(nowhere.sequences.filter((sequence) => sequence <= horizon)),
    ledger,
    earlier: accounts.foreign,
    warnings: warningsOf(findings),
    tookMs: Math.round(tookMs),
  }
}

type Wrong = Pick<AuditReport, 'lost' | 'lostRetries' | 'lostEarlier' | 'deep' | 'wentBackFrom'>

/** Whether something is wrong that can be named. */
function isWrong(found: Wrong): boolean {
  const { deep, wentBackFrom } = found
  return countLost(found) + (deep?.problems.length ?? 0) > 0 || wentBackFrom !== undefined
}

type Forgotten = Pick<AuditReport, 'takenBack' | 'gone' | 'damagedMarks' | 'cannotKnow'>

/** What the broker forgot, or may have. */
function forgottenBy({ start: { outside }, syncs, now }: Findings): Forgotten {
  const { takenBack, gone, files } = outside
  const cannotKnow = blindSpot(outside, outside.marks, syncs, now)
  return {
    ...(takenBack.length > 0 && { takenBack }),
    ...(gone.length > 0 && { gone }),
    ...(files.damaged.length > 0 && { damagedMarks: files.damaged }),
    ...(cannotKnow !== undefined && { cannotKnow }),
  }
}

function isForgotten({ takenBack, gone }: Forgotten): boolean {
  return takenBack !== undefined || gone !== undefined
}

/** Sequences that were taken back and given out again, and one for each FEATURES that is gone: how many it had is not known. */
export function countForgotten({ takenBack = [], gone = [] }: Forgotten): number {
  return takenBack.reduce((sum, { from, to }) => sum + from - to, gone.length)
}

/** Whether an operator may sign it off: a broker that forgot has no numbers to sign for, so the floor is the signature. */
export function isSignable(report: AuditReport): boolean {
  return report.clean || (!isWrong(report) && report.damagedMarks === undefined)
}

/** Events without an outcome, wherever they were lost. */
export function countLost({
  lost,
  lostRetries,
  lostEarlier,
}: Pick<AuditReport, 'lost' | 'lostRetries' | 'lostEarlier'>): number {
  return countIn(lost) + lostRetries.length + countIn(lostEarlier?.sequences ?? [])
}

function countWaiting({ settled }: Accounts, stored: SequenceSet): number {
  let count = 0
  for (const sequence of settled.absent()) if (stored.has(sequence)) count++
  return count
}

function warningsOf({ features, ledger, start }: Findings): string[] {
  const warnings = [...start.warnings, ...start.outside.files.damaged.map(damageWarning)]
  if (features.dropsBecause !== undefined)
    warnings.push(`${STREAMS.features} drops events nobody answered: ${features.dropsBecause}`)
  if (ledger.removed > 0)
    warnings.push(`${ledger.removed} records were removed from the LEDGER: what they named looks lost`)
  if (ledger.unreadable > 0) warnings.push(`${ledger.unreadable} messages in the LEDGER are no records`)
  return warnings
}

function damageWarning(what: string): string {
  return `Durable marks cannot be read, so what the broker may have forgotten is not known: ${what}. See docs/audit.md.`
}
