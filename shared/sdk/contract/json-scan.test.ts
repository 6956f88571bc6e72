import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PeltonError } from '../errors.ts'
import { isNamed, type ScanFault, type ScannedMember, scanObject, textOf } from './json-scan.ts'

function membersOf(json: Uint8Array, limits: { maxDepth?: number; maxValues?: number } = {}) {
  const members: ScannedMember[] = []
  const refuse = (fault: ScanFault, at: number) => new PeltonError('malformed', `${fault} at ${at}`)
  scanObject(json, { ...limits, refuse }, (member) => members.push(member))
  return members
}

describe('scanObject', () => {
  it('finds every member of the outermost object in order, and of it alone', () => {
    const object = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue(), { noNullPrototype: true })
    fc.assert(
      fc.property(object, fc.constantFrom(0, 1, '\t'), (value, indent) => {
        const json = Buffer.from(JSON.stringify(value, null, indent))
        const found = membersOf(json).map(({ nameFrom, nameTo, from, to }) => [
          JSON.parse(textOf(json, nameFrom, nameTo)),
          JSON.parse(textOf(json, from, to)),
        ])
        expect(found).toEqual(Object.entries(JSON.parse(json.toString())))
      }),
      { numRuns: 500 },
    )
  })

  it('tells of a member that stands twice each time', () => {
    const json = Buffer.from('{"a":1,"\\u0061":[2],"b":{"a":3}}')
    const named = membersOf(json).filter((member) => isNamed(json, member, 'a'))
    expect(named.map(({ from, to }) => textOf(json, from, to))).toEqual(['1', '[2]'])
  })

  it('says what is wrong, and where', () => {
    for (const [text, fault] of [
      ['', 'kind at 0'],
      [' [1]', 'kind at 1'],
      ['{"a":1', 'grammar at 6'],
      ['{"a":[1,{}]}', 'depth at 8'],
      ['{"a":[1,2,3]}', 'values at 10'],
    ] as const)
      expect(() => membersOf(Buffer.from(text), { maxDepth: 2, maxValues: 4 })).toThrow(fault)
    expect(() => membersOf(Buffer.of(0x7b, 0xff))).toThrow('encoding at 0')
  })

  it('takes any number of values where no limit is given', () => {
    expect(membersOf(Buffer.from(`{"a":[${'1,'.repeat(100_000)}1]}`))).toHaveLength(1)
  })
})
