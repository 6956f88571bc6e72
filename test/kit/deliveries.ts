import type { Delivery } from '../../services/worker/intake/delivery.ts'
import { readEvent } from '../../shared/sdk/contract/event.ts'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'

/** An event as a test tells it: all but the model has a default. */
export interface DeliveredEvent {
  readonly model: string
  readonly id?: string
  readonly lane?: 'high' | 'normal' | 'low'
  /** The tensors of its body. */
  readonly inputs?: readonly unknown[]
  /** Its body as it is; default: `inputs` in JSON. */
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly deliveryCount?: number
  readonly sequence?: number
  /** Broker time, milliseconds since 1970. */
  readonly storedAt?: number
}

export const EPOCH = '2026-01-01T00:00:00Z'

let sequences = 0

/** A delivery from FEATURES as a worker reads it, without a broker that delivered it. */
export function deliveryOf(given: DeliveredEvent): Delivery {
  const sequence = given.sequence ?? ++sequences
  const { model, id = `event-${sequence}`, lane = 'normal', inputs = [], deliveryCount = 1 } = given
  const subject = subjects.feature({ pool: 'default', model, lane })
  const headers = { [HEADERS.id]: id, [HEADERS.source]: 'test', ...given.headers }
  const body = Buffer.from(given.body ?? JSON.stringify({ inputs }))
  const info = {
    stream: STREAMS.features,
    consumer: `default-${lane}`,
    deliveryCount,
    streamSequence: sequence,
    consumerSequence: sequence,
    storedAt: given.storedAt ?? 0,
    pending: 0,
  }
  const event = readEvent({
    subject,
    headers: new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
    body,
    stream: info.stream,
    epoch: EPOCH,
    sequence,
  })
  const ackSubject = `_INBOX.ack.${sequence}`
  return { event, subject, ackSubject, info, body, sizeBytes: body.length, sentSince: 0, rows: 1 }
}

/** One FP32 tensor, rows of `values`. */
export function floats(name: string, rows: readonly (readonly number[])[]) {
  return { name, datatype: 'FP32', shape: [rows.length, rows[0]?.length ?? 0], data: rows.flat() }
}
