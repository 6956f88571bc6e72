import { Parser, type ParserEvent } from '@nats-io/nats-core/internal'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Frame } from './frame.ts'
import { Framer, type TakeFrame } from './framer.ts'

/** Subscriptions 1 and 12 are ours; all others are the client's. */
const OURS = [1, 12]

/** What was read, by whom: a message of ours, or an event of the client's parser. */
interface Read {
  readonly by: 'framer' | 'client'
  readonly what: string
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
const kinds = ['OK', 'ERR', 'MSG', 'INFO', 'PING', 'PONG'] as const

function ofClient(event: ParserEvent): string {
  if (event.msg === undefined) return `${kinds[event.kind]} ${text(event.data ?? new Uint8Array())}`
  const { subject, reply, sid, hdr } = event.msg
  const headerBytes = Math.max(0, hdr)
  const data = event.data ?? new Uint8Array()
  return shown(sid, {
    subject: Buffer.from(subject).toString(),
    reply: Buffer.from(reply ?? []).toString(),
    headerBlock: data.subarray(0, headerBytes),
    data: data.subarray(headerBytes),
  })
}

function shown(sid: number, { subject, reply, headerBlock, data }: Frame): string {
  return JSON.stringify(['MSG', sid, subject, reply, text(headerBlock), text(data)])
}

function parserInto(reads: Read[]): Parser {
  return new Parser({ push: (event) => reads.push({ by: 'client', what: ofClient(event as ParserEvent) }) })
}

function takersInto(reads: Read[], told: (frame: Frame) => void = () => undefined): Map<number, TakeFrame> {
  const taker = (sid: number): TakeFrame => {
    return (frame, bytes) => {
      expect(bytes).toBe(frame.headerBlock.length + frame.data.length)
      reads.push({ by: 'framer', what: shown(sid, frame) })
      told(frame)
    }
  }
  return new Map(OURS.map((sid) => [sid, taker(sid)]))
}

function readAll(chunks: readonly Uint8Array[], told?: (frame: Frame) => void): Read[] {
  const reads: Read[] = []
  const framer = new Framer(parserInto(reads), takersInto(reads, told))
  for (const chunk of chunks) framer.parse(chunk)
  return reads
}

/** The same through the client alone: what is of our subscriptions is marked as ours. */
function readByClient(bytes: Uint8Array): Read[] {
  const reads: Read[] = []
  parserInto(reads).parse(bytes)
  return reads.map(({ what }) => {
    const isOurs = what.startsWith('["MSG"') && OURS.includes(JSON.parse(what)[1])
    return { by: isOurs ? 'framer' : 'client', what }
  })
}

interface Message {
  readonly sid: number
  readonly subject?: string
  readonly reply?: string
  readonly headers?: string
  readonly body?: string | Uint8Array
}

function message({ sid, subject = 'a.b', reply, headers, body = '' }: Message): Buffer {
  const block = Buffer.from(headers === undefined ? '' : `NATS/1.0${headers}\r\n\r\n`)
  const data = Buffer.from(body)
  const to = reply === undefined ? `${subject} ${sid}` : `${subject} ${sid} ${reply}`
  const total = block.length + data.length
  const line = headers === undefined ? `MSG ${to} ${total}\r\n` : `HMSG ${to} ${block.length} ${total}\r\n`
  return Buffer.concat([Buffer.from(line), block, data, Buffer.from('\r\n')])
}

const said = (line: string): Buffer => Buffer.from(`${line}\r\n`)

/** All that a server says, in one go. */
const STREAM: Readonly<Record<string, Buffer>> = {
  'a message of ours': message({
    sid: 1,
    reply: '$JS.ACK.S.c.1.2.3.4.5',
    headers: '\r\nce-id: 1',
    body: '{}',
  }),
  'an empty one': message({ sid: 12 }),
  'headers alone': message({ sid: 1, subject: '_INBOX.x.1', headers: '\r\na: b' }),
  'the end of a pull': message({ sid: 12, headers: ' 404 No Messages' }),
  'its time is over': message({ sid: 12, headers: ' 408 Request Timeout\r\nNats-Pending-Messages: 3' }),
  'its batch is complete': message({ sid: 1, headers: ' 409 Batch Completed' }),
  'nobody answers': message({ sid: 1, headers: ' 503' }),
  'a ping': said('PING'),
  'a message of another': message({ sid: 2, reply: 'r', headers: '\r\nx: y', body: 'MSG a.b 1 2\r\nhi\r\n' }),
  'an empty one of another': message({ sid: 11 }),
  'an answer': message({ sid: 1, subject: '_INBOX.p.0', body: '{"stream":"RESULTS","seq":1}' }),
  'a pong': said('PONG'),
  'a refusal': said('-ERR \'Permissions Violation for Subscription to "x.y"\''),
  'a word about the server': said('INFO {"server_id":"MSG a 1 1","ldm":true}'),
  'a good word': said('+OK'),
  'a subject beyond ASCII': message({ sid: 1, subject: 'modèle.é', reply: 'à.b', body: 'é' }),
  'bytes of all kinds': message({ sid: 1, body: Uint8Array.from({ length: 256 }, (_, byte) => byte) }),
}
const WHOLE = Buffer.concat(Object.values(STREAM))

describe('Framer', () => {
  it('takes what is ours, and leaves all else to the client, in order', () => {
    const reads = readAll([WHOLE])
    expect(reads).toEqual(readByClient(WHOLE))
    expect(reads.filter(({ by }) => by === 'framer')).toHaveLength(10)
    expect(reads.filter(({ by }) => by === 'client')).toHaveLength(7)
  })

  it('reads the same wherever it is cut in two', () => {
    const expected = readByClient(WHOLE)
    for (let cut = 1; cut < WHOLE.length; cut++)
      expect(readAll([WHOLE.subarray(0, cut), WHOLE.subarray(cut)]), `cut at ${cut}`).toEqual(expected)
  })

  it('reads the same in pieces of every length', () => {
    const expected = readByClient(WHOLE)
    for (let length = 1; length <= 64; length++)
      expect(readAll(pieces(WHOLE, () => length))).toEqual(expected)
  })

  it('reads any stream, cut anywhere, as the client alone reads it', () => {
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.constantFrom('\r\n', 'MSG a 1 0\r\n\r\n', 'PING\r\n', 'HMSG ').map((given) => Buffer.from(given)),
    )
    const anyMessage = fc
      .record({
        sid: fc.constantFrom(1, 12, 2, 11, 112),
        subject: fc.constantFrom('a', '_INBOX.x.1', 'features.default.m.normal', 'é.b'),
        reply: fc.option(fc.constantFrom('r', '$JS.ACK.S.c.1.2.3.4.5'), { nil: undefined }),
        headers: fc.option(fc.constantFrom('', '\r\na: b', ' 404 No Messages', ' 503'), { nil: undefined }),
        body,
      })
      .map(({ reply, headers, ...rest }) =>
        message({
          ...rest,
          ...(reply !== undefined && { reply }),
          ...(headers !== undefined && { headers }),
        }),
      )
    const saying = fc.constantFrom('PING', 'PONG', '+OK', "-ERR 'x'", 'INFO {"port":1}').map(said)
    fc.assert(
      fc.property(
        fc.array(fc.oneof({ weight: 3, arbitrary: anyMessage }, saying), { minLength: 1, maxLength: 12 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 60 })),
        (parts, lengths) => {
          const bytes = Buffer.concat(parts)
          expect(readAll(pieces(bytes, () => lengths.next().value))).toEqual(readByClient(bytes))
        },
      ),
      { numRuns: 300 },
    )
  })

  it('gathers a large message in one buffer of its own, its body behind its headers', () => {
    const body = Buffer.alloc(300_000, 'x')
    const bytes = Buffer.concat([said('PING'), message({ sid: 1, headers: '\r\na: b', body }), WHOLE])
    const frames: Frame[] = []
    const reads = readAll(
      pieces(bytes, () => 65_536),
      (frame) => frames.push(frame),
    )
    expect(reads).toEqual(readByClient(bytes))
    const [{ headerBlock, data } = { headerBlock: body, data: body }] = frames
    expect(data.buffer).toBe(headerBlock.buffer)
    expect(data.byteOffset).toBe(headerBlock.length)
    expect(data.buffer.byteLength).toBe(headerBlock.length + data.length)
  })

  it('hands the client runs of its bytes, not its messages one by one', () => {
    const chunks: string[] = []
    const client = { parse: (bytes: Uint8Array) => void chunks.push(text(bytes)), state: 0 }
    const foreign = Buffer.concat([message({ sid: 2, body: 'x' }), said('PING'), message({ sid: 3 })])
    new Framer(client, takersInto([])).parse(Buffer.concat([foreign, message({ sid: 1 }), foreign]))
    expect(chunks).toEqual([text(foreign), text(foreign)])
  })

  it.each([
    ['in small letters', 'msg a.b 1 2\r\nhi\r\n'],
    ['with two spaces', 'MSG a.b  1 2\r\nhi\r\n'],
    ['with a tab', 'MSG a.b\t1 2\r\nhi\r\n'],
    ['with six fields', 'ping\r\nHMSG  a  1  r 12  14\r\nNATS/1.0\r\n\r\nhi\r\n'],
  ])('leaves a line %s to the client, and what comes with it, and goes on after that', (_how, strange) => {
    const ours = message({ sid: 1, body: '2' })
    const bytes = Buffer.concat([message({ sid: 1, body: '1' }), Buffer.from(strange), ours])
    const expected = readByClient(bytes).map(({ what }) => what)
    for (let cut = 1; cut < bytes.length; cut++) {
      const reads = readAll([bytes.subarray(0, cut), bytes.subarray(cut), ours])
      expect(reads.map(({ what }) => what)).toEqual([...expected, expected.at(-1)])
      expect(reads.at(-1)?.by).toBe('framer')
    }
  })

  it.each([
    ['no protocol', 'GET / HTTP/1.1\r\n'],
    ['no number', 'MSG a 1 x\r\n'],
    ['more headers than bytes', 'HMSG a 1 9 8\r\n'],
    ['more than a message may have', 'MSG a 1 99999999999\r\n'],
    ['a word that only begins like one', 'MSX a 1 2\r\n'],
  ])('fails as the client does: %s', (_what, line) => {
    const bytes = Buffer.from(line)
    const alone = (): void => parserInto([]).parse(bytes)
    expect(alone).toThrow()
    for (let cut = 1; cut <= bytes.length; cut++)
      expect(() => readAll([bytes.subarray(0, cut), bytes.subarray(cut)])).toThrow()
  })

  it('gives up a line that does not end, and lets the client have it', () => {
    const line = Buffer.from(`MSG ${'a'.repeat(100_000)} 1 2\r\nhi\r\n`)
    const reads = readAll(pieces(line, () => 1_000))
    expect(reads.map(({ what }) => what)).toEqual(readByClient(line).map(({ what }) => what))
  })

  it('forgets what has come in part when it begins anew', () => {
    for (let cut = 1; cut < WHOLE.length; cut++) {
      const reads: Read[] = []
      const framer = new Framer(parserInto([]), takersInto(reads))
      framer.parse(WHOLE.subarray(0, cut))
      reads.length = 0
      framer.begin(parserInto(reads))
      framer.parse(WHOLE)
      expect(reads, `cut at ${cut}`).toEqual(readByClient(WHOLE))
    }
  })

  it('waits for a client that is in the middle of something', () => {
    const reads: Read[] = []
    const parser = parserInto(reads)
    parser.parse(WHOLE.subarray(0, 10))
    const framer = new Framer(parser, takersInto(reads))
    framer.parse(WHOLE.subarray(10))
    framer.parse(WHOLE)
    const expected = readByClient(WHOLE)
    expect(reads.map(({ what }) => what)).toEqual([...expected, ...expected].map(({ what }) => what))
    expect(reads.slice(expected.length)).toEqual(expected)
  })

  it('takes nothing of a subscription that is not ours any more', () => {
    const reads: Read[] = []
    const takers = takersInto(reads)
    const framer = new Framer(parserInto(reads), takers)
    takers.set(1, () => takers.delete(1))
    framer.parse(Buffer.concat([message({ sid: 1 }), message({ sid: 1, body: 'later' })]))
    expect(reads.map(({ by }) => by)).toEqual(['client'])
  })
})

function pieces(bytes: Buffer, nextLength: () => number): Buffer[] {
  const cut: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = nextLength()
    cut.push(bytes.subarray(at, at + length))
    at += length
  }
  return cut
}
