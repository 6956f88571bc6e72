import type { Evidence, Reach } from './evidence.ts'
import { judgeLedger } from './judge-ledger.ts'
import { judgeStored } from './judge-stored.ts'
import type { MessagePlace, OutcomeProblem, ProblemName } from './outcome-problem.ts'

/** What both directions say of one event. */
export interface Judgement {
  readonly problems: readonly OutcomeProblem[]
  /** When messages were stored that are older than the ledger, milliseconds since 1970. */
  readonly unproven: readonly number[]
  /** Whether something that the ledger tells of may have expired. */
  readonly isExpired: boolean
}

/** Another message lies where one is missing: that is one problem. */
const IN_ITS_PLACE: ReadonlySet<string> = new Set(['other-digest', 'other-outcome'])

/** Holds one event's register and dead letters against the ledger, and the ledger against them. Pure. */
export function judge(evidence: Evidence, reach: Reach): Judgement {
  const stored = judgeStored(evidence, reach)
  const lacks = judgeLedger(evidence, reach)
  const isReplaced = stored.some(({ verdict }) => IN_ITS_PLACE.has(verdict))
  const problems: OutcomeProblem[] = []
  for (const lack of lacks)
    if (lack !== 'expired' && !(lack === 'no-result' && isReplaced)) problems.push(named(lack, evidence))
  for (const { verdict, message } of stored)
    if (verdict !== 'unproven') problems.push(named(verdict, evidence, message))
  return {
    problems,
    unproven: stored.filter(({ verdict }) => verdict === 'unproven').map(({ storedAt }) => storedAt),
    isExpired: lacks.includes('expired'),
  }
}

/** By where the ledger names the event first; else by what the messages say of its origin; else by the message. */
function named(
  problem: ProblemName,
  { token, event, register, letters }: Evidence,
  message?: MessagePlace,
): OutcomeProblem {
  const of = [...register, ...letters].find(({ origin }) => origin !== undefined)?.origin
  const { stream, epoch, sequence }: Place = event ?? of ?? { ...message }
  return {
    problem,
    token,
    ...(stream !== undefined && { stream }),
    ...(epoch !== undefined && { epoch }),
    ...(sequence !== undefined && { sequence }),
    ...(message !== undefined && { message }),
  }
}

type Place = Pick<OutcomeProblem, 'stream' | 'epoch' | 'sequence'>
