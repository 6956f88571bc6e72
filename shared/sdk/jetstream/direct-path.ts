import type { NatsConnection } from '@nats-io/transport-node'
import { type ClientInside, insideOf } from './client-inside.ts'
import {
  createOrdinaryPath,
  type DataPath,
  ofClient,
  type Sent,
  setDataPath,
  subscribeByClient,
} from './data-path.ts'
import { Framer, type TakeFrame } from './framer.ts'
import { Output } from './output.ts'

let hasWarned = false

/**
 * Gives a connection of ours the direct path. With a client that is not known it keeps the ordinary one, and the process
 * says so, once.
 */
export function goDirect(connection: NatsConnection, known?: string): void {
  const path = createDirectPath(connection, known)
  if (path !== undefined) setDataPath(connection, path)
  if (path !== undefined || hasWarned) return
  hasWarned = true
  process.emitWarning(
    'Pelton does not know this version of the NATS client: events and results go through it, slower',
    {
      code: 'PELTON_DATA_PATH',
    },
  )
}

/**
 * The data path beside the client: frames are taken out of what comes before its parser sees them, commands are written into
 * memory of our own and join what the client sends, in order. It belongs to this one connection, and stays through its
 * reconnects. Whatever is unusual goes the client's way.
 *
 * @param known fingerprint of the client this may be done with
 * @returns undefined where the client is another one
 */
export function createDirectPath(connection: NatsConnection, known?: string): DataPath | undefined {
  const client = insideOf(connection, known)
  if (client === undefined) return undefined
  const ordinary = createOrdinaryPath(connection)
  const takers = new Map<number, TakeFrame>()
  const output = new Output({
    add: (bytes) => client.outbound.fill(bytes),
    send: () => client.flushPending(),
    isSent: () => client.outbound.size() === 0 && client.transport?.socket?.writableLength === 0,
  })
  standBeside(client, new Framer(client.parser, takers), output)
  return {
    subscribe(subject, listener) {
      const subscription = subscribeByClient(connection, subject, listener)
      const id = subscription.getID()
      takers.set(id, (frame, bytes) => {
        client.inMsgs++
        client.inBytes += bytes
        listener.onFrame(frame)
      })
      const forget = (): boolean => takers.delete(id)
      void subscription.closed.then(forget)
      return ofClient(subscription, forget)
    },
    publish(subject, sent) {
      const line = isReady(client, sent) ? commandLine(subject, sent) : undefined
      if (line === undefined) ordinary.publish(subject, sent)
      else {
        client.outMsgs++
        client.outBytes += bytesOf(sent)
        output.put(line, sent.headerBlock, sent.body)
      }
    },
  }
}

/** Lets the client's own calls know of both: what it sends, promises and forgets covers what is ours. */
function standBeside(client: ClientInside, framer: Framer, output: Output): void {
  const { sendCommand, flush, close, resetOutbound } = client
  client.parser = framer
  client.sendCommand = (...command) => {
    output.handOver()
    sendCommand.apply(client, command)
  }
  client.flush = (...answer) => {
    output.handOver()
    return flush.apply(client, answer)
  }
  client.close = (...reason) => {
    output.send()
    return close.apply(client, reason)
  }
  client.resetOutbound = () => {
    output.drop()
    resetOutbound.call(client)
    framer.begin(client.parser)
    client.parser = framer
  }
}

/** Whether the client would take it now. Otherwise it is the client's to say why not. */
function isReady(client: ClientInside, sent: Sent): boolean {
  const { info } = client
  if (info === undefined || client.isClosed() || client.noMorePublishing) return false
  return bytesOf(sent) <= info.max_payload && (info.headers || sent.headerBlock === undefined)
}

function bytesOf({ body, headerBlock }: Sent): number {
  return body.length + (headerBlock?.length ?? 0)
}

/** Lines of as many fields behind the command, each in ASCII. */
const FIELDS = [2, 3, 4].map((count) => new RegExp(`^H?PUB(?: [\\x21-\\x7e]+){${count}}\\r\\n$`))

/** The line before the message; undefined where subject or reply are none, or beyond ASCII. */
function commandLine(subject: string, sent: Sent): string | undefined {
  const { headerBlock, reply = '' } = sent
  const to = reply === '' ? subject : `${subject} ${reply}`
  const line =
    headerBlock === undefined
      ? `PUB ${to} ${sent.body.length}\r\n`
      : `HPUB ${to} ${headerBlock.length} ${bytesOf(sent)}\r\n`
  const fields = (reply === '' ? 0 : 1) + (headerBlock === undefined ? 0 : 1)
  return FIELDS[fields]?.test(line) ? line : undefined
}
