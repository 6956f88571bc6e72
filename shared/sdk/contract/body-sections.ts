import { PeltonError, showValue } from '../errors.ts'
import { HEADERS } from './headers.ts'

const JSON_TYPE = 'application/json'
const BINARY_TYPE = 'application/octet-stream'
const JSON_TYPES = /^application\/(json|[\w.-]+\+json)$/
/** UTF-8, and what is a part of it. */
const UTF_8: ReadonlySet<string> = new Set(['utf-8', 'utf8', 'us-ascii', 'ascii'])
const HEADER = 'Inference-Header-Content-Length'

export type BodyContentType = typeof JSON_TYPE | typeof BINARY_TYPE

/** The JSON at the beginning of a body and the raw tensors behind it (undefined when the body is JSON alone). */
export interface BodySections {
  readonly json: Uint8Array
  readonly tensors: Uint8Array | undefined
}

/** A body on its way out. `inferenceHeaderLength` goes into the header `Inference-Header-Content-Length` if present. */
export interface EncodedBody {
  readonly body: Uint8Array
  readonly contentType: BodyContentType
  readonly inferenceHeaderLength?: number
}

/**
 * Divides a body as its two headers say. Without a content type it is JSON, unless a header length is there (Triton's
 * client sends only that). Throws `malformed` for other content types, other charsets than UTF-8, `octet-stream`
 * without a length, and a length that is no number or beyond the body. The sections are views, not copies.
 */
export function splitBody(
  contentType: string | undefined,
  headerLength: string | undefined,
  body: Uint8Array,
): BodySections {
  const type =
    contentType === undefined || contentType === JSON_TYPE ? JSON_TYPE : readContentType(contentType)
  if (headerLength === undefined) {
    if (type === JSON_TYPE) return { json: body, tensors: undefined }
    throw new PeltonError('malformed', 'a binary body needs the length of its JSON header', {
      field: HEADER,
      value: 'nothing',
      remedy: `Send ${HEADER}, the bytes of JSON before the first tensor.`,
    })
  }
  const length = readHeaderLength(headerLength, body.length)
  return { json: body.subarray(0, length), tensors: body.subarray(length) }
}

/** Joins the JSON header and the tensors behind it; without tensors the body is plain JSON. */
export function joinBody(
  json: string,
  tensorBytes: number | undefined,
  write: (target: Buffer, offset: number) => void,
): EncodedBody {
  if (tensorBytes === undefined) return { body: Buffer.from(json), contentType: JSON_TYPE }
  const inferenceHeaderLength = Buffer.byteLength(json)
  const body = Buffer.allocUnsafe(inferenceHeaderLength + tensorBytes)
  body.write(json)
  write(body, inferenceHeaderLength)
  return { body, contentType: BINARY_TYPE, inferenceHeaderLength }
}

function readContentType(text: string): BodyContentType {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase())
  if (type !== BINARY_TYPE && !JSON_TYPES.test(type))
    throw refuseType('this content type is not supported', text, `Send ${JSON_TYPE} or ${BINARY_TYPE}.`)
  for (const parameter of parameters) {
    const [, charset] = /^charset\s*=\s*"?([^"]*)"?$/.exec(parameter) ?? []
    if (charset !== undefined && !UTF_8.has(charset))
      throw refuseType('this charset is not supported', text, 'Encode the body as UTF-8.')
  }
  return type === BINARY_TYPE ? BINARY_TYPE : JSON_TYPE
}

function refuseType(problem: string, contentType: string, remedy: string): PeltonError {
  return new PeltonError('malformed', problem, {
    field: HEADERS.dataContentType,
    value: showValue(contentType),
    remedy,
  })
}

function readHeaderLength(text: string, bodyLength: number): number {
  const length = /^\d{1,10}$/.test(text) ? Number(text) : undefined
  if (length !== undefined && length <= bodyLength) return length
  throw new PeltonError('malformed', `the JSON header does not fit in the body of ${bodyLength} bytes`, {
    field: HEADER,
    value: showValue(text),
    remedy: 'Send the bytes of JSON before the first tensor, in decimal digits.',
  })
}
