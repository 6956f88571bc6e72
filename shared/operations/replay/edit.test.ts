import { describe, expect, it } from 'vitest'
import { encodeHeaderBlock } from '../../sdk/contract/headers.ts'
import { parseHeaderBlock } from '../../sdk/jetstream/stored-message.ts'
import { editPayload } from './edit.ts'
import { readPatch } from './json-patch.ts'

const headers = (entries: Readonly<Record<string, string>> = {}) =>
  parseHeaderBlock(encodeHeaderBlock(Object.entries(entries)))
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

const tensors = Buffer.from([1, 0, 0, 0, 2, 0, 0, 0])
const tensorHeader = (bytes: number): string =>
  `{"inputs":[{"name":"x","shape":[2],"datatype":"INT32","parameters":{"binary_data_size":${bytes}}}]}`
const binary = (json: string) => ({
  headers: headers({
    'ce-datacontenttype': 'application/octet-stream',
    'Inference-Header-Content-Length': String(Buffer.byteLength(json)),
  }),
  body: Buffer.concat([Buffer.from(json), tensors]),
})

describe('editing a payload', () => {
  it('changes what the patch names and keeps the digits of everything else', () => {
    const patch = readPatch('[{"op":"replace","path":"/features/a","value":9007199254740995}]')
    const edit = editPayload(patch, headers(), Buffer.from('{"features":{"a":"x","b":9007199254740993}}'))
    expect(edit).toMatchObject({ kind: 'edited', inferenceHeaderLength: undefined })
    if (edit.kind === 'edited')
      expect(text(edit.body)).toBe('{"features":{"a":9007199254740995,"b":9007199254740993}}')
  })

  it('changes tensors in JSON', () => {
    const body = '{"inputs":[{"name":"x","shape":[1],"datatype":"INT64","data":[1]}]}'
    const patch = readPatch('[{"op":"replace","path":"/inputs/0/data/0","value":9223372036854775807}]')
    const edit = editPayload(patch, headers({ 'ce-datacontenttype': 'application/json' }), Buffer.from(body))
    expect(edit.kind === 'edited' && text(edit.body)).toContain('"data":[9223372036854775807]')
  })

  it('changes the header of binary tensors and says its new length; the tensors stay', () => {
    const { headers: of, body } = binary(tensorHeader(8))
    const edit = editPayload(
      readPatch('[{"op":"replace","path":"/inputs/0/name","value":"longer"}]'),
      of,
      body,
    )
    if (edit.kind === 'refused') throw new Error(edit.detail)
    expect(edit.inferenceHeaderLength).toBe(Buffer.byteLength(tensorHeader(8)) + 5)
    expect(Buffer.from(edit.body.subarray(edit.inferenceHeaderLength))).toEqual(tensors)
    expect(text(edit.body.subarray(0, edit.inferenceHeaderLength))).toContain('"name":"longer"')
  })

  it.each([
    ['shape', '[{"op":"replace","path":"/inputs/0/shape/0","value":3}]'],
    ['size', '[{"op":"replace","path":"/inputs/0/parameters/binary_data_size","value":4}]'],
  ])('refuses a %s that its binary tensors do not have', (_name, patch) => {
    const { headers: of, body } = binary(tensorHeader(8))
    expect(editPayload(readPatch(patch), of, body)).toMatchObject({
      kind: 'refused',
      why: 'its binary tensors do not fit their header after the patch',
    })
  })

  it('mends a header that did not fit its tensors', () => {
    const { headers: of, body } = binary(tensorHeader(4))
    const patch = readPatch('[{"op":"replace","path":"/inputs/0/parameters/binary_data_size","value":8}]')
    expect(editPayload(patch, of, body)).toMatchObject({ kind: 'edited' })
  })

  it.each([
    ['no JSON', '{"features"', {}, 'its payload is no JSON, and cannot be patched'],
    ['no UTF-8', Buffer.from([0xff]), {}, 'its payload is no JSON, and cannot be patched'],
    ['a length beyond the body', '{}', { 'Inference-Header-Content-Length': '9' }, 'its payload is no JSON'],
    ['what stays malformed', '{"features":{"a":[[]]}}', {}, 'it is still malformed after the patch'],
    ['a path that is not there', '{"features":{}}', {}, 'patch[0] replace /features/a: there is nothing'],
  ])('refuses %s', (_name, body, given, why) => {
    const patch = readPatch('[{"op":"replace","path":"/features/a","value":{"b":1}}]')
    expect(editPayload(patch, headers(given as Record<string, string>), Buffer.from(body))).toMatchObject({
      kind: 'refused',
      why: expect.stringContaining(why),
    })
  })
})
