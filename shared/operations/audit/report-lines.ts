import { alignColumns } from '../../runtime/columns.ts'
import { showCount, showDuration } from '../../runtime/quantities.ts'
import type { LedgerOutcome } from '../../sdk/contract/ledger.ts'
import { countIn, showRanges } from '../broker/sequence-set.ts'
import type { ForeignEntries, OutcomeCounts } from './accounts.ts'
import type { DeepReport } from './deep.ts'
import { problemLines } from './outcome-problem.ts'
import { type AuditReport, countLost } from './report.ts'

/** One line of a report, and how loud it is. */
export interface ReportLine {
  readonly level: 'plain' | 'good' | 'warn' | 'bad'
  readonly text: string
}

const OUTCOME_TEXTS: Readonly<Record<LedgerOutcome, string>> = {
  predicted: 'predicted',
  'already-answered': 'already answered: published again, or handed out again after their outcome',
  'dead-lettered': 'dead-lettered',
  retried: 'retried, followed up below',
  discarded: 'discarded by an operator',
  replayed: 'replayed by an operator',
  purged: 'purged by an operator',
}

/** A report for people: the verdict first, then the counts, then what needs attention. */
export function reportLines(report: AuditReport): ReportLine[] {
  return [
    verdict(report),
    ...plain(alignColumns(countRows(report)).map((line) => `  ${line}`)),
    ...lossLines(report),
    ...(report.deep === undefined ? [] : deepLines(report.deep)),
    ...report.warnings.map((text) => ({ level: 'warn', text }) as const),
    ...report.earlier.map((entries) => earlierLine(entries, report.doubts.length > 0)),
  ]
}

/** An operator's act may name an event of any age; that workers settled for it says that there was another stream. */
function earlierLine({ stream, epoch, entries, byWorkers }: ForeignEntries, isInDoubt: boolean): ReportLine {
  const text = `${showCount(entries)} entries of another ${stream}, created ${epoch}`
  if (byWorkers === 0 || !isInDoubt) return { level: 'plain', text: `${text}: not part of this audit` }
  return { level: 'warn', text: `${text}: it was deleted and made anew, and what it still held is not known` }
}

function verdict(report: AuditReport): ReportLine {
  const { clean, sequences, lastSequence, floor, tookMs, deep } = report
  const since = floor === undefined ? '' : `, from the floor ${showCount(floor.sequence)} of ${floor.at}`
  const span = `${showCount(sequences)} events up to sequence ${showCount(lastSequence)}${since}`
  const took = `(${showDuration(tookMs)})`
  if (clean) return { level: 'good', text: `Every event is accounted for: ${span} ${took}` }
  const count = countLost(report)
  const problems = deep?.problems.length ?? 0
  const counted = problems > 0 ? `${showCount(problems)} contradictions` : forgotten(report)
  const what = count > 0 ? `${showCount(count)} without an outcome` : counted
  return { level: 'bad', text: `${what}: ${span} ${took}` }
}

function forgotten({ wentBackFrom, takenBack, gone, damagedMarks }: AuditReport): string {
  if (wentBackFrom !== undefined || takenBack !== undefined) return 'FEATURES went back'
  if (gone !== undefined) return 'FEATURES was made anew'
  return damagedMarks === undefined ? 'Not every event can be proven' : 'Durable marks cannot be read'
}

function countRows({ outcomes, further, waiting, retries }: AuditReport): string[][] {
  const rows: string[][] = []
  const add = (count: number, text: string): void => {
    if (count > 0) rows.push([showCount(count).padStart(9), text])
  }
  for (const [outcome, text] of Object.entries(OUTCOME_TEXTS)) add(outcomes[outcome as LedgerOutcome], text)
  add(waiting, 'waiting in FEATURES')
  add(retries.waiting, 'waiting for a retry')
  const { retried, ...ended } = retries.outcomes
  add(sum(ended), 'retried events came to their end')
  add(retried, 'retries were followed by another')
  const { discarded, replayed, purged, ...again } = further
  add(sum(again), 'further deliveries after the first outcome (a lost acknowledgement)')
  add(discarded + replayed + purged, 'operators acted on afterwards')
  return rows
}

function sum(counts: Partial<OutcomeCounts>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0)
}

function lossLines(report: AuditReport): ReportLine[] {
  const { lost, lostRetries, lostEarlier, unproven } = report
  const bad: string[] = []
  if (lost.length > 0) bad.push(`Lost, neither stored nor in the ledger: ${showRanges(lost)}`)
  for (const { stream, sequence, token } of lostRetries)
    bad.push(`Lost in the retry lane: ${stream} ${sequence}, token ${token}`)
  if (lostEarlier !== undefined) {
    const { epoch, sequences } = lostEarlier
    bad.push(`Lost with another FEATURES, created ${epoch}, where they waited: ${showRanges(sequences)}`)
  }
  const lines: ReportLine[] = bad.map((text) => ({ level: 'bad', text }))
  if (lines.length > 0) {
    const text =
      'If an operator removed them, say so: pelton audit --purged <sequences> --reason <why>. See docs/audit.md.'
    lines.push({ level: 'plain', text })
  }
  if (unproven.length > 0) {
    const text =
      `${showCount(countIn(unproven))} neither proven nor lost, their records may have expired with the oldest of the ` +
      `LEDGER: ${showRanges(unproven)}`
    lines.push({ level: 'warn', text })
  }
  return [...lines, ...stepLines(report), ...forgottenLines(report)]
}

/** What only the durable marks know, and what not even they do. */
function forgottenLines({ takenBack = [], gone = [], cannotKnow }: AuditReport): ReportLine[] {
  const time = (at: number): string => new Date(at).toISOString()
  const bad = [
    ...takenBack.map(
      ({ from, to, at }) =>
        `FEATURES lost what it had stored from sequence ${showCount(to + 1)} to ${showCount(from)}, before ${time(at)}: ` +
        'these numbers were given out again.',
    ),
    ...gone.map(
      ({ epoch, sequence, at }) =>
        `FEATURES created ${epoch} is gone: by ${time(at)} it had given out ${showCount(sequence)} sequences, and what of ` +
        'them still waited then is not known.',
    ),
  ]
  const lines: ReportLine[] = bad.map((text) => ({ level: 'bad', text }))
  if (bad.length > 0) {
    const text =
      'Producers publish again what they sent then; afterwards: pelton audit --sign-off. See docs/audit.md.'
    lines.push({ level: 'plain', text })
  }
  if (cannotKnow !== undefined) lines.push({ level: 'plain', text: cannotKnow })
  return lines
}

function stepLines({ wentBackFrom, lastSequence }: AuditReport): ReportLine[] {
  if (wentBackFrom === undefined) return []
  const text =
    `FEATURES went back: it had given out sequence ${showCount(wentBackFrom)} and ends at ${showCount(lastSequence)}: ` +
    `what it had stored from ${showCount(lastSequence + 1)} on is gone. ` +
    'It lost its latest writes, or was restored from an older copy; new events get numbers the ledger knows already.'
  const remedy =
    `Stop the producers, wait until workers have emptied FEATURES, then: nats stream purge FEATURES --seq ${wentBackFrom + 1}, ` +
    'so that the numbers go on behind. See docs/audit.md.'
  return [
    { level: 'bad', text },
    { level: 'plain', text: remedy },
  ]
}

function deepLines({ results, deadLetters, expired, withoutDigest, problems }: DeepReport): ReportLine[] {
  const read = `Read ${showCount(results)} results and ${showCount(deadLetters)} dead letters`
  const past = expired > 0 ? `; ${showCount(expired)} outcomes have expired` : ''
  const bare = withoutDigest > 0 ? `; ${showCount(withoutDigest)} outcomes are without digest` : ''
  return [
    ...plain([`${read}${past}${bare}`]),
    ...problemLines(problems).map((text) => ({ level: 'bad', text }) as const),
  ]
}

function plain(texts: readonly string[]): ReportLine[] {
  return texts.map((text) => ({ level: 'plain', text }))
}
