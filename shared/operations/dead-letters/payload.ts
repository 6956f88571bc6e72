import { parse } from 'lossless-json'
import { HEADERS, type Headers, readHeader } from '../../sdk/contract/headers.ts'
import { decodeEventData, type EventData } from '../../sdk/contract/open-inference.ts'
import type { Tensor } from '../../sdk/contract/tensor.ts'

/** A payload, read as far as it can be. */
export type ShownPayload =
  | { readonly kind: 'json'; readonly value: unknown }
  | { readonly kind: 'tensors'; readonly tensors: readonly ShownTensor[] }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'bytes'; readonly base64: string }

export interface ShownTensor {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  /** The first elements. */
  readonly first: readonly unknown[]
}

const SHOWN_ELEMENTS = 16
const strictUtf8 = new TextDecoder('utf-8', { fatal: true })

/** Reads a payload for people: JSON as it is, the tensors of the binary form, other text, else base64. Never throws. */
export function readPayload(headers: Headers, body: Uint8Array): ShownPayload {
  const length = readHeader(headers, HEADERS.inferenceHeaderLength)
  if (length !== undefined) {
    const data = decoded(headers, length, body)
    if (data?.kind === 'tensors') return { kind: 'tensors', tensors: data.inputs.map(showTensor) }
  }
  const text = textOf(body)
  if (text === undefined) return { kind: 'bytes', base64: Buffer.from(body).toString('base64') }
  try {
    return { kind: 'json', value: parse(text) } // keeps every digit of a number
  } catch {
    return { kind: 'text', text }
  }
}

function decoded(headers: Headers, length: string, body: Uint8Array): EventData | undefined {
  const contentType = readHeader(headers, HEADERS.dataContentType) ?? readHeader(headers, HEADERS.contentType)
  try {
    return decodeEventData(contentType, length, body)
  } catch {
    return undefined // what made it a dead letter, perhaps
  }
}

function showTensor({ name, datatype, shape, data }: Tensor): ShownTensor {
  const first = Array.from(data as ArrayLike<unknown>, (value) => value).slice(0, SHOWN_ELEMENTS)
  return {
    name,
    datatype,
    shape,
    first: first.map((value) => (typeof value === 'bigint' ? String(value) : value)),
  }
}

function textOf(body: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(body)
  } catch {
    return undefined
  }
}
