import type { LedgerEntry } from '../../shared/sdk/contract/ledger.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import type { Delivery } from './delivery.ts'
import type { HeldDeliveries } from './held.ts'
import type { Outcome } from './outcome.ts'
import type { OutcomeStore, Stored } from './outcome-store.ts'

/** A delivery and what is to become of it. */
export interface Concluded {
  readonly delivery: Delivery
  readonly outcome: Outcome
}

export interface SettlementDeps {
  readonly store: Pick<OutcomeStore, 'store' | 'record'>
  readonly held: Pick<HeldDeliveries, 'acknowledge' | 'giveBack'>
  /** Spends one retry of the event's model; false when its budget is used up or the retry lane is full. */
  readonly mayRetry: (delivery: Delivery) => boolean
  readonly onPredicted: (delivery: Delivery) => void
  /** Creation time of each stream that delivers. */
  readonly epochs: ReadonlyMap<string, string>
  /** Told how each delivery ended. */
  readonly onSettled: (concluded: Concluded, stored: Stored) => void
}

/** How long the broker keeps an event back that could not be retried in the retry lane, milliseconds. */
const RETURN_DELAY_MS = 5_000

/**
 * The one place where deliveries end: the outcome of each is stored, then the ledger names them, and only then they
 * are acknowledged. Whatever ends the process in between, the broker hands them out again and the register answers.
 */
export async function settle(group: readonly Concluded[], deps: SettlementDeps): Promise<void> {
  const stored = await Promise.all(group.map((concluded) => storeOutcome(concluded, deps)))
  await recordInLedger(group, stored, deps)
  group.forEach((concluded, index) => {
    const how = stored[index] as Stored
    if (how === 'returned') deps.held.giveBack(concluded.delivery, RETURN_DELAY_MS)
    else deps.held.acknowledge(concluded.delivery)
    deps.onSettled(concluded, how)
  })
}

async function storeOutcome(
  { delivery, outcome }: Concluded,
  { store, mayRetry, onPredicted }: SettlementDeps,
): Promise<Stored> {
  const how = await store.store(delivery, outcome, () => mayRetry(delivery))
  if (how === 'predicted') onPredicted(delivery)
  return how
}

/** One record for each stream that delivered: an entry needs its token where the outcome is not plain. */
async function recordInLedger(
  group: readonly Concluded[],
  stored: readonly Stored[],
  { store, epochs }: SettlementDeps,
): Promise<void> {
  for (const [stream, epoch] of epochs) {
    const entries: LedgerEntry[] = []
    group.forEach(({ delivery: { info, event } }, index) => {
      const outcome = stored[index] as Stored
      if (info.stream !== stream || outcome === 'returned') return
      // A copy's result names the origin, not this sequence: only the token joins the two.
      const isPlain =
        outcome === 'predicted' &&
        stream === STREAMS.features &&
        event.origin.sequence === info.streamSequence
      entries.push({ sequence: info.streamSequence, outcome, ...(!isPlain && { token: event.token }) })
    })
    if (entries.length > 0) await store.record({ stream, epoch, entries })
  }
}
