import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Output, type OutputTarget } from './output.ts'

/** Takes what is added as a socket does: reads it at once, or keeps it and reads it at the very end. */
class Target implements OutputTarget {
  readonly writes: string[] = []
  readonly added: Uint8Array[] = []
  isSlow = false
  #waiting: Uint8Array[] = []
  #unread: Uint8Array[] = []

  add(bytes: Uint8Array): void {
    this.added.push(bytes)
    this.#waiting.push(bytes)
  }
  send(): void {
    if (this.#waiting.length > 0) this.#unread.push(Buffer.from(''), ...this.#waiting)
    this.#waiting = []
    if (!this.isSlow) this.read()
  }
  isSent(): boolean {
    return this.#unread.length === 0 && this.#waiting.length === 0
  }
  /** All that was sent, a write for each time. */
  read(): void {
    for (const bytes of this.#unread)
      if (bytes.length === 0) this.writes.push('')
      else this.writes.push(`${this.writes.pop()}${Buffer.from(bytes).toString('latin1')}`)
    this.#unread = []
  }
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')

describe('Output', () => {
  it('sends all commands of a turn in one write, at its end', async () => {
    const to = new Target()
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
    const to = new Target()
    const body = bytes('before')
    new Output(to).put('PUB a 6\r\n', undefined, body)
    body.fill('x')
    await turn()
    expect(to.writes).toEqual(['PUB a 6\r\nbefore\r\n'])
  })

  it('does not wait for the end of the turn from 64 KB on', () => {
    const to = new Target()
    const output = new Output(to)
    for (let index = 0; index < 10; index++)
      output.put('PUB a 20000\r\n', undefined, Buffer.alloc(20_000, index))
    expect(to.writes.map(({ length }) => length)).toEqual([80_060, 80_060])
  })

  it.each([
    ['is quick', false],
    ['is slow', true],
  ])(
    'never writes to what a socket that %s has still to read, whatever the size of what follows',
    async (_how, isSlow) => {
      const to = new Target()
      to.isSlow = isSlow
      const output = new Output(to)
      const expected: string[] = []
      for (let index = 0; index < 400; index++) {
        const body = Buffer.alloc(index % 50 === 0 ? 300_000 : index * 13, 65 + (index % 26))
        output.put(`PUB a ${body.length}\r\n`, undefined, body)
        expected.push(`PUB a ${body.length}\r\n${body}\r\n`)
        if (index % 7 === 0) await turn()
        if (index % 90 === 0) to.read()
      }
      await turn()
      to.read()
      expect(to.writes.join('') === expected.join('')).toBe(true)
    },
  )

  it('needs no new memory for a socket that is quick', () => {
    const to = new Target()
    const output = new Output(to)
    for (let index = 0; index < 1_000; index++) output.put('PUB a 9000\r\n', undefined, Buffer.alloc(9_000))
    expect(new Set(to.added.map(({ buffer }) => buffer)).size).toBe(1)
  })

  it('hands over before something else is added, and forgets what it is told to forget', async () => {
    const to = new Target()
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
