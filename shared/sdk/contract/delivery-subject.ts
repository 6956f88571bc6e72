/** What the broker says about a delivery in its reply subject. */
export interface DeliveryInfo {
  readonly stream: string
  readonly consumer: string
  /** How often this message was handed out, from 1. Not the number of attempts to predict it. */
  readonly deliveryCount: number
  readonly streamSequence: number
  /** How many deliveries of this consumer there were, over all who pull from it, this one included. */
  readonly consumerSequence: number
  /** When the stream stored the message, milliseconds since 1970 by the broker's clock. */
  readonly storedAt: number
  /** Messages of this consumer not handed out yet. */
  readonly pending: number
}

/**
 * Reads the acknowledgement subject of a JetStream delivery, in the old form
 * (`$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>`) and the new one, which
 * puts domain and account hash behind `$JS.ACK` (ADR-15).
 */
export function readDeliverySubject(reply: string): DeliveryInfo | undefined {
  const parts = reply.split('.')
  if (parts[0] !== '$JS' || parts[1] !== 'ACK' || (parts.length !== 9 && parts.length < 11)) return undefined
  const at = parts.length === 9 ? 2 : 4
  const number = (offset: number): number => Number(parts[at + offset])
  const stream = parts[at]
  const consumer = parts[at + 1]
  const numbers = parts.slice(at + 2, at + 7)
  if (stream === undefined || consumer === undefined || !numbers.every((part) => /^\d+$/.test(part)))
    return undefined
  return {
    stream,
    consumer,
    deliveryCount: number(2),
    streamSequence: number(3),
    consumerSequence: number(4),
    storedAt: number(5) / 1e6,
    pending: number(6),
  }
}
