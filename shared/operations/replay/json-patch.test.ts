import fc from 'fast-check'
import { parse, stringify } from 'lossless-json'
import { describe, expect, it } from 'vitest'
import { applyPatch, type JsonTree, type Patched, readPatch } from './json-patch.ts'

/** Bytes a patch may add. */
const ROOM = 1024 ** 2

const tree = (text: string): JsonTree => parse(text) as JsonTree
const patched = (document: string, patch: string): Patched =>
  applyPatch(readPatch(patch), tree(document), ROOM)

/** Appendix A of RFC 6902, in its order, but for A.15, whose point is in the numbers below. */
const APPENDIX_A = [
  ['A.1', '{"foo":"bar"}', '[{"op":"add","path":"/baz","value":"qux"}]', '{"baz":"qux","foo":"bar"}'],
  [
    'A.2',
    '{"foo":["bar","baz"]}',
    '[{"op":"add","path":"/foo/1","value":"qux"}]',
    '{"foo":["bar","qux","baz"]}',
  ],
  ['A.3', '{"baz":"qux","foo":"bar"}', '[{"op":"remove","path":"/baz"}]', '{"foo":"bar"}'],
  ['A.4', '{"foo":["bar","qux","baz"]}', '[{"op":"remove","path":"/foo/1"}]', '{"foo":["bar","baz"]}'],
  [
    'A.5',
    '{"baz":"qux","foo":"bar"}',
    '[{"op":"replace","path":"/baz","value":"boo"}]',
    '{"baz":"boo","foo":"bar"}',
  ],
  [
    'A.6',
    '{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}',
    '[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]',
    '{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}',
  ],
  [
    'A.7',
    '{"foo":["all","grass","cows","eat"]}',
    '[{"op":"move","from":"/foo/1","path":"/foo/3"}]',
    '{"foo":["all","cows","eat","grass"]}',
  ],
  [
    'A.8',
    '{"baz":"qux","foo":["a",2,"c"]}',
    '[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]',
    '{"baz":"qux","foo":["a",2,"c"]}',
  ],
  [
    'A.10',
    '{"foo":"bar"}',
    '[{"op":"add","path":"/child","value":{"grandchild":{}}}]',
    '{"foo":"bar","child":{"grandchild":{}}}',
  ],
  [
    'A.11',
    '{"foo":"bar"}',
    '[{"op":"add","path":"/baz","value":"qux","xyz":123}]',
    '{"foo":"bar","baz":"qux"}',
  ],
  ['A.14', '{"/":9,"~1":10}', '[{"op":"test","path":"/~01","value":10}]', '{"/":9,"~1":10}'],
  [
    'A.16',
    '{"foo":["bar"]}',
    '[{"op":"add","path":"/foo/-","value":["abc","def"]}]',
    '{"foo":["bar",["abc","def"]]}',
  ],
] as const

describe('a JSON Patch', () => {
  it.each(APPENDIX_A)('applies as RFC 6902 %s has it', (_name, document, patch, wanted) => {
    const outcome = patched(document, patch)
    if (outcome.kind !== 'applied') throw new Error(outcome.why)
    expect(JSON.parse(stringify(outcome.value) ?? '')).toEqual(JSON.parse(wanted))
  })

  it.each([
    [
      'A.9',
      '{"baz":"qux"}',
      '[{"op":"test","path":"/baz","value":"bar"}]',
      'test /baz: the value is another',
    ],
    [
      'A.12',
      '{"foo":"bar"}',
      '[{"op":"add","path":"/baz/bat","value":"qux"}]',
      'no object or array to add to',
    ],
    [
      'A.15',
      '{"/":9,"~1":10}',
      '[{"op":"test","path":"/~01","value":"10"}]',
      'test /~01: the value is another',
    ],
    ['a gap', '{"a":[1]}', '[{"op":"add","path":"/a/2","value":2}]', 'no index of the array'],
    ['a leading zero', '{"a":[1]}', '[{"op":"replace","path":"/a/00","value":2}]', 'nothing at this path'],
    ['the end of an array', '{"a":[1]}', '[{"op":"remove","path":"/a/-"}]', 'nothing at this path'],
    ['what is inherited', '{}', '[{"op":"remove","path":"/toString"}]', 'nothing at this path'],
    ['a lost source', '{}', '[{"op":"copy","from":"/x","path":"/y"}]', 'nothing at from'],
    ['a value into itself', '{"a":{}}', '[{"op":"move","from":"/a","path":"/a/b"}]', 'into itself'],
    [
      'the second step',
      '{"a":1}',
      '[{"op":"remove","path":"/a"},{"op":"remove","path":"/a"}]',
      'patch[1] remove',
    ],
  ])('refuses %s, and says which operation', (_name, document, patch, why) => {
    expect(patched(document, patch)).toMatchObject({ kind: 'refused', why: expect.stringContaining(why) })
  })

  it.each([
    ['{"op":"add"}', 'patch '],
    ['[{"op":"spam","path":"/a"}]', 'patch[0].op'],
    ['[{"op":"remove","path":"/a"},{"op":"remove","path":"a"}]', 'patch[1].path'],
    ['[{"op":"remove"}]', 'patch[0].path'],
    ['[{"op":"remove","path":"/a~2"}]', 'patch[0].path'],
    ['[{"op":"add","path":"/a"}]', 'patch[0].value'],
    ['[{"op":"move","path":"/a"}]', 'patch[0].from'],
    ['[{"op":"add","path":"/__proto__/x","value":1}]', 'patch[0].path'],
    ['[1]', 'patch[0]'],
    ['[', 'patch '],
  ])('%s is no patch: the error names the member', (text, field) => {
    const what = /invalid-argument: .*/
    expect(() => readPatch(text)).toThrow(what)
    expect(() => readPatch(text)).toThrow(`(${field}`)
  })

  it('keeps every digit of a number it does not touch, and of those it brings', () => {
    const outcome = patched(
      '{"a":9007199254740993,"b":1.50,"c":-0}',
      '[{"op":"copy","from":"/a","path":"/d"},{"op":"add","path":"/e","value":18446744073709551615}]',
    )
    if (outcome.kind !== 'applied') throw new Error(outcome.why)
    expect(stringify(outcome.value)).toBe(
      '{"a":9007199254740993,"b":1.50,"c":-0,"d":9007199254740993,"e":18446744073709551615}',
    )
  })

  it.each([
    ['1', '1.0', true],
    ['10', '1e1', true],
    ['0.01', '1E-2', true],
    ['-0', '0.000', true],
    ['9007199254740992', '9007199254740993', false],
    ['1e400', '1e401', false],
    ['0.1', '0.10000000000000000001', false],
    ['-1', '1', false],
  ])('tests %s against %s by value: %s', (a, b, isSame) => {
    const { kind } = patched(`[${a}]`, `[{"op":"test","path":"/0","value":${b}}]`)
    expect(kind).toBe(isSame ? 'applied' : 'refused')
  })

  it('a copy shares nothing with what it was copied from, nor two documents with the patch', () => {
    const patch = readPatch(
      '[{"op":"add","path":"/n","value":{"x":[]}},{"op":"copy","from":"/n","path":"/m"},{"op":"add","path":"/n/x/-","value":1}]',
    )
    for (const _again of [1, 2]) {
      const outcome = applyPatch(patch, tree('{}'), ROOM)
      expect(outcome.kind === 'applied' && stringify(outcome.value)).toBe('{"n":{"x":[1]},"m":{"x":[]}}')
    }
  })

  it.each([
    ['copies of the whole', '{"op":"copy","from":"","path":"/a"}'],
    ['copies of a part', '{"op":"copy","from":"/list","path":"/list/-"}'],
    ['values', `{"op":"add","path":"/list/-","value":"${'x'.repeat(60)}"}`],
  ])('%s beyond the room there is refuse the document', (_what, operation) => {
    const patch = readPatch(`[${Array.from({ length: 40 }, () => operation).join()}]`)
    const outcome = applyPatch(patch, tree('{"list":[0]}'), 2_000)
    expect(outcome).toMatchObject({
      kind: 'refused',
      why: expect.stringMatching(/^patch\[\d+\].* adds more/),
    })
  })

  it('has a thousand operations at most, however short', () => {
    const text = (count: number): string =>
      `[${Array.from({ length: count }, () => '{"op":"remove","path":""}').join()}]`
    expect(readPatch(text(1_000))).toHaveLength(1_000)
    expect(() => readPatch(text(1_001))).toThrow('1001 operations')
  })

  it('adds any value anywhere, finds it there by test, and takes it away again', () => {
    fc.assert(
      fc.property(fc.json(), fc.string(), (value, name) => {
        fc.pre(name !== '__proto__' && !value.includes('"__proto__"'))
        const path = JSON.stringify(`/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`)
        const ops = `[{"op":"add","path":${path},"value":${value}},{"op":"test","path":${path},"value":${value}},
          {"op":"remove","path":${path}}]`
        const outcome = patched('{"kept":1}', ops)
        const left = name === 'kept' ? '{}' : '{"kept":1}'
        expect(outcome.kind === 'applied' ? stringify(outcome.value) : outcome.why).toBe(left)
      }),
    )
  })
})
