import type { Codec } from '../../../shared/models/codec-threads.ts'
import type { ServedModel } from '../../../shared/models/repository.ts'
import { PeltonError, toPeltonError } from '../../../shared/sdk/errors.ts'
import type { Delivery } from '../intake/delivery.ts'
import type { HeldDeliveries } from '../intake/held.ts'
import type { Concluded } from '../settle/outcome.ts'
import { guard, type Models, refuse, toPrepared } from './prepare.ts'
import type { Prepared } from './prepared.ts'

export interface LargeEventDeps {
  readonly codec: Pick<Codec, 'read' | 'bind'>
  readonly models: Models
  /** Creation time of each stream that delivers. */
  readonly epochs: ReadonlyMap<string, string>
  readonly held: Pick<HeldDeliveries, 'replace' | 'giveBack'>
  /** Broker time, milliseconds since 1970. */
  readonly now: () => number
  /** Told of an event whose thread ended while it read it. */
  readonly onUnread: (delivery: Delivery, thrown: unknown) => void
}

/** Deliveries of an event from which on its body stays here, too, while a thread reads it. */
const MANY_DELIVERIES = 5

/** How long the broker keeps back an event whose thread ended, milliseconds. */
const RETURN_DELAY_MS = 5_000

/** A delivery on its way through the threads. Its body goes there and comes back: what holds it now is `current`. */
interface Passage {
  current: Delivery
}

/**
 * Guard, decode, validate for an event that is too large for the loop: threads read it, and make its digest. Where its
 * thread ends meanwhile its body is lost here, and the broker hands it out again; after many deliveries it becomes a dead
 * letter.
 *
 * @returns undefined where the delivery is in this worker's hands no more
 */
export async function prepareLarge(
  delivery: Delivery,
  deps: LargeEventDeps,
): Promise<Prepared | Concluded | undefined> {
  const passage: Passage = { current: delivery }
  const isOften = delivery.info.deliveryCount >= MANY_DELIVERIES
  const kept = isOften ? delivery.body.slice() : undefined
  try {
    return await readAndFit(passage, deps)
  } catch (thrown) {
    const { current } = passage
    deps.onUnread(current, thrown)
    if (kept !== undefined) return condemn(current, kept, thrown, deps)
    deps.held.giveBack(current, RETURN_DELAY_MS)
    return undefined
  }
}

async function readAndFit(passage: Passage, deps: LargeEventDeps): Promise<Prepared | Concluded | undefined> {
  const read = await readMessage(passage.current, deps)
  if (!move(passage, read, deps)) return undefined
  let model: ServedModel | Concluded
  try {
    model = guard(read, deps.models, deps.now())
  } catch (thrown) {
    const error = toPeltonError(thrown, 'malformed', 'the event cannot be read')
    return refuse(read, error, 'guard', deps.now())
  }
  if ('outcome' in model) return model
  const { contentType, inferenceHeaderLength, body } = read.event
  const result = await deps.codec.bind(model, { contentType, inferenceHeaderLength, body })
  const event = { ...read.event, body: result.body }
  const fitted = { ...read, event, body: read.body === body ? result.body : read.body }
  if (!move(passage, fitted, deps)) return undefined
  if (result.kind === 'refused') return refuse(fitted, result.error, result.stage, deps.now())
  // Joined with others its rows would have to be copied here: it has a run of its own.
  const prepared = toPrepared(fitted, model, result.bound, result.asked)
  return { ...prepared, kind: `${prepared.kind} ${fitted.ackSubject}`, maxBatchRows: 1 }
}

/** What the delivery says of its event so far is what its headers say. */
async function readMessage(delivery: Delivery, { codec, epochs }: LargeEventDeps): Promise<Delivery> {
  const { event, info, subject, body } = delivery
  const { stream, streamSequence: sequence } = info
  const epoch = epochs.get(stream) ?? ''
  const read = await codec.read({ subject, headers: new Map(event.headers), body, stream, epoch, sequence })
  return { ...delivery, ...read }
}

function move(passage: Passage, to: Delivery, { held }: LargeEventDeps): boolean {
  const isHeld = held.replace(passage.current, to)
  passage.current = to
  return isHeld
}

function condemn(
  delivery: Delivery,
  body: Uint8Array,
  cause: unknown,
  { held, now }: LargeEventDeps,
): Concluded | undefined {
  const whole = { ...delivery, body, event: { ...delivery.event, body } }
  if (!held.replace(delivery, whole)) return undefined
  const problem = `the thread that read this event ended, at its delivery ${delivery.info.deliveryCount}`
  return refuse(whole, new PeltonError('worker-crashed', problem, {}, cause), 'decode', now())
}
