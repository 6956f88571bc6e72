import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { eventToken } from '../../../shared/sdk/contract/token.ts'
import { type Handle, Handles } from './handles.ts'

const handles = new Handles('a secret of some length')
const lane = fc.constantFrom('high', 'normal', 'low')
const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
const anyHandle: fc.Arbitrary<Handle> = fc.record({
  pool: name,
  model: name,
  lane,
  loweredFrom: fc.option(lane, { nil: undefined }),
  token: fc.string().map((id) => eventToken('model', 'source', id)),
  sequence: fc.nat(),
  owner: name,
})
const CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~'

describe('handles', () => {
  test('are read as they were signed, and have only characters that need no encoding in a path', () => {
    fc.assert(
      fc.property(anyHandle, (handle) => {
        const text = handles.sign(handle)
        expect(text).toMatch(/^[A-Za-z0-9_.~-]+$/)
        expect(handles.read(text)).toEqual(handle)
      }),
    )
  })

  test('are none once any character is another one, is missing, or is added', () => {
    fc.assert(
      fc.property(anyHandle, fc.nat(), fc.constantFrom(...CHARACTERS), (handle, place, character) => {
        const text = handles.sign(handle)
        const at = place % text.length
        const [before, own, after] = [text.slice(0, at), text[at], text.slice(at + 1)]
        fc.pre(character !== own)
        expect(handles.read(before + character + after)).toBeUndefined()
        expect(handles.read(before + after)).toBeUndefined()
        expect(handles.read(before + character + own + after)).toBeUndefined()
      }),
    )
  })

  test('are none for whoever has another secret', () => {
    fc.assert(
      fc.property(anyHandle, fc.string(), (handle, secret) => {
        expect(new Handles(`other ${secret}`).read(handles.sign(handle))).toBeUndefined()
      }),
    )
  })

  test('are none where any other text stands', () => {
    fc.assert(fc.property(fc.string(), (text) => handles.read(text) === undefined))
    expect(handles.read('A'.repeat(1_000_000))).toBeUndefined()
  })
})
