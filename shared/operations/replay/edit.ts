import { parse, stringify } from 'lossless-json'
import { splitBody } from '../../sdk/contract/body-sections.ts'
import { HEADERS, type Headers, readHeader } from '../../sdk/contract/headers.ts'
import { decodeEventData } from '../../sdk/contract/open-inference.ts'
import { PeltonError } from '../../sdk/errors.ts'
import { applyPatch, type JsonTree, type Patch } from './json-patch.ts'

/** A payload after a patch. */
export interface Edited {
  readonly kind: 'edited'
  readonly body: Uint8Array
  /** Length of the JSON before binary tensors; undefined for a payload of JSON alone. */
  readonly inferenceHeaderLength: number | undefined
  /** The JSON that was edited, before and after. */
  readonly before: string
  readonly after: string
}

/** `why` is one of few sentences, to be counted; `detail` tells about this payload. */
export interface EditRefused {
  readonly kind: 'refused'
  readonly why: string
  readonly detail: string
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true })

/** The server's own default. */
const USUAL_MAX_PAYLOAD = 1024 ** 2

/**
 * Applies a patch to a payload: to its JSON, or to the JSON header of binary tensors, whose bytes stay. Refused when an
 * operation does not apply, and when what comes out cannot be read as an event: it would fail again.
 *
 * @param maxPayload the broker's: a patch adds twice as much at most. @default 1 MiB
 */
export function editPayload(
  patch: Patch,
  headers: Headers,
  body: Uint8Array,
  maxPayload = USUAL_MAX_PAYLOAD,
): Edited | EditRefused {
  const contentType = readHeader(headers, HEADERS.dataContentType) ?? readHeader(headers, HEADERS.contentType)
  const length = readHeader(headers, HEADERS.inferenceHeaderLength)
  let before: string
  let document: JsonTree
  let tensors: Uint8Array | undefined
  try {
    const sections = splitBody(contentType, length, body)
    tensors = sections.tensors
    before = strictUtf8.decode(sections.json)
    document = parse(before) as JsonTree
  } catch (thrown) {
    return refused('its payload is no JSON, and cannot be patched', thrown)
  }
  const patched = applyPatch(patch, document, 2 * maxPayload)
  if (patched.kind === 'refused') return { kind: 'refused', why: patched.why, detail: patched.why }
  const after = stringify(patched.value) ?? 'null'
  const json = Buffer.from(after)
  const inferenceHeaderLength = length === undefined ? undefined : json.length
  const edited = tensors === undefined ? json : Buffer.concat([json, tensors])
  try {
    if (!/cloudevents/i.test(contentType ?? ''))
      decodeEventData(contentType, inferenceHeaderLength?.toString(), edited)
  } catch (thrown) {
    const why = tensors === undefined ? 'it is still malformed' : 'its binary tensors do not fit their header'
    return refused(`${why} after the patch`, thrown)
  }
  return { kind: 'edited', body: edited, inferenceHeaderLength, before, after }
}

function refused(why: string, thrown: unknown): EditRefused {
  const detail = thrown instanceof PeltonError || thrown instanceof Error ? thrown.message : String(thrown)
  return { kind: 'refused', why, detail }
}
