import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** What came under one of our subscriptions. */
export interface Frame {
  /** Number of the subscription. */
  readonly sid: number
  readonly subject: string
  /** Where to answer; empty where nobody waits. */
  readonly reply: string
  /** Header block and payload lie in here, one behind the other. */
  readonly bytes: Buffer
  readonly headersAt: number
  readonly payloadAt: number
  readonly end: number
}

/** A bare socket to a broker that asks for no credentials: no reconnect, no bounds. */
export interface Wire {
  subscribe(subject: string, sid: number): void
  /** Text of a command, ASCII. All of one turn of the loop go in one write. */
  put(command: string): void
}

const GREETING =
  'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"lang":"floor","version":"1"}\r\n'
const [M, H, P, MINUS, I] = ['M', 'H', 'P', '-', 'I'].map((letter) => letter.charCodeAt(0))

/** @param url `nats://<host>:<port>` */
export async function openWire(url: string, onFrame: (frame: Frame) => void): Promise<Wire> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname).setNoDelay(true)
  await once(socket, 'connect')
  const wire = wireOf(socket)
  socket.on(
    'data',
    framesOf(onFrame, () => wire.put('PONG\r\n')),
  )
  socket.write(GREETING)
  return wire
}

function wireOf(socket: Socket): Wire {
  let commands: string[] = []
  const flush = (): void => {
    socket.write(commands.join(''), 'latin1')
    commands = []
  }
  const put = (command: string): void => {
    if (commands.push(command) === 1) setImmediate(flush)
  }
  return { put, subscribe: (subject, sid) => put(`SUB ${subject} ${sid}\r\n`) }
}

/** Cuts what the socket gives into frames, wherever its pieces end. */
export function framesOf(onFrame: (frame: Frame) => void, onPing: () => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0)
  return (chunk) => {
    const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
    let at = 0
    for (let next = readFrame(bytes, at); next >= 0; next = readFrame(bytes, at)) at = next
    rest = bytes.subarray(at)
  }

  /** Where the next one begins; -1 where this one is not all here. */
  function readFrame(bytes: Buffer, at: number): number {
    const line = bytes.indexOf('\r\n', at)
    if (line < 0) return -1
    const kind = bytes[at]
    if (kind !== M && kind !== H) {
      if (kind === MINUS) throw new Error(bytes.toString('latin1', at, line))
      if (kind === P && bytes[at + 1] === I) onPing()
      return line + 2
    }
    // (H)MSG <subject> <sid> [reply] [bytes of headers] <bytes>
    const parts = bytes.toString('latin1', at, line).split(' ')
    const sizes = kind === H ? 2 : 1
    const headersAt = line + 2
    const end = headersAt + Number(parts[parts.length - 1])
    if (bytes.length < end + 2) return -1
    const payloadAt = kind === H ? headersAt + Number(parts[parts.length - 2]) : headersAt
    const reply = parts.length === 4 + sizes ? (parts[3] as string) : ''
    onFrame({ sid: Number(parts[2]), subject: parts[1] as string, reply, bytes, headersAt, payloadAt, end })
    return end + 2
  }
}
