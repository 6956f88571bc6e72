import { TURN_BYTES, type Turns } from '../../../shared/runtime/turns.ts'
import { writtenDigest } from '../../../shared/sdk/contract/outcome-digest.ts'
import type { OutcomeMessage } from '../../../shared/sdk/contract/register-message.ts'
import type { PublishReply } from '../../../shared/sdk/jetstream/publish-reply.ts'
import type { EncodedMessage, PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import type { Delivery } from '../intake/delivery.ts'
import { type Concluded, type Outcome, sendingWork } from './outcome.ts'
import type { StoredOutcome } from './outcome-store.ts'
import { type Claims, mayBeFirst } from './register.ts'
import { Together } from './together.ts'

/** A delivery that has a prediction. */
export interface Predicted extends Concluded {
  readonly outcome: Extract<Outcome, { readonly kind: 'predicted' }>
}

/** Told of each outcome that was stored, by its place. */
export type OnStored = (at: number, stored: StoredOutcome) => void

/** What of a group is sent in one turn of the loop: at least one, and no more than a turn may send. */
function nextSlice(
  group: readonly Predicted[],
  from: number,
): { readonly to: number; readonly work: number } {
  let to = from
  let work = 0
  while (to < group.length) {
    const next = sendingWork(group[to] as Predicted) // within the group
    if (to > from && work + next > TURN_BYTES) break
    work += next
    to++
  }
  return { to, work }
}

/**
 * Whether a prediction can be stored together with others: nothing has to be looked at before, and it is no more than a
 * turn of the loop may send.
 */
export function isPlain(concluded: Concluded): concluded is Predicted {
  const { delivery, outcome } = concluded
  return outcome.kind === 'predicted' && mayBeFirst(delivery) && outcome.body.length <= TURN_BYTES
}

export interface TogetherDeps {
  readonly turns: Pick<Turns, 'take' | 'spend'>
  readonly window: Pick<PublishWindow, 'publishAll'>
  /** How outcomes are published here. */
  readonly claims: Claims
  /** Whether the broker has kept the delivery for this worker all the time. */
  readonly isKept: (delivery: Delivery) => boolean
  /** A prediction, as it is addressed to its register. */
  readonly messageOf: (predicted: Predicted) => OutcomeMessage
  /** Told of a prediction that has taken its register. */
  readonly onClaimed: (predicted: Predicted, message: OutcomeMessage) => void
  /** What becomes of a prediction whose claim was answered with something else than that it is stored. */
  readonly goOn: (
    predicted: Predicted,
    message: OutcomeMessage,
    first: PublishReply,
  ) => Promise<StoredOutcome>
}

/**
 * Claims the registers of plain predictions together, in slices of no more than a turn of the loop may send. Resolves once
 * each was told of.
 *
 * @throws what `goOn` throws, once all others were told of
 */
export async function storeTogether(
  group: readonly Predicted[],
  onStored: OnStored,
  deps: TogetherDeps,
): Promise<void> {
  const { turns } = deps
  const storing = new Together()
  for (let from = 0; from < group.length; ) {
    const { to, work } = nextSlice(group, from)
    if (!turns.take(work)) await turns.spend(work)
    const slice = to - from === group.length ? group : group.slice(from, to)
    const first = from
    storing.add(storeSlice(slice, (at, stored) => onStored(first + at, stored), deps))
    from = to
  }
  await storing.ended()
}

async function storeSlice(
  group: readonly Predicted[],
  onStored: OnStored,
  { window, claims: making, isKept, messageOf, onClaimed, goOn }: TogetherDeps,
): Promise<void> {
  const messages = group.map(messageOf)
  const claims = messages.map((message) => making.of(message))
  const digests = new Float64Array(group.length)
  const rest = new Together()
  // As many of each as there are replies.
  const partsOf = (at: number): [Predicted, OutcomeMessage] => [
    group[at] as Predicted,
    messages[at] as OutcomeMessage,
  ]
  await new Promise<void>((resolve) => {
    let left = group.length
    void window.publishAll(claims, {
      mayGo: (at) => isKept((group[at] as Predicted).delivery),
      onReply: (at, reply) => {
        if (reply.kind === 'stored') {
          onClaimed(...partsOf(at))
          onStored(at, { how: 'predicted', digest: digests[at] })
        } else rest.add(goOn(...partsOf(at), reply).then((stored) => onStored(at, stored)))
        if (--left === 0) resolve()
      },
    })
    // While the broker works.
    for (let at = 0; at < claims.length; at++) {
      const { headerBlock, body } = claims[at] as EncodedMessage
      digests[at] = writtenDigest(headerBlock, making.ownLines, body)
    }
  })
  await rest.ended()
}
