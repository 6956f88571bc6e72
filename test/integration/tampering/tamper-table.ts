import { STORES } from '../../../shared/sdk/contract/topology.ts'
import { ALL_STREAMS } from './evidence.ts'
import { EXCUSES, KINDS } from './tamper.ts'
import type { Tried } from './tamper-run.ts'

/** What was tried, as a table: a cell is found + excused of so many states. */
export function tamperTable(tried: readonly Tried[]): string {
  const cell = (stream: string, kind: string): string => {
    const of = tried.filter(({ tamper }) => tamper.stream === stream && tamper.kind === kind)
    const found = of.filter(({ verdict }) => verdict === 'found').length
    const missed = of.filter(({ verdict }) => verdict === 'missed').length
    return `${found} + ${of.length - found - missed}${missed > 0 ? `, ${missed} MISSED` : ''}`
  }
  const streams = ALL_STREAMS.map((stream) => [stream, ...KINDS.map((kind) => cell(stream, kind))])
  const rows = [['found + excused', ...KINDS], ['---', ...KINDS.map(() => '---:')], ...streams]
  const excuses = Object.entries(EXCUSES).map(([name, text]) => {
    const of = tried.filter(({ verdict }) => verdict === name)
    const what = new Set(
      of.map(({ tamper: { kind, stream, what: victim } }) => `${stream} ${kind} ${victim}`),
    )
    const told = isBucketOnly(of) ? '' : `: ${[...what].join('; ')}`
    return of.length === 0 ? [] : [`${of.length} excused, ${text}${told}`]
  })
  return [...rows.map((row) => `| ${row.join(' | ')} |`), ...excuses.flat()].join('\n')
}

function isBucketOnly(tried: readonly Tried[]): boolean {
  return tried.every(({ tamper }) => Object.values<string>(STORES).includes(tamper.stream))
}

/** Cells of the table nothing was tried in. */
export function untried(tried: readonly Tried[]): string[] {
  const reached = new Set(tried.map(({ tamper: { stream, kind } }) => `${kind} ${stream}`))
  return ALL_STREAMS.flatMap((stream) => KINDS.map((kind) => `${kind} ${stream}`)).filter(
    (name) => !reached.has(name),
  )
}
