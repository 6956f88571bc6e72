import {
  connect as connectNats,
  type NatsConnection,
  type NodeConnectionOptions,
} from '@nats-io/transport-node'
import type { DataPath, Sent } from '../../shared/sdk/jetstream/data-path.ts'
import { goDirect } from '../../shared/sdk/jetstream/direct-path.ts'
import type { Frame } from '../../shared/sdk/jetstream/frame.ts'
import { Framer } from '../../shared/sdk/jetstream/framer.ts'

const opened: NatsConnection[] = []

/** A connection of the client alone. */
export async function plain(servers: string, options: NodeConnectionOptions = {}): Promise<NatsConnection> {
  const connection = await connectNats({
    servers,
    reconnectTimeWait: 50,
    maxReconnectAttempts: -1,
    ...options,
  })
  opened.push(connection)
  return connection
}

/** One with the direct path. */
export async function direct(url: string, options: NodeConnectionOptions = {}): Promise<NatsConnection> {
  const connection = await plain(url, options)
  goDirect(connection)
  return connection
}

/** Closes all of them: `afterEach(closeOpened)`. */
export async function closeOpened(): Promise<void> {
  await Promise.all(opened.splice(0).map((connection) => connection.close()))
}

export function isDirect(connection: NatsConnection): boolean {
  return insideOf(connection).parser instanceof Framer
}

interface Inside {
  readonly parser: unknown
  readonly connected: boolean
  readonly servers: { getCurrentServer(): { readonly reconnects: number } }
  readonly transport: { readonly socket: { readonly writableLength: number } }
}

/** What the client keeps to itself. */
export function insideOf(connection: NatsConnection): Inside {
  return (connection as unknown as { readonly protocol: Inside }).protocol
}

export function collect(path: DataPath, subject: string): Frame[] {
  const frames: Frame[] = []
  path.subscribe(subject, { onFrame: (frame) => void frames.push(frame) })
  return frames
}

export const bodies = (frames: readonly Frame[]): string[] =>
  frames.map(({ data }) => Buffer.from(data).toString())

export const body = (text: string): Sent => ({ body: Buffer.from(text) })

export const headerBlock = Buffer.from('NATS/1.0\r\na: b\r\n\r\n')

export function thrownBy(act: () => void): Error | undefined {
  try {
    act()
    return undefined
  } catch (thrown) {
    return thrown as Error
  }
}
