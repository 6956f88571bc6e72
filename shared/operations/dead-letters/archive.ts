import { z } from 'zod'
import { HEADERS, type HeaderEntry, isHeaderName, sanitizeHeaderValue } from '../../sdk/contract/headers.ts'
import type { OutgoingMessage } from '../../sdk/contract/outcome.ts'
import { subjects } from '../../sdk/contract/subjects.ts'
import { isToken } from '../../sdk/contract/token.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { isReason, PeltonError } from '../../sdk/errors.ts'
import { API_ERRORS, publishError } from '../../sdk/jetstream/publish-reply.ts'
import type { PublishWindow } from '../../sdk/jetstream/publish-window.ts'
import { patiently } from '../broker/patience.ts'
import type { StoredDeadLetter } from '../records/dead-letter.ts'

/** A dead letter as one line of an archive: whole, and exact to the byte. */
export interface ArchivedDeadLetter {
  readonly model: string
  readonly token: string
  readonly storedAt: string
  readonly headers: Readonly<Record<string, string>>
  /** The payload: as text where it is UTF-8, else base64. */
  readonly text?: string
  readonly base64?: string
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The broker's own headers stay behind. */
export function archiveDeadLetter(letter: StoredDeadLetter): ArchivedDeadLetter {
  const { model, token, storedAt, headers, body } = letter
  const kept = [...headers].filter(([name]) => !name.startsWith('nats-'))
  return { model, token, storedAt, headers: Object.fromEntries(kept), ...payloadOf(body) }
}

function payloadOf(body: Uint8Array): Pick<ArchivedDeadLetter, 'text' | 'base64'> {
  try {
    return { text: strictUtf8.decode(body) }
  } catch {
    return { base64: Buffer.from(body).toString('base64') }
  }
}

const header = z.record(
  z.string().refine(isHeaderName, 'is no header name'),
  z
    .string()
    .refine((value) => sanitizeHeaderValue(value, value.length) === value.trim(), 'is no header value'),
)
const line = z
  .strictObject({
    model: z.string().min(1),
    token: z.string().refine(isToken, 'is no token'),
    storedAt: z.string(),
    headers: header,
    text: z.string().optional(),
    base64: z.base64().optional(),
  })
  .refine(({ text, base64 }) => (text === undefined) !== (base64 === undefined), 'needs text or base64')
  .refine(({ headers, token }) => headers[HEADERS.token.toLowerCase()] === token, 'belongs to another token')
  .refine(({ headers }) => isReason(headers[HEADERS.deadLetterReason] ?? ''), 'has no reason of Pelton')

/** Of the names that a worker writes into a dead letter, those that are not in lower case, as an archive has them. */
const AS_WRITTEN: ReadonlyMap<string, string> = new Map(
  [
    ...[HEADERS.contract, HEADERS.token, HEADERS.origin, HEADERS.stage, HEADERS.attempt],
    ...[HEADERS.worker, HEADERS.inputDigest, HEADERS.history, HEADERS.failedVersion],
  ].map((name) => [name.toLowerCase(), name]),
)

/** A line of an archive as a dead letter to store, byte for byte as it was: so an audit knows it again. @throws PeltonError `malformed`, with what is wrong */
export function readArchived(
  bytes: Uint8Array,
): OutgoingMessage & { readonly model: string; readonly token: string } {
  try {
    const { model, token, headers, text, base64 } = line.parse(JSON.parse(strictUtf8.decode(bytes)))
    const own = Object.entries(headers)
      .filter(([name]) => !name.toLowerCase().startsWith('nats-'))
      .map(([name, value]): HeaderEntry => [AS_WRITTEN.get(name) ?? name, value])
    const body = text === undefined ? Buffer.from(base64 ?? '', 'base64') : Buffer.from(text)
    return { model, token, subject: subjects.deadLetter(model, token), headers: own, body }
  } catch (cause) {
    const [issue] = cause instanceof z.ZodError ? cause.issues : []
    const why = issue === undefined ? '' : `: ${[...issue.path, issue.message].join(' ')}`
    const remedy = 'Give lines as `pelton dead-letters export` writes them.'
    throw new PeltonError('malformed', `this is no archived dead letter${why}`, { remedy }, cause)
  }
}

/** What an import did with a dead letter, or why it left it alone. */
export type Imported = 'stored' | 'present' | 'answered' | 'purged'

/** An earlier line of the same event is being stored. */
const IN_FLIGHT: ReadonlySet<number> = new Set([API_ERRORS.inFlight, API_ERRORS.duplicateInFlight])

/** An archived dead letter that is to be stored. */
export type Importable = ReturnType<typeof readArchived>

/**
 * Stores an archived dead letter, unless the event has one. To be called in the order they shall have: they leave in it.
 * Asks again where no answer comes: one that was stored nevertheless counts as `present`.
 *
 * @throws PeltonError `stream-full`, `undeliverable`, `broker-unavailable`
 */
export async function storeArchived(
  window: PublishWindow,
  { subject, headers, body }: Importable,
): Promise<'stored' | 'present'> {
  const expected = [
    [HEADERS.expectedStream, STREAMS.deadLetters],
    [HEADERS.expectedSubjectSequence, '0'],
  ] as const
  const reply = await patiently(async () => {
    const said = await window.publish({ subject, headers: [...headers, ...expected], body })
    const isOpen = said.kind === 'unknown' || (said.kind === 'refused' && IN_FLIGHT.has(said.code))
    if (isOpen) throw new PeltonError('broker-unavailable', `no answer of DEADLETTERS: ${said.description}`)
    return said
  })
  if (reply.kind === 'stored') return 'stored'
  if (reply.code === API_ERRORS.wrongLastSequence) return 'present'
  throw publishError(STREAMS.deadLetters, reply)
}
