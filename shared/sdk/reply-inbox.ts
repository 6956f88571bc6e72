import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, readHeader } from './contract/headers.ts'
import { subjects } from './contract/subjects.ts'
import { type DataSubscription, dataPathOf } from './jetstream/data-path.ts'
import { readFrameHeaders } from './jetstream/frame.ts'
import { uniqueInbox } from './jetstream/publish-window.ts'
import { readResult } from './result.ts'
import { Wake } from './wait-for.ts'

/** One inbox for the wake-up copies of many events: each gets a subject of its own below it. */
export class ReplyInbox {
  readonly #prefix: string
  readonly #subscription: DataSubscription
  readonly #waiting = new Map<string, { readonly wake: Wake; readonly model: string }>()
  #nextId = 0

  constructor(connection: NatsConnection) {
    this.#prefix = `${uniqueInbox(connection)}.`
    this.#subscription = dataPathOf(connection).subscribe(`${this.#prefix}*`, {
      onFrame: (message) => {
        const waiting = this.#waiting.get(message.subject)
        if (waiting === undefined) return
        const headers = readFrameHeaders(message)
        const register = subjects.result(waiting.model, readHeader(headers, HEADERS.token) ?? '')
        waiting.wake.ring(readResult(register, headers, message.data))
      },
    })
  }

  /** A subject to answer to, and what it wakes. Give it back with {@link ReplyInbox.release}. */
  open(model: string): { readonly replyTo: string; readonly wake: Wake } {
    const replyTo = this.#prefix + (this.#nextId++).toString(36)
    const wake = new Wake()
    this.#waiting.set(replyTo, { wake, model })
    return { replyTo, wake }
  }

  release(replyTo: string): void {
    this.#waiting.delete(replyTo)
  }

  close(): void {
    this.#subscription.unsubscribe()
  }
}
