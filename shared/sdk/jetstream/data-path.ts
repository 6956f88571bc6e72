import type { NatsConnection, Subscription } from '@nats-io/transport-node'
import { encodedHeaders } from './encoded-headers.ts'
import { type Frame, frameOf } from './frame.ts'

/** Told of what comes by a subscription. Neither may throw. */
export interface FrameListener {
  readonly onFrame: (frame: Frame) => void
  /** The broker refuses the subscription: nothing comes by it. */
  readonly onRefused?: (error: Error) => void
}

export interface DataSubscription {
  readonly isClosed: boolean
  /** From now on nothing is told. */
  unsubscribe(): void
  /** Asks the broker for no more; resolves once all that was on its way was told. Rejects where the connection is away. */
  drain(): Promise<void>
}

/** What a message to publish has beside its subject. */
export interface Sent {
  readonly body: Uint8Array
  /** Written already, its lines and its empty line. @default none */
  readonly headerBlock?: Uint8Array | undefined
  /** Where an answer goes. @default nowhere */
  readonly reply?: string | undefined
}

/**
 * What is hot on a connection: deliveries, publishes, their answers, acknowledgements. All else of the connection (its
 * opening, authentication, requests, reconnects) stays the client's, and so do its promises: what was published before a
 * `flush` or `drain` of the connection is covered by it, and nothing that was on its way outlives a reconnect.
 */
export interface DataPath {
  subscribe(subject: string, listener: FrameListener): DataSubscription
  /**
   * The bytes are copied, or not read after the next turn of the loop: they must not be written meanwhile.
   *
   * @throws what the client's `publish` throws: closed or draining, or more than `max_payload`
   */
  publish(subject: string, message: Sent): void
}

const paths = new WeakMap<NatsConnection, DataPath>()

/** The data path of a connection: each time the same. */
export function dataPathOf(connection: NatsConnection): DataPath {
  const path = paths.get(connection) ?? createOrdinaryPath(connection)
  paths.set(connection, path)
  return path
}

/** Gives a connection another data path than the ordinary one, before anybody asked for it. */
export function setDataPath(connection: NatsConnection, path: DataPath): void {
  paths.set(connection, path)
}

/** By the client, message by message. */
export function createOrdinaryPath(connection: NatsConnection): DataPath {
  return {
    subscribe: (subject, listener) => ofClient(subscribeByClient(connection, subject, listener)),
    publish(subject, { body, headerBlock, reply }) {
      connection.publish(subject, body, {
        ...(headerBlock !== undefined && { headers: encodedHeaders(headerBlock) }),
        ...(reply !== undefined && { reply }),
      })
    },
  }
}

/** A subscription of the client, which tells the listener of what its parser reads. */
export function subscribeByClient(
  connection: NatsConnection,
  subject: string,
  { onFrame, onRefused }: FrameListener,
): Subscription {
  return connection.subscribe(subject, {
    callback: (error, message) => {
      if (error === null) onFrame(frameOf(message))
      else onRefused?.(error)
    },
  })
}

/** @param forget called as soon as it is to tell nothing more */
export function ofClient(subscription: Subscription, forget?: () => void): DataSubscription {
  return {
    get isClosed() {
      return subscription.isClosed()
    },
    unsubscribe: () => {
      forget?.()
      subscription.unsubscribe()
    },
    drain: () => subscription.drain(),
  }
}
