import { TURN_BYTES, type Turns } from '../../../shared/runtime/turns.ts'
import type { Provenance } from '../../../shared/sdk/contract/outcome.ts'
import { writtenDigest } from '../../../shared/sdk/contract/outcome-digest.ts'
import type { OutcomeMessage } from '../../../shared/sdk/contract/register-message.ts'
import type { PublishReply } from '../../../shared/sdk/jetstream/publish-reply.ts'
import type { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import type { Delivery } from '../intake/delivery.ts'
import type { DeadLetters } from './dead-letters.ts'
import { type Concluded, isPredicted, type Plain, sendingWork } from './outcome.ts'
import type { OnStored, StoredOutcome } from './outcome-store.ts'
import { type Claims, mayBeFirst } from './register.ts'
import { sendTogether } from './send-together.ts'
import { Together } from './together.ts'

/** One on its way into its register: a prediction, or a failure notice with its dead letter to follow. */
export interface Addressed {
  readonly plain: Plain
  readonly made: Provenance
  readonly message: OutcomeMessage
}

/** What of a group is sent in one turn of the loop: at least one, and no more than a turn may send. */
function nextSlice(group: readonly Plain[], from: number): { readonly to: number; readonly work: number } {
  let to = from
  let work = 0
  while (to < group.length) {
    const next = sendingWork(group[to] as Plain) // within the group
    if (to > from && work + next > TURN_BYTES) break
    work += next
    to++
  }
  return { to, work }
}

/**
 * Whether an outcome can be stored together with others: nothing has to be looked at before, and it is no more than a
 * turn of the loop may send.
 */
export function isPlain(concluded: Concluded): concluded is Plain {
  const { delivery, outcome } = concluded
  if (outcome.kind !== 'predicted' && outcome.kind !== 'dead-lettered') return false
  return mayBeFirst(delivery) && sendingWork(concluded) <= TURN_BYTES
}

export interface TogetherDeps {
  readonly turns: Pick<Turns, 'take' | 'spend'>
  readonly window: Pick<PublishWindow, 'publishAll'>
  /** How outcomes are published here. */
  readonly claims: Claims
  /** Whether the broker has kept the delivery for this worker all the time. */
  readonly isKept: (delivery: Delivery) => boolean
  /** An outcome, as it is addressed to its register. */
  readonly address: (plain: Plain) => Addressed
  /** Told of an outcome that has taken its register. */
  readonly onClaimed: (addressed: Addressed) => void
  /** Dead letters, behind their notices. */
  readonly letters: Pick<DeadLetters, 'together'>
  /** What becomes of an outcome whose claim was answered with something else than that it is stored. */
  readonly goOn: (addressed: Addressed, first: PublishReply) => Promise<StoredOutcome>
}

/**
 * Claims the registers of plain outcomes together, in slices of no more than a turn of the loop may send; dead letters
 * follow as soon as their notices are stored. Resolves once each was told of.
 *
 * @throws what `goOn` throws, once all others were told of
 */
export async function storeTogether(
  group: readonly Plain[],
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

async function storeSlice(group: readonly Plain[], onStored: OnStored, deps: TogetherDeps): Promise<void> {
  const { window, claims: making, isKept, onClaimed, goOn } = deps
  const addressed = group.map(deps.address)
  const claims = addressed.map(({ message }) => making.of(message))
  const letters = deps.letters.together(onStored)
  const alone = await sendTogether(claims, window, {
    mayGo: (at) => isKept((group[at] as Plain).delivery),
    digestOf: ({ headerBlock, body }) => writtenDigest(headerBlock, making.ownLines, body),
    onStored(at, digest) {
      const one = addressed[at] as Addressed // as many as there are claims
      onClaimed(one)
      if (isPredicted(one.plain)) onStored(at, { how: 'predicted', digest })
      else letters.add({ at, given: one.plain, made: one.made, digest })
    },
    goOn: async (at, reply) => onStored(at, await goOn(addressed[at] as Addressed, reply)),
  })
  const both = new Together()
  both.add(alone.ended())
  both.add(letters.ended())
  await both.ended()
}
