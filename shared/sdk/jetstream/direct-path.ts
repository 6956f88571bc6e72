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
      if (isUsual(client, subject, sent)) put(client, output, subject, sent)
      else ordinary.publish(subject, sent)
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

/** What the client refuses in a subject, and what it does not write byte by byte. */
const UNUSUAL = /[^\x21-\x7e]/

/** Whether the client would send it, as it is. The rest is the client's to refuse, or to write. */
function isUsual(client: ClientInside, subject: string, { body, headerBlock, reply }: Sent): boolean {
  const { info } = client
  if (info === undefined || client.isClosed() || client.noMorePublishing) return false
  if (body.length + (headerBlock?.length ?? 0) > info.max_payload) return false
  if (headerBlock !== undefined && !info.headers) return false
  return subject !== '' && !UNUSUAL.test(subject) && (reply === undefined || !UNUSUAL.test(reply))
}

function put(
  client: ClientInside,
  output: Output,
  subject: string,
  { body, headerBlock, reply }: Sent,
): void {
  const headerBytes = headerBlock?.length ?? 0
  const totalBytes = headerBytes + body.length
  const to = reply === undefined || reply === '' ? subject : `${subject} ${reply}`
  const line =
    headerBlock === undefined ? `PUB ${to} ${totalBytes}\r\n` : `HPUB ${to} ${headerBytes} ${totalBytes}\r\n`
  client.outMsgs++
  client.outBytes += totalBytes
  output.put(line, headerBlock, body)
}
