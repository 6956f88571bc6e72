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
  /**
   * Every event is accounted for: nothing is lost, no sequence was given out twice, with `--deep` nothing contradicts the
   * ledger, and nothing is beyond proof that nobody has signed for.
   */
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
  /** Why it is not every event that is accounted for, though nothing is lost: until a floor is signed off. */
  readonly doubts: readonly string[]
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
  const { floor } = start
  const forgotten = forgottenBy(findings)
  const found = {
    lost,
    lostRetries: nowhere.retries,
    ...(findings.earlier?.sequences.length && { lostEarlier: findings.earlier }),
    ...(reached !== undefined && { wentBackFrom: reached }),
    ...(deep !== undefined && { deep }),
  }
  const unproven = toRanges(nowhere.sequences.filter((sequence) => sequence <= horizon))
  const doubts = doubtsOf(findings, unproven)
  return {
    clean: isSignable({ ...found, ...forgotten }) && !isForgotten(forgotten) && doubts.length === 0,
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
    unproven,
    ledger,
    earlier: accounts.foreign,
    doubts,
    warnings: [...warningsOf(findings), ...doubts],
    tookMs: Math.round(tookMs),
  }
}

type Wrong = Pick<
  AuditReport,
  'lost' | 'lostRetries' | 'lostEarlier' | 'wentBackFrom' | 'deep' | 'damagedMarks'
>

/**
 * Whether a floor can be signed off: nothing was found that is wrong. What is beyond proof, or forgotten by the broker, has
 * no numbers: the floor is the signature for it.
 */
export function isSignable(found: Wrong): boolean {
  const { deep, wentBackFrom, damagedMarks } = found
  const wrong = countLost(found) + (deep?.problems.length ?? 0)
  return wrong === 0 && wentBackFrom === undefined && damagedMarks === undefined
}

/** What no audit can prove any more, and no floor has signed for. */
function doubtsOf({ accounts, start, deep }: Findings, unproven: readonly SequenceRange[]): string[] {
  const { signed, remade } = start
  const doubts: string[] = []
  if (remade !== undefined)
    doubts.push(`FEATURES was deleted and made anew (${remade}): what it still held is not known`)
  else if (signed === undefined && accounts.foreign.some(isOtherFeatures))
    doubts.push(
      'FEATURES was deleted and made anew (the LEDGER tells of another): what it still held is not known',
    )
  const open = unproven.flatMap(([first, last]): SequenceRange[] => {
    const from = Math.max(first, (signed?.sequence ?? 0) + 1)
    return from > last ? [] : [[from, last]]
  })
  if (open.length > 0)
    doubts.push(`${countIn(open)} sequences cannot be proven: their records may have expired from the LEDGER`)
  if (deep !== undefined && deep.unproven > 0)
    doubts.push(`${deep.unproven} results or dead letters cannot be proven: they are older than the LEDGER`)
  return doubts
}

function isOtherFeatures({ stream, byWorkers }: ForeignEntries): boolean {
  return stream === STREAMS.features && byWorkers > 0
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
