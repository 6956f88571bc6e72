import type { StoredDeadLetter } from '../records/dead-letter.ts'
import { describeEntry, historyOf } from './browse.ts'
import { readPayload } from './payload.ts'

/** A dead letter, whole, as plain fields. */
export function deadLetterJson(letter: StoredDeadLetter) {
  const { headers, body, storedAt } = letter
  return {
    ...describeEntry(letter),
    storedAt,
    history: historyOf(headers),
    headers: Object.fromEntries(headers),
    payload: readPayload(headers, body),
  }
}
