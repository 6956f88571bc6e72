import type { Evidence, ExpectedEvent, Reach, StoredOutcome } from './evidence.ts'
import type { ProblemName } from './outcome-problem.ts'

/** What is missing of what the ledger tells, or may have expired. */
export type Lack = Extract<ProblemName, 'no-result' | 'no-dead-letter'> | 'expired'

/**
 * From the ledger forth to what is stored: each outcome it tells of one event must lie in the register, and the dead
 * letter of an event that was given up in DEADLETTERS. That another lies there is judged from there. Pure.
 */
export function judgeLedger(evidence: Evidence, reach: Reach): Lack[] {
  const { event } = evidence
  if (event === undefined) return []
  if (!isToldByWorkers(event)) return isOperatorsWordAlone(event, evidence, reach) ? ['no-result'] : []
  const lacks = [resultLack(event, evidence, reach), letterLack(event, evidence, reach)]
  return lacks.filter((lack) => lack !== undefined)
}

function isToldByWorkers({ outcomes }: ExpectedEvent): boolean {
  return outcomes.has('predicted') || outcomes.has('already-answered') || outcomes.has('dead-lettered')
}

/** An operator ends a dead letter that a worker made: an end without that beginning accounts for nothing. */
function isOperatorsWordAlone(
  event: ExpectedEvent,
  { register, letters, isWaiting }: Evidence,
  reach: Reach,
) {
  const { outcomes, ended, since, epoch, isOfFeatures } = event
  const hasTraces = isWaiting || register.length > 0 || letters.length > 0
  if (hasTraces || outcomes.has('retried') || ended === undefined || ended.outcome === 'purged') return false
  return isOfFeatures && reach.knowsEpoch(epoch) && reach.isWhole && since >= reach.results
}

function resultLack(event: ExpectedEvent, { register }: Evidence, reach: Reach): Lack | undefined {
  const stored = register.filter(isOutcome)
  if (stored.length === 0) {
    // An outcome that another delivery stored may be older than the record that found it.
    const isOnlyFound = !event.outcomes.has('predicted') && !event.outcomes.has('dead-lettered')
    const mayBeOlder = isOnlyFound && Number.isFinite(reach.results)
    return event.since < reach.results || mayBeOlder ? 'expired' : 'no-result'
  }
  const gone = event.named.filter(
    ({ outcome, digest }) =>
      outcome !== 'already-answered' && !stored.some((message) => message.digest === digest),
  )
  if (gone.length === 0) return undefined
  return gone.every(({ at }) => at < reach.results) ? 'expired' : 'no-result'
}

function letterLack(event: ExpectedEvent, { register, letters }: Evidence, reach: Reach): Lack | undefined {
  const last = register.findLast(isOutcome)
  const isExpected = last === undefined ? event.outcomes.has('dead-lettered') : last.kind === 'notice'
  const isThere = letters.some(({ isElsewhere }) => !isElsewhere)
  if (!isExpected || event.ended !== undefined || isThere) return undefined
  if (last !== undefined && isCutOff(last, event, reach)) return undefined
  // The record of its end may have expired with that of its notice, where a later one of its event is left.
  if (last !== undefined && last.storedAt < reach.ledger) return 'expired'
  return event.since < reach.letters ? 'expired' : 'no-dead-letter'
}

/**
 * Its worker was killed behind the notice, before the dead letter, and nobody made up for it: its event was removed, and
 * signed for. Who found the notice since, by another event of that id, had not its payload.
 */
function isCutOff({ digest, origin }: StoredOutcome, { named }: ExpectedEvent, reach: Reach): boolean {
  const isTold = named.some((one) => one.outcome === 'dead-lettered' && one.digest === digest)
  return !isTold && origin !== undefined && reach.isSignedFor(origin)
}

function isOutcome({ kind }: StoredOutcome): boolean {
  return kind === 'prediction' || kind === 'notice'
}
