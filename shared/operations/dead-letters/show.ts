import type { StoredDeadLetter } from '../records/dead-letter.ts'
import type { SupersededMark } from '../records/superseded-mark.ts'
import { describeEntry, historyOf } from './browse.ts'
import { readPayload } from './payload.ts'

/**
 * A dead letter, whole, as plain fields.
 *
 * @param superseded that its caller asked again
 */
export function deadLetterJson(letter: StoredDeadLetter, superseded: SupersededMark | undefined) {
  const { headers, body, storedAt } = letter
  return {
    ...describeEntry(letter),
    storedAt,
    ...(superseded !== undefined && { superseded }),
    history: historyOf(headers),
    headers: Object.fromEntries(headers),
    payload: readPayload(headers, body),
  }
}
