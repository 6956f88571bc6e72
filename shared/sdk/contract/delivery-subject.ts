import { plainStreamOf } from './names.ts'

/** What the broker says about a delivery in its reply subject. */
export interface DeliveryInfo {
  /** Its plain name, whatever prefix it has at the broker. */
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
  return readAsBefore(reply) ?? parse(reply)
}

/** What a subject of the old form began with, up to its numbers: most deliveries come by a consumer that was met before. */
interface Beginning {
  readonly text: string
  readonly stream: string
  readonly consumer: string
}

const beginnings: Beginning[] = []
const MOST_BEGINNINGS = 16
const NUMBERS = 5
const DOT = 46

function readAsBefore(reply: string): DeliveryInfo | undefined {
  for (let index = 0; index < beginnings.length; index++) {
    const beginning = beginnings[index] as Beginning // within the array
    if (reply.startsWith(beginning.text)) return readNumbers(reply, beginning)
  }
  return undefined
}

/** @returns undefined where something else follows than five numbers */
function readNumbers(reply: string, { text, stream, consumer }: Beginning): DeliveryInfo | undefined {
  const numbers = [0, 0, 0, 0, 0]
  let at = text.length
  for (let index = 0; index < NUMBERS; index++) {
    const from = at
    let value = 0
    for (let code = reply.charCodeAt(at); code >= 48 && code <= 57; code = reply.charCodeAt(++at))
      value = value * 10 + code - 48
    const isLast = index === NUMBERS - 1
    if (at === from || (isLast ? at !== reply.length : reply.charCodeAt(at) !== DOT)) return undefined
    // Digit by digit more than 15 of them would be rounded again and again.
    numbers[index] = at - from > 15 ? Number(reply.slice(from, at)) : value
    at++
  }
  const [deliveryCount = 0, streamSequence = 0, consumerSequence = 0, nanos = 0, pending = 0] = numbers
  return {
    stream,
    consumer,
    deliveryCount,
    streamSequence,
    consumerSequence,
    storedAt: nanos / 1e6,
    pending,
  }
}

function remember(name: string, stream: string, consumer: string): void {
  beginnings.unshift({ text: `$JS.ACK.${name}.${consumer}.`, stream, consumer })
  if (beginnings.length > MOST_BEGINNINGS) beginnings.pop()
}

function parse(reply: string): DeliveryInfo | undefined {
  const parts = reply.split('.')
  if (parts[0] !== '$JS' || parts[1] !== 'ACK' || (parts.length !== 9 && parts.length < 11)) return undefined
  const at = parts.length === 9 ? 2 : 4
  const number = (offset: number): number => Number(parts[at + offset])
  const name = parts[at]
  const consumer = parts[at + 1]
  const numbers = parts.slice(at + 2, at + 7)
  if (name === undefined || consumer === undefined || !numbers.every((part) => /^\d+$/.test(part)))
    return undefined
  const stream = plainStreamOf(name)
  if (parts.length === 9) remember(name, stream, consumer)
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
