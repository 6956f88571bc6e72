import { deflateSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PeltonError } from '../errors.ts'
import { findStrangeToken, recogniseEnvelope } from './foreign-data.ts'
import { decodeEventData } from './open-inference.ts'

function refusal(body: string | Uint8Array): PeltonError {
  try {
    decodeEventData(undefined, undefined, typeof body === 'string' ? Buffer.from(body) : body)
  } catch (error) {
    if (error instanceof PeltonError) return error
    throw error
  }
  throw new Error('this body was not refused')
}

describe('a body of another tool', () => {
  it.each([
    ['gzip', gzipSync('{"features":{"x":1}}'), 'no JSON but gzip', 'uncompressed'],
    ['Zstandard', Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x24, 0), 'no JSON but Zstandard', 'uncompressed'],
    ['a ZIP archive', Buffer.from('PK\x03\x04\x14\x00'), 'a ZIP archive', 'what is in it'],
    ['a pickle', Uint8Array.of(0x80, 4, 0x95, 1, 0), 'a Python pickle', 'Write JSON'],
    ['Avro of a registry', Uint8Array.of(0, 0, 0, 0, 7, 2), 'a schema registry', 'Avro'],
    ['UTF-16', Buffer.from('\ufeff{"features":{}}', 'utf16le'), 'text in UTF-16', 'UTF-8'],
    ['HTML', '<!DOCTYPE html><html></html>', 'HTML or XML', 'Write JSON'],
    ['a byte order mark', '\ufeff{"features":{"x":1}}', 'not valid JSON', 'byte order mark'],
    ['TensorFlow Serving', '{"instances":[[1,2]]}', 'a request of TensorFlow Serving', '"inputs"'],
    [
      'MLflow',
      '{"dataframe_split":{"columns":["x"],"data":[[1]]}}',
      'a request of MLflow, not a request',
      '"features"',
    ],
    ['MLflow records', '{"dataframe_records":[{"x":1}]}', 'a request of MLflow', '"features"'],
    [
      'NestJS',
      '{"pattern":"flights","data":{"features":{"x":1}},"id":"7"}',
      'an envelope of NestJS',
      'its data',
    ],
    [
      'Debezium',
      '{"before":null,"after":{"x":1},"source":{},"op":"c","ts_ms":1}',
      'a change event of Debezium',
      'ExtractNewRecordState',
    ],
    [
      'Debezium with its schema',
      '{"schema":{},"payload":{"before":null,"after":{"x":1},"op":"c"}}',
      'a change event of Debezium',
      'ExtractNewRecordState',
    ],
    [
      'Kafka Connect',
      '{"schema":{"type":"struct"},"payload":{"x":1}}',
      'an envelope of Kafka Connect',
      'schemas.enable=false',
    ],
    [
      'a CloudEvent',
      '{"specversion":"1.0","id":"1","data":{}}',
      'a structured CloudEvent',
      'cloudevents+json',
    ],
    ['nobody', '{"rows":[]}', 'a request has no such key', 'Known keys'],
  ])('is named with its remedy: %s', (_what, body, problem, remedy) => {
    const error = refusal(body)
    expect(error.code).toBe('malformed')
    expect(error.message).toContain(problem)
    expect(error.details.remedy).toContain(remedy)
  })

  it('is refused as no UTF-8 where nothing tells what it is', () => {
    expect(refusal(deflateSync('{"features":{}}')).message).toContain('not valid UTF-8')
  })

  it('is no matter of inherited keys', () => {
    expect(recogniseEnvelope(Object.create({ instances: 1, specversion: '1.0' }))).toBeUndefined()
  })
})

describe('a token no JSON has', () => {
  it.each([
    ['{"features":{"x":NaN}}', 17, 'NaN', '"NaN"'],
    ['{"features":{"a":"NaN","x":Infinity}}', 27, 'Infinity', '"Infinity"'],
    ['{"features":{"a":1.5e-3,"b":[true, null],"x":-Infinity}}', 45, '-Infinity', '"-Infinity"'],
    ["{'features': {'x': 1}}", 1, "'", 'json.dumps'],
    ['{"features": {"x": None}}', 19, 'None', 'json.dumps'],
    ['{"features": {"x": undefined}}', 19, 'undefined', 'null'],
  ])('is named with its position: %s', (text, position, token, remedy) => {
    expect(text.slice(position, position + token.length)).toBe(token)
    const error = refusal(text)
    expect(error.message).toContain(`not valid JSON from position ${position} on, where it has ${token} (`)
    expect(error.details.remedy).toContain(remedy)
  })

  it.each(['{"a":1', 'hello None', '{"a":@,"b":NaN}', '{"a":"NaN'])('is not seen in %s', (text) => {
    expect(findStrangeToken(text)).toBeUndefined()
    expect(refusal(text).message).toContain('not valid JSON')
  })

  it('is never found in JSON', () => {
    fc.assert(
      fc.property(fc.json({ stringUnit: 'binary' }), (text) => {
        expect(findStrangeToken(text)).toBeUndefined()
      }),
    )
  })

  it('is found behind whatever JSON, in its place', () => {
    fc.assert(
      fc.property(fc.json({ stringUnit: 'binary' }), (text) => {
        expect(findStrangeToken(`[${text},NaN]`)).toMatchObject({ text: 'NaN', position: text.length + 2 })
      }),
    )
  })
})
