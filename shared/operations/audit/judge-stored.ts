import { STREAMS } from '../../sdk/contract/topology.ts'
import type { Evidence, ExpectedEvent, OutcomeKind, Reach, StoredLetter, StoredOutcome } from './evidence.ts'
import type { MessagePlace, ProblemName } from './outcome-problem.ts'

/** What is said of one stored message: nothing where the ledger explains it. */
export interface Verdict {
  readonly verdict: ProblemName | 'unproven'
  readonly message: MessagePlace
  /** Milliseconds since 1970. */
  readonly storedAt: number
}

/**
 * From what is stored back to the ledger: each message of a register, and each dead letter, must be one the ledger
 * explains. Pure. A new problem of stored messages begins in {@link outcomeVerdict} or {@link letterVerdict}.
 */
export function judgeStored(evidence: Evidence, reach: Reach): Verdict[] {
  const verdicts: Verdict[] = []
  const add = (
    stream: string,
    { sequence, storedAt }: StoredOutcome | StoredLetter,
    verdict: Verdict['verdict'] | undefined,
  ): void => {
    if (verdict !== undefined) verdicts.push({ verdict, message: { stream, sequence }, storedAt })
  }
  const sound: StoredOutcome[] = []
  for (const [index, outcome] of evidence.register.entries()) {
    const verdict = outcomeVerdict(outcome, index, evidence, reach)
    if (verdict === undefined) sound.push(outcome)
    add(STREAMS.results, outcome, verdict)
  }
  // A dead letter is held against what is sound of its register: one forgery is one problem.
  for (const letter of evidence.letters)
    add(STREAMS.deadLetters, letter, letterVerdict(letter, { ...evidence, register: sound }, reach))
  return verdicts
}

function outcomeVerdict(
  outcome: StoredOutcome,
  index: number,
  evidence: Evidence,
  reach: Reach,
): Verdict['verdict'] | undefined {
  const earlier = evidence.register.slice(0, index)
  if (earlier.some(({ kind }) => kind === 'prediction')) return 'answered-twice'
  if (outcome.kind === 'unreadable') return 'unreadable-outcome'
  if (outcome.kind === 'newer') return 'unproven'
  if (isExplained(outcome, earlier, evidence, reach)) return retryVerdict(outcome, evidence, reach)
  if (isUnderWay(outcome, evidence) || isRemoved(outcome, reach)) return undefined
  if (isReplaced(outcome, index, evidence)) return undefined
  // Its own record may have expired where a later one of its event is left.
  if (outcome.storedAt < reach.ledger && plainOf(outcome, reach) === undefined) return 'unproven'
  const kinds = kindsInLedger(outcome, evidence, reach)
  if (outcome.kind === 'notice' && earlier.some(({ kind }) => kind === 'notice')) return 'noticed-twice'
  if (kinds.has(outcome.kind)) return outcome.isSecond ? 'foreign' : 'other-digest'
  return kinds.size > 0 ? 'other-outcome' : 'foreign'
}

/** Whether the ledger tells of this very message. */
function isExplained(
  outcome: StoredOutcome,
  earlier: readonly StoredOutcome[],
  { event }: Evidence,
  reach: Reach,
): boolean {
  // What a record names once lies there once.
  if (earlier.some(({ digest }) => digest === outcome.digest)) return false
  const plain = outcome.kind === 'prediction' ? plainOf(outcome, reach) : undefined
  if (plain !== undefined)
    return !outcome.isSecond && (plain.digests.length === 0 || plain.digests.includes(outcome.digest))
  return event !== undefined && isNamed(outcome, earlier.at(-1), event)
}

/**
 * Whether records of its token name it. What a worker only read there (`already-answered`) must stand where its writer
 * wanted it: so it is the outcome of a worker that ended before it could tell the ledger, and not one that was put there.
 */
function isNamed(outcome: StoredOutcome, before: StoredOutcome | undefined, event: ExpectedEvent): boolean {
  const named = event.named.filter(({ digest }) => digest === outcome.digest)
  if (named.some((one) => one.outcome !== 'already-answered')) return true
  const isInPlace = before === undefined || outcome.follows === before.sequence
  if (named.length > 0) return isInPlace && outcome.follows !== undefined
  return event.isWithoutDigest && isInPlace && kindsOf(event).has(outcome.kind)
}

/** What came of a retry is the end of an event of FEATURES, and answers a payload that was retried, or an edit of it. */
function retryVerdict(
  { digest, inputs, origin }: StoredOutcome,
  { event, isWaiting, hold }: Evidence,
  { isWhole, isSignedFor }: Reach,
): Verdict['verdict'] | undefined {
  // What a copy only found there can be of another payload with its id.
  const isOfRetry = event?.named.some(
    (one) => one.isOfRetry && one.outcome !== 'already-answered' && one.digest === digest,
  )
  if (event === undefined || isOfRetry !== true) return undefined
  if (!event.isOfFeatures) {
    const isExcused = isWaiting || hold !== undefined || (origin !== undefined && isSignedFor(origin))
    return isWhole && !isExcused ? 'foreign' : undefined
  }
  const isRetried = event.retried.length === 0 || inputs.some((input) => event.retried.includes(input))
  return isRetried ? undefined : 'other-digest'
}

/** Its worker stores an outcome before it tells the ledger: meanwhile its event, or its replay's copy, waits. */
function isUnderWay({ follows }: StoredOutcome, { isWaiting, hold }: Evidence): boolean {
  if (follows === undefined) return false
  return isWaiting || (hold !== undefined && (hold.supersedes === follows || follows === 0))
}

/**
 * A notice whose worker was killed before it told the ledger, and that a replay has replaced meanwhile, by a prediction or by
 * its own notice: the next delivery of its event found what replaced it, so that nobody ever tells of the notice. Only for a
 * replay do workers store anything behind a notice. One that was told, and edited since, is missing from the register. One
 * that was put before an answer has neither a replay nor that delivery.
 */
function isReplaced(
  { kind, sequence }: StoredOutcome,
  index: number,
  { register, event, hold }: Evidence,
): boolean {
  const next = register[index + 1]
  if (kind !== 'notice' || next?.follows !== sequence || event === undefined) return false
  const ofNext = event.named.filter(({ digest }) => digest === next.digest)
  const isFound = ofNext.some(({ outcome }) => outcome === 'already-answered')
  if (!isFound && hold === undefined && !event.outcomes.has('replayed')) return false
  const isThere = (told: number): boolean => register.some(({ digest }) => digest === told)
  const told = event.named.filter(({ outcome }) => outcome !== 'already-answered')
  return ofNext.length > 0 && told.every(({ digest }) => isThere(digest))
}

/** Its event was removed before its worker, or the next, told the ledger. */
function isRemoved({ follows, origin }: StoredOutcome, reach: Reach): boolean {
  return follows !== undefined && origin !== undefined && reach.isSignedFor(origin)
}

/** Which outcomes the ledger tells of the event. */
function kindsInLedger(outcome: StoredOutcome, { event }: Evidence, reach: Reach): ReadonlySet<OutcomeKind> {
  const kinds = new Set(event === undefined ? [] : kindsOf(event))
  if (plainOf(outcome, reach) !== undefined) kinds.add('prediction')
  return kinds
}

function kindsOf({ outcomes }: ExpectedEvent): ReadonlySet<OutcomeKind> {
  const kinds = new Set<OutcomeKind>()
  if (outcomes.has('predicted') || outcomes.has('already-answered')) kinds.add('prediction')
  if (outcomes.has('dead-lettered') || outcomes.has('already-answered')) kinds.add('notice')
  return kinds
}

function plainOf({ origin }: StoredOutcome, reach: Reach) {
  return origin?.stream === STREAMS.features ? reach.plain(origin) : undefined
}

function letterVerdict(
  letter: StoredLetter,
  evidence: Evidence,
  reach: Reach,
): Verdict['verdict'] | undefined {
  if (letter.isElsewhere) return 'foreign'
  const { event, register } = evidence
  const isPredicted = register.at(-1)?.kind === 'prediction'
  const knows = knowsLetter(letter, evidence)
  if (knows !== 'yes') {
    if (isLetterUnderWay(evidence) && !isLetterTold(evidence)) return undefined
    if (knows === 'no' && isAccountedFor(letter, evidence, reach)) return undefined
    if (knows === 'another') return isImportedSince(letter, evidence, reach) ? 'unproven' : 'other-digest'
    if (isOlderThanLedger(letter, reach)) return 'unproven'
    return isPredicted ? 'both' : 'foreign'
  }
  if (isOfOtherFailure(letter, evidence)) return 'other-digest'
  // It came back after an operator had ended it. What was discarded may be imported again; nothing else.
  const isBack = event?.ended !== undefined && letter.storedAt > event.ended.at
  if (isBack && event.ended.outcome === 'purged') return 'foreign'
  if (!isPredicted) return undefined
  if (isBack && event.ended.outcome === 'replayed') return 'both'
  return isSuperseded(letter, evidence, reach) ? undefined : 'both'
}

function knowsLetter(letter: StoredLetter, evidence: Evidence): 'yes' | 'another' | 'no' {
  const { event, register } = evidence
  if (event === undefined) return 'no'
  // Who gave the event up wrote the dead letter; who found it since may have read another.
  const writtenAs = lettersOfLast(evidence)
  if (writtenAs.length > 0 && !writtenAs.includes(letter.digest) && event.letters.includes(letter.digest))
    return isEarlierLetter(letter, evidence) ? 'yes' : 'another'
  if (event.letters.includes(letter.digest)) return 'yes'
  const { outcomes, letters, named } = event
  const last = register.at(-1)
  // Made up for by a delivery that found the notice alone: the ledger need not have its digest.
  const isMadeUpFor = !named.some((one) => one.outcome === 'dead-lettered' && one.digest === last?.digest)
  const tellsOfOne = outcomes.has('dead-lettered') || outcomes.has('already-answered')
  if (tellsOfOne && event.isWithoutLetterDigest && (letters.length === 0 || isMadeUpFor)) return 'yes'
  return letters.length > 0 ? 'another' : 'no'
}

/** The dead letters of the last notice, by the records of those who wrote both. */
function lettersOfLast({ event, register }: Evidence): number[] {
  const last = register.at(-1)
  return (event?.named ?? []).flatMap(({ outcome, digest, letter }) =>
    outcome === 'dead-lettered' && digest === last?.digest && letter !== undefined ? [letter] : [],
  )
}

/** Whether it is of a failure before the last notice: that is judged by its time. */
function isEarlierLetter({ failedAt }: StoredLetter, { register }: Evidence): boolean {
  return failedAt !== register.at(-1)?.madeAt
}

/** A notice and its dead letter carry the same time: an older one does not stand for a later failure. */
function isOfOtherFailure({ failedAt }: StoredLetter, evidence: Evidence): boolean {
  const last = evidence.register.at(-1)
  if (last?.kind !== 'notice' || evidence.event?.ended !== undefined || isLetterUnderWay(evidence))
    return false
  return failedAt !== last.madeAt
}

/** Its notice is stored before it, and the ledger told after it. */
function isLetterUnderWay(evidence: Evidence): boolean {
  const last = evidence.register.at(-1)
  return last?.kind === 'notice' && isUnderWay(last, evidence)
}

/**
 * Its worker was killed before it could tell the ledger, and nobody will: its event was removed, and signed for; or a
 * replay has the dead letter in its hands already, and the answer of its copy stands behind the notice.
 */
function isAccountedFor(
  { origin, sequence }: StoredLetter,
  { hold, register }: Evidence,
  reach: Reach,
): boolean {
  if (origin !== undefined && reach.isSignedFor(origin)) return true
  return hold?.letter === sequence && register.some(({ kind }) => kind === 'notice')
}

/** Whether the worker that stored the notice told the ledger of it, and of its dead letter, before the event waited again. */
function isLetterTold({ event, register }: Evidence): boolean {
  const last = register.at(-1)
  const isGivenUp = event?.named.some((one) => one.outcome === 'dead-lettered' && one.digest === last?.digest)
  return isGivenUp === true && event?.isWithoutLetterDigest === false
}

/** Of another broker, or of a time before the ledger: an archive can bring both. */
function isOlderThanLedger(letter: StoredLetter, reach: Reach): boolean {
  return isOfAnother(letter, reach) || letter.storedAt < reach.ledger || letter.failedAt < reach.ledger
}

/** Another broker's failure of the same token, brought by an archive after an operator had ended the dead letter of here. */
function isImportedSince(letter: StoredLetter, { event }: Evidence, reach: Reach): boolean {
  const isBack = event?.ended !== undefined && letter.storedAt > event.ended.at
  return isBack && isOfAnother(letter, reach)
}

function isOfAnother({ origin }: StoredLetter, reach: Reach): boolean {
  return origin !== undefined && !reach.knowsEpoch(origin.epoch)
}

/** The prediction took the place of the notice of this dead letter, as a replay's does; or that notice has expired. */
function isSuperseded(letter: StoredLetter, { register, hold }: Evidence, reach: Reach): boolean {
  const hasNotice = register.some(({ kind }) => kind === 'notice')
  return hasNotice || hold?.letter === letter.sequence || letter.failedAt < reach.results
}
