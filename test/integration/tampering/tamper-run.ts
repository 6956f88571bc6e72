import type { AuditReport } from '../../../shared/operations/audit/report.ts'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { type Evidence, namesOf, readEvidence, tellOf } from './evidence.ts'
import { type HistoryStage, tokenOf } from './history-stage.ts'
import type { Stored } from './stored.ts'
import type { Excuse, Free, Owed, Tamper } from './tamper.ts'

/** A state an audit was asked about, and what it said. */
export interface Tried {
  readonly tamper: Tamper
  /** `missed`: it owed more than it said. An excuse stands where it need not, and did not, say anything. */
  readonly verdict: 'found' | 'missed' | Excuse
  /** For people: what was owed, and what was said. */
  readonly detail: string
}

/**
 * Tampers with a history, once after the other, each time with events nobody has touched, and asks the audit each time.
 *
 * @param tampers in the order they are tried; one that finds nothing to be done to is passed over
 * @param atMost so many
 */
export async function tamperWith(
  stage: HistoryStage,
  tampers: readonly Tamper[],
  atMost: number,
): Promise<Tried[]> {
  const tried: Tried[] = []
  const used = new Set<string>()
  const free = createFree(stage, used)
  let before = await stage.look()
  for (const tamper of tampers) {
    if (tried.length >= atMost) break
    // Who is named already cannot show that a tamper was found.
    for (const name of namesIn(before)) used.add(name)
    const owed = await tamper.act(stage, await readEvidence(stage), free)
    if (owed === undefined) continue
    const after = await stage.look()
    const judged = judge(owed, before, after)
    const [token] = 'found' in owed && judged.verdict === 'missed' ? owed.found.flat() : []
    const there = token === undefined ? '' : `\n${await tellOf(stage, token)}`
    tried.push({ tamper, ...judged, detail: `${judged.detail}${there}` })
    before = after
  }
  return tried
}

function judge(owed: Owed, before: AuditReport, after: AuditReport): Omit<Tried, 'tamper'> {
  const known = namesIn(before)
  const named = namesIn(after)
  const fresh = [...named].filter((name) => !known.has(name))
  const detail = `owed ${JSON.stringify(owed)}, clean ${after.clean}, new: ${fresh.join(' ')}`
  if ('found' in owed) {
    const isFound = owed.found.every((names) => names.some((name) => fresh.includes(name)))
    return { verdict: isFound && !after.clean ? 'found' : 'missed', detail }
  }
  if ('records' in owed) {
    const isFound =
      after.ledger.removed > before.ledger.removed && owed.records.every((name) => named.has(name))
    return { verdict: isFound ? 'found' : 'missed', detail }
  }
  return { verdict: fresh.length > 0 ? 'found' : owed.excused, detail }
}

/** Every event a report calls lost or contradictory: by its token, and by its sequence of FEATURES. */
function namesIn({ lost, lostRetries, deep, epoch }: AuditReport): Set<string> {
  const names = new Set<string>()
  for (const [first, last] of lost) for (let at = first; at <= last; at++) names.add(`#${at}`)
  for (const { token } of lostRetries) names.add(token)
  for (const problem of deep?.problems ?? []) {
    if (problem.token !== undefined) names.add(problem.token)
    const isOfToday = problem.epoch === undefined || problem.epoch === epoch
    const isInFeatures = problem.stream === undefined || problem.stream === STREAMS.features
    if (problem.sequence !== undefined && isInFeatures)
      names.add(isOfToday ? `#${problem.sequence}` : `${problem.epoch}#${problem.sequence}`)
  }
  return names
}

/** @param used names of events that are not to be touched; those that are taken are added */
function createFree(stage: HistoryStage, used: Set<string>): Free {
  const take = (stored: readonly Stored[], evidence: Evidence): Stored | undefined => {
    const left = stored.filter((one) => !marksOf(evidence, one).some((name) => used.has(name)))
    const victim = left.length === 0 ? undefined : stage.pick(left)
    for (const name of victim === undefined ? [] : marksOf(evidence, victim)) used.add(name)
    return victim
  }
  return {
    one: take,
    two(stored, evidence) {
      const one = take(stored, evidence)
      const other = one && take(stored, evidence)
      return one === undefined || other === undefined ? undefined : [one, other]
    },
  }
}

/** What a victim is remembered by: the same event is not touched in another stream. */
function marksOf(evidence: Evidence, stored: Stored): string[] {
  const { stream, sequence, headers } = stored
  if (stream === STREAMS.ledger) return [`record ${sequence}`]
  if (stream !== STREAMS.features) return namesOf(evidence, stored)
  const id = headers.get(HEADERS.id)
  return [`#${sequence}`, ...(id === undefined ? [] : [tokenOf(id)])]
}
