import { stringify } from 'lossless-json'
import { describe, expect, it } from 'vitest'
import { encodeRequest } from '../../sdk/contract/open-inference.ts'
import { readPayload } from './payload.ts'

const none = new Map<string, string>()

describe('readPayload', () => {
  it('keeps every digit of JSON', () => {
    const text = '{"features":{"x":9007199254740993}}'
    const payload = readPayload(none, Buffer.from(text))
    expect(payload.kind === 'json' && stringify(payload.value)).toBe(text)
  })

  it('names the tensors of the binary form', () => {
    const tensor = { name: 'x', datatype: 'INT64', shape: [1, 2], data: BigInt64Array.of(1n, -2n) } as const
    const { body, contentType, inferenceHeaderLength } = encodeRequest({ inputs: [tensor] }, { binary: true })
    const headers = new Map([
      ['ce-datacontenttype', contentType],
      ['inference-header-content-length', String(inferenceHeaderLength)],
    ])
    expect(readPayload(headers, body)).toEqual({
      kind: 'tensors',
      tensors: [{ name: 'x', datatype: 'INT64', shape: [1, 2], first: ['1', '-2'] }],
    })
  })

  it('shows what is no JSON as text, and what is no text as base64', () => {
    expect(readPayload(none, Buffer.from('{"feat'))).toEqual({ kind: 'text', text: '{"feat' })
    expect(readPayload(none, Buffer.of(0xff, 0xfe))).toEqual({ kind: 'bytes', base64: '//4=' })
  })
})
