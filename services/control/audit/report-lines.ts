import type { LedgerOutcome } from '../../../shared/sdk/contract/ledger.ts'
import { showCount, showDuration } from '../quantities.ts'
import { alignColumns } from '../terminal.ts'
import type { OutcomeCounts } from './accounts.ts'
import type { DeepReport, OutcomeProblem } from './deep.ts'
import type { AuditReport } from './report.ts'
import { countIn, showRanges, toRanges } from './sequence-set.ts'

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
    ...plain(
      report.earlier.map(
        ({ stream, epoch, entries }) =>
          `${showCount(entries)} entries of another ${stream}, created ${epoch}: not part of this audit`,
      ),
    ),
  ]
}

function verdict(report: AuditReport): ReportLine {
  const { clean, sequences, lastSequence, floor, lost, lostRetries, tookMs, deep } = report
  const since = floor === undefined ? '' : `, from the floor ${showCount(floor.sequence)} of ${floor.at}`
  const span = `${showCount(sequences)} events up to sequence ${showCount(lastSequence)}${since}`
  const took = `(${showDuration(tookMs)})`
  if (clean) return { level: 'good', text: `Every event is accounted for: ${span} ${took}` }
  const count = countIn(lost) + lostRetries.length
  const what =
    count > 0 ? `${showCount(count)} without an outcome` : `${deep?.problems.length} contradictions`
  return { level: 'bad', text: `${what}: ${span} ${took}` }
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

function lossLines({ lost, lostRetries, unproven }: AuditReport): ReportLine[] {
  const lines: ReportLine[] = []
  if (lost.length > 0) {
    const text = `Lost, neither stored nor in the ledger: ${showRanges(lost)}`
    lines.push({ level: 'bad', text })
  }
  for (const { stream, sequence, token } of lostRetries) {
    const text = `Lost in the retry lane: ${stream} ${sequence}, token ${token}`
    lines.push({ level: 'bad', text })
  }
  if (lines.length > 0) {
    const text =
      'If an operator removed them, say so: pelton audit --purged <sequences> --reason <why>. See docs/audit.md.'
    lines.push({ level: 'plain', text })
  }
  if (unproven.length > 0) {
    const text = `${showCount(countIn(unproven))} older than the ledger, whose records expired: ${showRanges(unproven)}`
    lines.push({ level: 'warn', text })
  }
  return lines
}

const PROBLEM_TEXTS: Readonly<Record<OutcomeProblem['problem'], string>> = {
  'no-result': 'the ledger names an outcome, RESULTS has none',
  'no-dead-letter': 'given up, but its dead letter is gone',
  'other-outcome': 'RESULTS has another outcome than the ledger',
  'answered-twice': 'its register has another outcome after its prediction',
}

function deepLines({ results, deadLetters, expired, problems }: DeepReport): ReportLine[] {
  const read = `Read ${showCount(results)} results and ${showCount(deadLetters)} dead letters`
  const past = expired > 0 ? `; ${showCount(expired)} outcomes have expired` : ''
  return [
    ...plain([`${read}${past}`]),
    ...problemTexts(problems).map((text) => ({ level: 'bad', text }) as const),
  ]
}

/** One line for each token, and one for all sequences with the same problem. */
function problemTexts(problems: readonly OutcomeProblem[]): string[] {
  const texts: string[] = []
  const unnamed = new Map<OutcomeProblem['problem'], number[]>()
  for (const { problem, stream, sequence, token } of problems) {
    const where = stream === undefined ? '' : `${stream} ${sequence}, `
    if (token !== undefined) texts.push(`${where}token ${token}: ${PROBLEM_TEXTS[problem]}`)
    if (token !== undefined || sequence === undefined) continue
    const known = unnamed.get(problem)
    if (known === undefined) unnamed.set(problem, [sequence])
    else known.push(sequence)
  }
  for (const [problem, sequences] of unnamed)
    texts.push(`FEATURES ${showRanges(toRanges(sequences))}: ${PROBLEM_TEXTS[problem]}`)
  return texts
}

function plain(texts: readonly string[]): ReportLine[] {
  return texts.map((text) => ({ level: 'plain', text }))
}
