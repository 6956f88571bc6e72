import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Output } from './output.ts'

/** Keeps what was added, by the write it went with; `sends` counts the writes that had something to write. */
function target(): {
  readonly added: Uint8Array[]
  readonly writes: string[]
  add: (b: Uint8Array) => void
  send(): void
} {
  const added: Uint8Array[] = []
  const writes: string[] = []
  let waiting: Uint8Array[] = []
  return {
    added,
    writes,
    add: (bytes) => {
      added.push(bytes)
      waiting.push(bytes)
    },
    send: () => {
      if (waiting.length > 0) writes.push(Buffer.concat(waiting).toString('latin1'))
      waiting = []
    },
  }
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')

describe('Output', () => {
  it('sends all commands of a turn in one write, at its end', async () => {
    const to = target()
    const output = new Output(to)
    output.put('PUB a 2\r\n', undefined, bytes('hi'))
    output.put('HPUB b 3 4\r\n', bytes('\r\nx'), bytes('\xff'))
    output.put('PUB c 0\r\n', undefined, bytes(''))
    expect(to.writes).toEqual([])
    await turn()
    expect(to.writes).toEqual(['PUB a 2\r\nhi\r\nHPUB b 3 4\r\n\r\nx\xff\r\nPUB c 0\r\n\r\n'])
    await turn()
    expect(to.added).toHaveLength(1)
  })

  it('copies: what was put may be changed', async () => {
    const to = target()
    const body = bytes('before')
    new Output(to).put('PUB a 6\r\n', undefined, body)
    body.fill('x')
    await turn()
    expect(to.writes).toEqual(['PUB a 6\r\nbefore\r\n'])
  })

  it('does not wait for the end of the turn from 64 KB on', () => {
    const to = target()
    const output = new Output(to)
    for (let index = 0; index < 10; index++)
      output.put('PUB a 20000\r\n', undefined, Buffer.alloc(20_000, index))
    expect(to.writes.map(({ length }) => length)).toEqual([80_060, 80_060])
  })

  it('never writes again to what it handed over, whatever the size of what follows', async () => {
    const to = target()
    const output = new Output(to)
    const expected: string[] = []
    for (let index = 0; index < 400; index++) {
      const body = Buffer.alloc(index % 50 === 0 ? 300_000 : index * 13, 65 + (index % 26))
      output.put(`PUB a ${body.length}\r\n`, undefined, body)
      expected.push(`PUB a ${body.length}\r\n${body}\r\n`)
      if (index % 7 === 0) await turn()
    }
    await turn()
    // Compared at the very end: what the socket still holds must be what was put.
    expect(Buffer.concat(to.added).equals(bytes(expected.join('')))).toBe(true)
    expect(to.writes.join('') === expected.join('')).toBe(true)
  })

  it('hands over before something else is added, and forgets what it is told to forget', async () => {
    const to = target()
    const output = new Output(to)
    output.put('PUB a 0\r\n', undefined, bytes(''))
    output.handOver()
    to.add(bytes('PING\r\n'))
    output.put('PUB b 0\r\n', undefined, bytes(''))
    output.drop()
    output.put('PUB c 0\r\n', undefined, bytes(''))
    await turn()
    expect(to.writes).toEqual(['PUB a 0\r\n\r\nPING\r\nPUB c 0\r\n\r\n'])
  })
})
