import { PeltonError, showValue } from '../errors.ts'
import { findStrangeToken, recogniseBytes } from './foreign-data.ts'

/** Why bytes are no text: what they are instead, where that can be seen. */
export function refuseBytes(bytes: Uint8Array, cause: unknown): PeltonError {
  const details = { field: 'data', value: `${bytes.length} bytes`, remedy: 'Encode it as UTF-8.' }
  return refuseForeign(bytes) ?? malformed('the JSON text is not valid UTF-8', details, cause)
}

/** Why a text is no JSON, with the place and what stands there. */
export function refuseText(text: string, cause: unknown): PeltonError {
  const foreign = refuseForeign(Buffer.from(text.slice(0, 8)))
  if (foreign !== undefined) return foreign
  const strange = findStrangeToken(text)
  if (strange !== undefined) {
    const details = { field: 'data', value: around(text, strange.position), remedy: strange.remedy }
    const place = `from position ${strange.position} on, where it has ${strange.text}`
    return malformed(`the data is not valid JSON ${place}`, details, cause)
  }
  const position = /at position (\d+)/.exec(String(cause))?.[1]
  const remedy = text.startsWith('\ufeff')
    ? 'Leave out the byte order mark.'
    : 'Send one complete JSON object.'
  const place = position === undefined ? '' : ` from position ${position} on`
  const details = { field: 'data', value: around(text, Number(position ?? 0)), remedy }
  return malformed(`the data is not valid JSON${place}`, details, cause)
}

function refuseForeign(bytes: Uint8Array): PeltonError | undefined {
  const foreign = recogniseBytes(bytes)
  if (foreign === undefined) return undefined
  return malformed(`the data is no JSON but ${foreign.kind}`, { field: 'data', remedy: foreign.remedy })
}

function around(text: string, position: number): string {
  const from = Math.max(0, position - 20)
  return `${text.length} characters, from ${from}: ${showValue(text.slice(from, from + 60))}`
}

function malformed(
  problem: string,
  details: { readonly field: string; readonly value?: string; readonly remedy: string },
  cause?: unknown,
): PeltonError {
  return new PeltonError('malformed', problem, details, cause)
}
