import { stringify } from 'lossless-json'
import { describeEntry, historyOf } from '../../../shared/operations/dead-letters/browse.ts'
import { readPayload, type ShownPayload } from '../../../shared/operations/dead-letters/payload.ts'
import type { DeadLetterEntry, StoredDeadLetter } from '../../../shared/operations/records/dead-letter.ts'
import type { SupersededMark } from '../../../shared/operations/records/superseded-mark.ts'
import { alignColumns } from '../../../shared/runtime/columns.ts'
import { showBytes } from '../../../shared/runtime/quantities.ts'
import type { Terminal } from '../terminal.ts'

/** Heads a list of dead letters. */
export const LIST_HEADING = ['SEQUENCE', 'FAILED AT', 'MODEL', 'REASON', 'TOKEN', 'SIZE', 'DESCRIPTION']

/** A dead letter as a row below {@link LIST_HEADING}. */
export function listRow(entry: DeadLetterEntry): string[] {
  const { sequence, failedAt = '', model, reason, token, sizeBytes, description } = describeEntry(entry)
  return [String(sequence), failedAt, model, reason, token, showBytes(sizeBytes), description]
}

/** A dead letter, whole, for people. @param superseded that its caller asked again */
export function printDeadLetter(
  terminal: Terminal,
  letter: StoredDeadLetter,
  superseded: SupersededMark | undefined,
): void {
  const { reason, description, ...facts } = describeEntry(letter)
  terminal.print(terminal.bad(`${reason}: ${description}`))
  const known = Object.entries(facts).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)]],
  )
  for (const line of alignColumns(known)) terminal.print(`  ${line}`)
  if (superseded !== undefined)
    terminal.print(`  superseded by its caller, who asked again at ${superseded.at}: event ${superseded.by}`)
  const sections: [string, readonly string[]][] = [
    ['History', historyLines(letter)],
    ['Headers', [...letter.headers].map(([name, value]) => `${name}: ${value}`)],
    [`Payload (${showBytes(letter.sizeBytes)})`, payloadLines(readPayload(letter.headers, letter.body))],
  ]
  for (const [title, lines] of sections) {
    terminal.print('')
    terminal.print(terminal.strong(title))
    for (const line of lines) terminal.print(`  ${line}`)
  }
}

function historyLines({ headers }: StoredDeadLetter): string[] {
  const rows = historyOf(headers).map(({ at, reason, attempt, version, replay }) => [
    at,
    reason,
    `attempt ${attempt}`,
    version === undefined ? '' : `version ${version}`,
    replay === undefined ? '' : `replay ${replay}`,
  ])
  return alignColumns(rows)
}

function payloadLines(payload: ShownPayload): string[] {
  if (payload.kind === 'json') return (stringify(payload.value, null, 2) ?? '').split('\n')
  if (payload.kind === 'text') return payload.text.split('\n')
  if (payload.kind === 'bytes') return [`not text; base64: ${payload.base64}`]
  return payload.tensors.map(
    ({ name, datatype, shape, first }) => `${name} ${datatype}[${shape.join(', ')}]: ${first.join(', ')} …`,
  )
}
