import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseHeaderBlock } from './stored-message.ts'

/** The first value of each name, line by line. */
function lineByLine(text: string): [string, string][] {
  const headers = new Map<string, string>()
  for (const line of text.split('\r\n').slice(1)) {
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(0, colon)).toLowerCase()
    if (name !== '' && !headers.has(name)) headers.set(name, line.slice(colon + 1).trim())
  }
  return [...headers]
}

const read = (text: string): [string, string][] => [...parseHeaderBlock(Buffer.from(text))]

const name = fc.constantFrom('ce-id', 'Ce-Id', 'ce-source', 'x', 'Nats-Msg-Id', 'ce', 'ce-i', 'É')
const value = fc.oneof(
  fc.constantFrom('', ' 1', '1', '  a b ', ' é\u00a0', ' a:b', ':', ' \ufeff1', 'a\nb', 'a\rb'),
  fc.string({ maxLength: 6 }).map((text) => text.replaceAll('\r\n', '')),
)
const line = fc.tuple(name, value).map(([before, after]) => `${before}:${after}`)

describe('parseHeaderBlock', () => {
  it('reads every block as it would line by line, whatever came before it', () => {
    const blocks = fc.array(fc.array(line, { maxLength: 5 }), { minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(blocks, (all) => {
        for (const lines of all) {
          const text = `NATS/1.0\r\n${lines.map((each) => `${each}\r\n`).join('')}\r\n`.toWellFormed()
          expect(read(text)).toEqual(lineByLine(text))
        }
      }),
    )
  })

  it('reads what is no block, or was cut, as far as it goes', () => {
    const whole = 'NATS/1.0\r\nce-id: 1\r\nce-source: a\r\n\r\n'
    expect(read(whole)).toHaveLength(2)
    const odd = ['\r\n', ': no name\r\n', 'no colon\r\n', 'x: 1', 'x: 1\r\n\r\n']
    const cut = Array.from(whole, (_, at) => whole.slice(0, at))
    for (const text of [
      ...cut,
      ...odd.map((more) => whole + more),
      ...odd.map((more) => `NATS/1.0\r\n${more}`),
    ])
      expect([text, read(text)]).toEqual([text, lineByLine(text)])
  })

  it('gives a map that tells the same by every way to ask', () => {
    const headers = parseHeaderBlock(Buffer.from('NATS/1.0 404 x\r\nA: 1\r\nb:2\r\na: 3\r\n\r\n'))
    const seen: string[] = []
    headers.forEach((text, key, map) => {
      seen.push(`${key} ${text} ${map.get(key)}`)
    })
    expect(seen).toEqual(['a 1 1', 'b 2 2'])
    expect([...headers.keys()]).toEqual(['a', 'b'])
    expect([...headers.values()]).toEqual(['1', '2'])
    expect([...headers.entries()]).toEqual([...headers])
    expect([headers.size, headers.has('b'), headers.has('B'), headers.get('c')]).toEqual([
      2,
      true,
      false,
      undefined,
    ])
  })

  it('prints as the map it is', () => {
    const headers = parseHeaderBlock(Buffer.from('NATS/1.0\r\nA: 1\r\n\r\n'))
    expect(inspect({ headers })).toBe("{ headers: Map(1) { 'a' => '1' } }")
  })

  it('keeps no shape of a block that is longer than any of ours: what anybody sends fills no memory', () => {
    const lines = Array.from({ length: 2_000 }, (_, index) => `x-${index}: ${index}\r\n`).join('')
    const text = `NATS/1.0\r\n${lines}\r\n`
    for (const headers of [parseHeaderBlock(Buffer.from(text)), parseHeaderBlock(Buffer.from(text))]) {
      expect(headers).toBeInstanceOf(Map)
      expect([...headers]).toEqual(lineByLine(text))
    }
  })
})
