import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readEventLine } from './event-line.ts'

const line = (text: string) => Buffer.from(text)
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()

describe('readEventLine', () => {
  it('takes the id of a line and leaves the line as it is', () => {
    const given = line('{"id": "a", "features": {"x": 1}}')
    expect(readEventLine(given)).toEqual({ id: 'a', body: given })
    expect(readEventLine(line('{"features": {"x": 1}}')).id).toBeUndefined()
  })

  it('takes the id from a feature, which is no feature any more, and keeps every digit of the others', () => {
    const { id, body } = readEventLine(line('{"features": {"flight": 17, "x": 9007199254740993}}'), {
      idField: 'flight',
    })
    expect(id).toBe('17')
    expect(text(body)).toBe('{"features":{"x":9007199254740993}}')
  })

  it('takes the id from a key beside the features', () => {
    const { id, body } = readEventLine(line('{"key": "k", "features": {"x": 1}}'), { idField: 'key' })
    expect([id, text(body)]).toEqual(['k', '{"features":{"x":1}}'])
  })

  it('refuses a line without the id it was told to take', () => {
    expect(() => readEventLine(line('{"features": {"x": 1}}'), { idField: 'flight' })).toThrow(
      /no id.*flight/,
    )
    expect(() => readEventLine(line('{"features": {"x": 1}}'), { idField: 'id' })).toThrow(/no id/)
  })

  it.each(['7', '[]', '{"x": 1}', '{"features": [1]}', 'nonsense', '{"features": {"x": {}}}'])(
    'refuses %s',
    (given) => {
      expect(() => readEventLine(line(given))).toThrow(/malformed|schema-mismatch/)
      expect(() => readEventLine(line(given), { idField: 'flight' })).toThrow(/malformed|schema-mismatch/)
    },
  )

  it('keeps integers beyond 2^53 when it takes an id out', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
        const { body } = readEventLine(line(`{"k":"id","features":{"x":${value}}}`), { idField: 'k' })
        expect(text(body)).toBe(`{"features":{"x":${value}}}`)
      }),
    )
  })
})
