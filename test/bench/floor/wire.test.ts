import { expect, it } from 'vitest'
import { framesOf } from './wire.ts'

const HEAD = 'NATS/1.0\r\nce-id: 7\r\n\r\n'
const SENT =
  'INFO {"max_payload":1048576}\r\nPING\r\n' +
  `HMSG features.a 1 $JS.ACK.x ${HEAD.length} ${HEAD.length + 2}\r\n${HEAD}{}\r\n` +
  'MSG _F.a 2 5\r\n\r\n1\r\n\r\n' +
  `HMSG _F.p 1 ${HEAD.length} ${HEAD.length}\r\n${HEAD}\r\n` +
  'PONG\r\n'

function read(pieces: readonly Buffer[]) {
  const frames: unknown[] = []
  let pings = 0
  const take = framesOf(
    ({ sid, subject, reply, bytes, headersAt, payloadAt, end }) =>
      void frames.push([
        sid,
        subject,
        reply,
        bytes.toString('latin1', headersAt, payloadAt),
        bytes.toString('latin1', payloadAt, end),
      ]),
    () => {
      pings++
    },
  )
  for (const piece of pieces) take(piece)
  return { frames, pings }
}

const WANTED = {
  frames: [
    [1, 'features.a', '$JS.ACK.x', HEAD, '{}'],
    [2, '_F.a', '', '', '\r\n1\r\n'],
    [1, '_F.p', '', HEAD, ''],
  ],
  pings: 1,
}

it('reads the same frames wherever the socket cuts', () => {
  const bytes = Buffer.from(SENT)
  expect(read([bytes])).toEqual(WANTED)
  for (let at = 1; at < bytes.length; at++)
    expect(read([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(WANTED)
  expect(read(Array.from(bytes, (byte) => Buffer.of(byte)))).toEqual(WANTED)
})

it('what the broker refuses is an error', () => {
  expect(() => read([Buffer.from("-ERR 'Authorization Violation'\r\n")])).toThrow('Authorization')
})
