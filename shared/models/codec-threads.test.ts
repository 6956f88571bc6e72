import { afterAll, describe, expect, it } from 'vitest'
import type { StoredMessage } from '../sdk/contract/event.ts'
import { payloadDigest } from '../sdk/contract/token.ts'
import { type CodecModel, createCodec } from './codec-threads.ts'
import { completeManifest } from './manifest.ts'
import { unpackTexts } from './work.ts'

const codec = createCodec({ threads: 1 })
afterAll(() => codec.close())

const signature = {
  inputs: [
    { name: 'x', datatype: 'FP32', shape: [null, 50_000] },
    { name: 't', datatype: 'BYTES', shape: [null, 2] },
  ],
  outputs: [{ name: 'y', datatype: 'FP32', shape: [null] }],
  constants: [],
} as const
const model: CodecModel = {
  key: 'm/1',
  name: 'm',
  version: '1',
  signature,
  manifest: completeManifest({}, signature, 'm'),
}

/** Bytes that share their buffer with nothing. */
const bytes = (text: string): Uint8Array => new Uint8Array(new TextEncoder().encode(text))

const message = (body: Uint8Array, headers: Record<string, string> = {}): StoredMessage => ({
  subject: 'features.default.m.normal',
  headers: new Map(Object.entries(headers)),
  body,
  stream: 'FEATURES',
  epoch: 'e',
  sequence: 7,
})

const request = {
  id: 'asked',
  parameters: { binary_data_output: true, note: 'z'.repeat(100_000) },
  inputs: [
    { name: 't', datatype: 'BYTES', shape: [1, 2], data: ['ü', 'b'] },
    { name: 'x', datatype: 'FP32', shape: [1, 50_000], data: Array(50_000).fill(0.5) },
  ],
}

describe('the codec', () => {
  it('reads a large event; its body goes without a copy and comes back whole', async () => {
    const text = JSON.stringify(request)
    const body = bytes(text)
    const read = codec.read(message(body, { 'ce-id': 'a', 'ce-source': 's' }))
    expect(body.length).toBe(0) // it is there now
    const { event, body: back, digest } = await read
    expect(event).toMatchObject({ id: 'a', source: 's', problem: undefined, origin: { sequence: 7 } })
    expect(event.body).toBe(back)
    expect(new TextDecoder().decode(back)).toBe(text)
    expect(digest).toBe(payloadDigest(bytes(text)))
  })

  it('reads a structured event: its own body is that of its data, its problem one of an error class', async () => {
    const headers = { 'content-type': 'application/cloudevents+json' }
    const envelope = JSON.stringify({ specversion: '1.0', id: 'b', source: 's', data: request })
    const { event, body } = await codec.read(message(bytes(envelope), headers))
    expect(event.id).toBe('b')
    expect(JSON.parse(new TextDecoder().decode(event.body))).toEqual(request)
    expect(new TextDecoder().decode(body)).toBe(envelope)
    const broken = await codec.read(message(bytes(`{${' '.repeat(70_000)}`), headers))
    expect(broken.event.problem).toMatchObject({ name: 'PeltonError', code: 'malformed' })
  })

  it('reads a structured event that is large for its attributes: the little data it has stays whole', async () => {
    const headers = { 'content-type': 'application/cloudevents+json' }
    for (const data of ['"data":{"a":1}', '"data_base64":"eyJhIjoxfQ=="']) {
      const envelope = `{"id":"c","source":"s","subject":"${'x'.repeat(100_000)}",${data}}`
      const { event, body } = await codec.read(message(bytes(envelope), headers))
      expect(new TextDecoder().decode(event.body)).toBe('{"a":1}')
      expect(new TextDecoder().decode(body)).toBe(envelope)
    }
  })

  it('fits its data to the model, texts packed, and tells of its request only what an answer heeds', async () => {
    const text = JSON.stringify(request)
    for (let times = 0; times < 2; times++) {
      const data = { contentType: undefined, inferenceHeaderLength: undefined, body: bytes(text) }
      const result = await codec.bind(model, data)
      if (result.kind !== 'bound') throw result.error
      const [x, t] = result.bound.inputs
      expect(x).toMatchObject({ name: 'x', isOwned: true, data: new Float32Array(50_000).fill(0.5) })
      expect(t?.data).toBeInstanceOf(Uint8Array)
      expect(t && unpackTexts(t).data).toEqual(['ü', 'b'])
      expect(result.bound.rows).toBe(1)
      expect(result.asked).toEqual({ id: 'asked', parameters: { binary_data_output: true } })
      expect(new TextDecoder().decode(result.body)).toBe(text)
    }
  })

  it('says where and why data cannot be taken', async () => {
    const refuse = (text: string) =>
      codec.bind(model, { contentType: undefined, inferenceHeaderLength: undefined, body: bytes(text) })
    expect(await refuse(`[${'1,'.repeat(50_000)}1]`)).toMatchObject({
      kind: 'refused',
      stage: 'decode',
      error: {
        name: 'PeltonError',
        code: 'malformed',
        details: { field: 'data', remedy: expect.any(String) },
      },
    })
    expect(await refuse(JSON.stringify({ inputs: [request.inputs[0]] }))).toMatchObject({
      stage: 'validate',
      error: { code: 'schema-mismatch' },
    })
  })

  it('writes answers, and says of each why there is none', async () => {
    const y = { name: 'y', datatype: 'FP32', shape: [2], data: Float32Array.of(1, 2) } as const
    const part = {
      rows: 1,
      modelName: 'm',
      modelVersion: '1',
      id: 'i',
      names: ['y'],
      binary: false,
      areFinite: true,
    }
    const [first, second] = await codec.answer(
      [y],
      [
        { ...part, maxBytes: 1_000 },
        { ...part, names: ['y'], id: '\0', maxBytes: 1_000 },
      ],
    )
    expect(first).toMatchObject({ contentType: 'application/json' })
    expect(second).toMatchObject({ name: 'PeltonError', code: 'invalid-output' })
    expect(codec.waiting).toBe(0)
  })

  it('rejects what waits when it is closed, and what comes later', async () => {
    const own = createCodec()
    const waiting = own.read(message(bytes('{}'.padEnd(100_000))))
    const rejected = expect(waiting).rejects.toMatchObject({ code: 'internal' })
    await own.close()
    await rejected
    await expect(own.read(message(bytes('{}')))).rejects.toMatchObject({ code: 'internal' })
    await own.close()
  })
})
