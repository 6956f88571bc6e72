import type { Origin } from '../../sdk/contract/event.ts'
import { HEADERS, readHeader } from '../../sdk/contract/headers.ts'
import { readRoute } from '../../sdk/contract/subjects.ts'
import { isToken } from '../../sdk/contract/token.ts'
import type { DeadLetterEntry } from '../records/dead-letter.ts'

/** Where the event of a dead letter came from: needed to send it there again, and to account for it. */
export interface DeadLetterOrigin {
  readonly origin: Origin
  readonly pool: string
}

const ORIGIN = /^([!-~]{1,255}) ([!-~]{1,64}) (\d{1,16})$/

/**
 * `undefined` for a dead letter without `Pelton-Token`, `Pelton-Origin` or `x-original-subject`: no process of Pelton
 * wrote it.
 */
export function originOf({
  token,
  headers,
}: Pick<DeadLetterEntry, 'token' | 'headers'>): DeadLetterOrigin | undefined {
  const route = readRoute(readHeader(headers, HEADERS.originalSubject) ?? '')
  const origin = parseOrigin(readHeader(headers, HEADERS.origin) ?? '')
  if (route === undefined || origin === undefined || !isToken(token)) return undefined
  if (readHeader(headers, HEADERS.token) !== token) return undefined
  return { origin, pool: route.pool }
}

/** Reads `<stream> <epoch> <sequence>`. */
export function parseOrigin(text: string): Origin | undefined {
  const [, stream, epoch, sequence] = ORIGIN.exec(text) ?? []
  if (stream === undefined || epoch === undefined || !Number.isSafeInteger(Number(sequence))) return undefined
  return { stream, epoch, sequence: Number(sequence) }
}
