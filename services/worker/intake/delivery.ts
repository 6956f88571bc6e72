import { TURN_BYTES } from '../../../shared/runtime/turns.ts'
import { type DeliveryInfo, readDeliverySubject } from '../../../shared/sdk/contract/delivery-subject.ts'
import { type FeatureEvent, readEvent } from '../../../shared/sdk/contract/event.ts'
import { readParking } from '../../../shared/sdk/contract/parked.ts'
import { payloadDigest } from '../../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { type Frame, frameBytes, readFrameHeaders } from '../../../shared/sdk/jetstream/frame.ts'
import type { Arrival } from './arrivals.ts'

/** An event in this worker's hands: from being pulled to being settled. */
export interface Delivery {
  readonly event: FeatureEvent
  /** The subject it was delivered under. */
  readonly subject: string
  /** Where its acknowledgement goes. */
  readonly ackSubject: string
  readonly info: DeliveryInfo
  /** The body as it was stored: longer than the event's own where that came in structured mode. */
  readonly body: Uint8Array
  readonly sizeBytes: number
  /** Whether only its headers have been read: its body is too large for the loop. */
  readonly isLarge?: boolean
  /** The broker handed it out no earlier, milliseconds of this worker's clock. */
  readonly sentSince: number
  /** Rows it takes of the room this worker has: 1 until it is decoded. */
  rows: number
  /** How often it was given back because its model was not servable: of its deliveries so many are explained. */
  handedOn?: number
  /** Trace context its outcome carries; unset: the event's own. */
  traceparent?: string
  /** Digest of the event's own body, once it was made: a body is not read again for it. */
  digest?: string
  /** What is known of it while this worker has it in hand. */
  hold?: Hold | undefined
}

/** What is known of a delivery in a worker's hands. */
export interface Hold {
  /** Where it stands among those that are held. */
  place: number
  /** Since then at least the broker waits for a word of it. */
  keptAt: number
  /** When it was first said to be in progress: from then on each time. */
  saidFrom: number
  /** Whether the broker was silent of it for too long: from then on it stays so. */
  isLate: boolean
  /** Rows of it that are still to be run: 0 before they are known, and once its run is over. */
  rowsToRun: number
}

/**
 * The deliveries among what arrived, in its order.
 *
 * @param epochs creation time of each stream that delivers to this worker
 */
export function readDeliveries(
  arrivals: readonly Arrival[],
  epochs: ReadonlyMap<string, string>,
): readonly Delivery[] {
  const deliveries: Delivery[] = []
  for (const arrival of arrivals) {
    const delivery = readDelivery(arrival, epochs)
    if (delivery !== undefined) deliveries.push(delivery)
  }
  return deliveries
}

/** @returns `undefined` for a message that is not a JetStream delivery */
function readDelivery(
  { message, sentSince }: Arrival,
  epochs: ReadonlyMap<string, string>,
): Delivery | undefined {
  const ackSubject = message.reply
  const info = readDeliverySubject(ackSubject)
  if (info === undefined) return undefined
  const isTooLarge = isLarge(message)
  const body = isTooLarge ? ownBody(message) : message.data
  const event = readEvent({
    subject: message.subject,
    headers: readFrameHeaders(message),
    // The body of a large one is read aside: until then its event is what its headers say.
    body: isTooLarge ? noBytes : body,
    stream: info.stream,
    epoch: epochs.get(info.stream) ?? '',
    sequence: info.streamSequence,
  })
  const delivery: Delivery = {
    event,
    subject: message.subject,
    ackSubject,
    info,
    body,
    sizeBytes: envelopeBytes(message),
    sentSince,
    rows: 1,
    hold: undefined,
  }
  return isTooLarge ? { ...delivery, isLarge: true } : delivery
}

/** Whether a message is more than a turn of the loop may read: then only its headers are read here. */
function isLarge(message: Frame): boolean {
  return frameBytes(message) > TURN_BYTES
}

export function isSmall({ isLarge }: Delivery): boolean {
  return isLarge !== true
}

/**
 * The body in a buffer of its own, which a thread can take over. What came in pieces is put together in one of its own, from
 * the first byte on; what came in one piece shares what was read from the socket, behind its control line.
 */
function ownBody({ data, headerBlock }: Frame): Uint8Array {
  return data.byteOffset === headerBlock.length ? data : Uint8Array.prototype.slice.call(data)
}

const noBytes = new Uint8Array()

/**
 * How often an event was handed out again for a reason nobody knows: its worker ended, or could not settle it. What was
 * given back because its model was not servable does not count, neither here nor before it was parked.
 */
export function returnsOf({ event, info, handedOn = 0 }: Delivery): number {
  return returnsBefore({ event, info }) + Math.max(0, info.deliveryCount - 1 - handedOn)
}

/** Those of before it was parked: only workers publish in the retry lane, so only there is it believed. */
export function returnsBefore({ event, info }: Pick<Delivery, 'event' | 'info'>): number {
  return info.stream === STREAMS.retries ? readParking(event).returns : 0
}

/** Whether it is a copy that was parked, and has come due. */
export function wasParked({ event, info }: Pick<Delivery, 'event' | 'info'>): boolean {
  return info.stream === STREAMS.retries && readParking(event).since !== undefined
}

/** What a message is charged against the room: its body, and a flat share for subject, headers and bookkeeping. */
export function envelopeBytes(message: Frame): number {
  return frameBytes(message) + 1_024
}

/** Tells two payloads apart that claim the same identity. */
export function digestOf(delivery: Delivery): string {
  delivery.digest ??= payloadDigest(delivery.event.body)
  return delivery.digest
}
