import { connect } from '@nats-io/transport-node'
import { connectBroker } from '../../../shared/sdk/jetstream/connect.ts'
import { type DataPath, dataPathOf } from '../../../shared/sdk/jetstream/data-path.ts'
import { openWire } from '../floor/wire.ts'

/** Carries what a loop says and hears. */
export interface Carrier {
  hear(subject: string, heard: (subject: string, reply: string, payload: Uint8Array) => void): void
  /** @param headers a whole block; empty for none */
  say(subject: string, reply: string, headers: string, body: string): void
}

/** By a bare socket, by the direct path, and by the client message by message. */
export const CARRIERS = { socket: bySocket, direct: byDirectPath, client: byClient } as const

export type CarrierName = keyof typeof CARRIERS

async function bySocket(url: string): Promise<Carrier> {
  const listeners = new Map<number, Parameters<Carrier['hear']>[1]>()
  const wire = await openWire(url, ({ sid, subject, reply, bytes, payloadAt, end }) =>
    listeners.get(sid)?.(subject, reply, bytes.subarray(payloadAt, end)),
  )
  return {
    hear: (subject, heard) => {
      listeners.set(listeners.size + 1, heard)
      wire.subscribe(subject, listeners.size)
    },
    say: (subject, reply, headers, body) => {
      const to = reply === '' ? subject : `${subject} ${reply}`
      wire.put(
        headers === ''
          ? `PUB ${to} ${body.length}\r\n${body}\r\n`
          : `HPUB ${to} ${headers.length} ${headers.length + body.length}\r\n${headers}${body}\r\n`,
      )
    },
  }
}

async function byDirectPath(url: string): Promise<Carrier> {
  return overPath(dataPathOf(await connectBroker({ url, name: 'direct' })))
}

async function byClient(url: string): Promise<Carrier> {
  return overPath(dataPathOf(await connect({ servers: url, noAsyncTraces: true })))
}

function overPath(path: DataPath): Carrier {
  return {
    hear: (subject, heard) =>
      void path.subscribe(subject, { onFrame: (frame) => heard(frame.subject, frame.reply, frame.data) }),
    say: (subject, reply, headers, body) =>
      path.publish(subject, {
        body: Buffer.from(body, 'latin1'),
        ...(headers !== '' && { headerBlock: Buffer.from(headers, 'latin1') }),
        reply,
      }),
  }
}
