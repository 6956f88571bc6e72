import type { LedgerEntry, LedgerOutcome } from '../../../shared/sdk/contract/ledger.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import type { Delivery } from '../intake/delivery.ts'
import type { HeldDeliveries } from '../intake/held.ts'
import type { Concluded } from './outcome.ts'
import type { OutcomeStore, Stored, StoredOutcome } from './outcome-store.ts'
import { givenBackMs } from './parking.ts'

export interface SettlementDeps {
  readonly store: OutcomeStore['store']
  readonly record: OutcomeStore['record']
  readonly held: Pick<HeldDeliveries, 'acknowledge' | 'giveBack' | 'keepAway' | 'drop'>
  readonly onPredicted: (delivery: Delivery) => void
  /** Creation time of each stream that delivers. */
  readonly epochs: ReadonlyMap<string, string>
  /** Told of an outcome that could not be stored for a reason that should not be. */
  readonly onDefect: (delivery: Delivery, thrown: unknown) => void
  /** Told how each delivery ended. */
  readonly onSettled: (settled: Settled) => void
}

/** How long the broker keeps an event back that could not be retried in the retry lane, milliseconds. */
const RETURN_DELAY_MS = 5_000

/** How long what is stored waits for the rest of its group, milliseconds: then it is settled without. */
const STRAGGLER_MS = 250

/** A delivery that has ended, and how. */
export interface Settled extends Concluded, StoredOutcome {}

/**
 * The one place where deliveries end: the outcome of each is stored, then the ledger names them, and only then they
 * are acknowledged. Whatever ends the process in between, the broker hands them out again and the register answers.
 * An outcome that a stream does not take holds back no other for long.
 *
 * @returns how each ended, in the order of the group
 */
export async function settle(group: readonly Concluded[], deps: SettlementDeps): Promise<readonly Settled[]> {
  const kept: Settled[] = []
  const all = Promise.all(
    group.map(async (concluded) => {
      const settled = { ...concluded, ...(await storeOutcome(concluded, deps)) }
      kept.push(settled)
      return settled
    }),
  )
  for (let isComplete = false; !isComplete; ) {
    isComplete = await isDoneWithin(all, STRAGGLER_MS)
    await release(kept.splice(0), deps)
  }
  return all
}

/** Names what is stored in the ledger, then lets go of it. */
async function release(kept: readonly Settled[], deps: SettlementDeps): Promise<void> {
  await recordInLedger(kept, deps)
  for (const settled of kept) {
    const { delivery, how } = settled
    if (how === 'dropped') deps.held.drop(delivery)
    else if (how === 'returned') deps.held.giveBack(delivery, RETURN_DELAY_MS)
    else if (how === 'handed-on' || how === 'held-back')
      deps.held.keepAway(delivery, givenBackMs(how, delivery.handedOn ?? 0))
    else deps.held.acknowledge(delivery)
    deps.onSettled(settled)
  }
}

/** @throws what `work` throws */
async function isDoneWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms)
  })
  return Promise.race([work.then(() => true), late]).finally(() => clearTimeout(timer))
}

/** One event that cannot be settled harms only itself. @throws AbortError when stopped while a stream refuses */
async function storeOutcome(
  concluded: Concluded,
  { store, onPredicted, onDefect }: SettlementDeps,
): Promise<StoredOutcome> {
  try {
    const stored = await store(concluded)
    if (stored.how === 'predicted') onPredicted(concluded.delivery)
    return stored
  } catch (thrown) {
    if (thrown instanceof Error && thrown.name === 'AbortError') throw thrown
    onDefect(concluded.delivery, thrown)
    return { how: 'returned' }
  }
}

/** How the ledger names an end; nothing where the event stays in its stream. */
const IN_LEDGER: Readonly<Record<Stored, LedgerOutcome | undefined>> = {
  predicted: 'predicted',
  'already-answered': 'already-answered',
  'dead-lettered': 'dead-lettered',
  retried: 'retried',
  // To the audit it is the same: the event left this sequence, and its token waits in RETRIES.
  parked: 'retried',
  'handed-on': undefined,
  'held-back': undefined,
  returned: undefined,
  dropped: undefined,
}

/** One record for each stream that delivered: an entry needs its token where the outcome is not plain. */
async function recordInLedger(kept: readonly Settled[], { record, epochs }: SettlementDeps): Promise<void> {
  for (const [stream, epoch] of epochs) {
    const entries: LedgerEntry[] = []
    for (const settled of kept) {
      const outcome = IN_LEDGER[settled.how]
      if (settled.delivery.info.stream === stream && outcome !== undefined)
        entries.push(entryOf(settled, outcome, epoch))
    }
    if (entries.length > 0) await record({ stream, epoch, entries })
  }
}

function entryOf({ delivery, how, digest, letterDigest }: Settled, outcome: LedgerOutcome, epoch: string) {
  const { info, event } = delivery
  const { stream, streamSequence: sequence } = info
  // A copy's result names the origin, not this sequence: only the token joins the two.
  const { origin } = event
  const isOriginal = origin.stream === stream && origin.epoch === epoch && origin.sequence === sequence
  const isPlain = how === 'predicted' && stream === STREAMS.features && isOriginal
  return {
    sequence,
    outcome,
    ...(!isPlain && { token: event.token }),
    ...(digest !== undefined && { digest }),
    ...(letterDigest !== undefined && { letterDigest }),
  }
}
