import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { readLines } from '../../../shared/runtime/lines.ts'
import type { EventLine } from './event-line.ts'
import { type PublishLinesOptions, publishLines } from './publish-lines.ts'

const lines = (...chunks: string[]) => readLines(Readable.from(chunks.map((chunk) => Buffer.from(chunk))))
const event = (id: string) => `{"id":"${id}","features":{"x":1}}\n`

function options(given: Partial<PublishLinesOptions> = {}) {
  const sent: EventLine[] = []
  const errors: string[] = []
  return {
    sent,
    errors,
    source: 'f.jsonl',
    keepGoing: false,
    publish: async (line: EventLine) => {
      sent.push(line)
      return { duplicate: line.id === 'again' }
    },
    onError: ({ message }: Error) => void errors.push(message),
    onProgress: () => undefined,
    ...given,
  }
}

describe('publishLines', () => {
  it('counts what was new and what the broker had', async () => {
    const run = options()
    expect(await publishLines(lines(event('a'), event('again')), run)).toEqual({
      published: 1,
      duplicates: 1,
      failed: 0,
    })
    expect(run.sent.map(({ id }) => id)).toEqual(['a', 'again'])
  })

  it('names file and line of a bad line, and stops there', async () => {
    const run = options()
    const counts = await publishLines(lines(event('a'), '\n', 'bad\n', event('b')), run)
    expect(counts).toEqual({ published: 1, duplicates: 0, failed: 1 })
    expect(run.errors).toEqual([expect.stringMatching(/^malformed: f\.jsonl:3: .*JSON/)])
  })

  it('goes on after each bad line when told to, and tells each', async () => {
    const run = options({ keepGoing: true })
    const counts = await publishLines(lines('bad\n', event('a'), 'worse\n', event('b')), run)
    expect(counts).toEqual({ published: 2, duplicates: 0, failed: 2 })
    expect(run.errors.map((text) => text.slice(0, 20))).toEqual([
      'malformed: f.jsonl:1',
      'malformed: f.jsonl:3',
    ])
  })

  it('tells which line the broker refused', async () => {
    const publish = async ({ id }: EventLine) => {
      if (id === 'b') throw new Error('refused')
      return { duplicate: false }
    }
    const run = options({ keepGoing: true, publish })
    expect(await publishLines(lines(event('a'), event('b')), run)).toMatchObject({ published: 1, failed: 1 })
    expect(run.errors).toEqual(['internal: f.jsonl:2: refused'])
  })

  it('keeps no more than 512 events open', async () => {
    let open = 0
    let most = 0
    const publish = async () => {
      most = Math.max(most, ++open)
      await new Promise((resolve) => setImmediate(resolve))
      open--
      return { duplicate: false }
    }
    const counts = await publishLines(lines(event('x').repeat(2_000)), options({ publish }))
    expect(counts.published).toBe(2_000)
    expect(most).toBe(512)
  })
})

describe('readLines', () => {
  async function all(...chunks: string[]) {
    const found: [number, string][] = []
    for await (const { number, bytes } of lines(...chunks))
      found.push([number, Buffer.from(bytes).toString()])
    return found
  }

  it('joins chunks, counts empty lines, takes CRLF and a last line without an end', async () => {
    expect(await all('a', 'b\r\n\r\n', 'c\nd', 'e')).toEqual([
      [1, 'ab'],
      [3, 'c'],
      [4, 'de'],
    ])
  })

  it('ends quietly when aborted', async () => {
    const stop = new AbortController()
    const endless = new Readable({ read() {} })
    endless.push('a\n')
    const found: number[] = []
    for await (const { number } of readLines(endless, stop.signal)) {
      found.push(number)
      stop.abort()
    }
    expect(found).toEqual([1])
    expect(endless.destroyed).toBe(true)
  })
})
