import type { LedgerEntry, LedgerOutcome } from '../../../shared/sdk/contract/ledger.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import type { Delivery } from '../intake/delivery.ts'
import type { HeldDeliveries } from '../intake/held.ts'
import type { Concluded, Plain, Predicted, ShedKind } from './outcome.ts'
import type { OutcomeStore, Stored, StoredOutcome } from './outcome-store.ts'
import { givenBackMs } from './parking.ts'
import { isPlain } from './store-together.ts'
import { isAbort } from './together.ts'

export interface SettlementDeps {
  /** Stores one outcome. */
  readonly store: OutcomeStore['store']
  /** Stores plain outcomes together, and tells of each. */
  readonly storeAll: OutcomeStore['storeAll']
  /** Whether somebody looks on at the storing of this very event: then it is stored by itself. */
  readonly isWatched: (delivery: Delivery) => boolean
  readonly record: OutcomeStore['record']
  readonly held: Pick<HeldDeliveries, 'acknowledgeAll' | 'giveBack' | 'keepAway' | 'drop'>
  /** Told of each prediction that is stored. */
  readonly onPredicted: (predicted: Predicted) => void
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

/** @returns undefined for an event that did not end because of its deadline */
export function shedKindOf({ outcome, how }: Settled): ShedKind | undefined {
  if (how !== 'dead-lettered' || outcome.kind !== 'dead-lettered') return undefined
  return outcome.failure.reason === 'deadline-exceeded' ? 'expired' : outcome.shed
}

/**
 * The one place where deliveries end: the outcome of each is stored, then the ledger names them, and only then they
 * are acknowledged. Whatever ends the process in between, the broker hands them out again and the register answers.
 * An outcome that a stream does not take holds back no other for long.
 *
 * @returns how each ended, in the order of the group
 */
export async function settle(group: readonly Concluded[], deps: SettlementDeps): Promise<readonly Settled[]> {
  const all = new Array<Settled>(group.length)
  let kept: Settled[] = []
  const storing = storeGroup(group, deps, (at, { how, digest, letterDigest }) => {
    const { delivery, outcome } = group[at] as Concluded // told of what was given
    const settled = { delivery, outcome, how, digest, letterDigest }
    all[at] = settled
    kept.push(settled)
  })
  const isDoneWithin = watch(storing)
  for (let isComplete = false; !isComplete; ) {
    isComplete = await isDoneWithin(STRAGGLER_MS)
    const stored = kept
    kept = []
    await release(stored, deps)
  }
  return all
}

/** Plain outcomes in one go, what is watched or needs a look by itself. Resolves once each was told of. */
async function storeGroup(
  group: readonly Concluded[],
  deps: SettlementDeps,
  onStored: (at: number, stored: StoredOutcome) => void,
): Promise<void> {
  const plain: Plain[] = []
  const places: number[] = []
  const others: Promise<void>[] = []
  for (let at = 0; at < group.length; at++) {
    const concluded = group[at] as Concluded // within the array
    if (!deps.isWatched(concluded.delivery) && isPlain(concluded)) {
      plain.push(concluded)
      places.push(at)
    } else others.push(storeOutcome(concluded, deps).then((stored) => onStored(at, stored)))
  }
  const tell = (index: number, stored: StoredOutcome): void => onStored(places[index] as number, stored)
  if (plain.length > 0) others.push(storePlain(plain, deps, tell))
  await Promise.all(others)
}

/** Should a defect come in the way, what was not told of yet is given back: each event harms only itself. */
async function storePlain(
  group: readonly Plain[],
  { storeAll, onPredicted, onDefect }: SettlementDeps,
  onStored: (at: number, stored: StoredOutcome) => void,
): Promise<void> {
  const isTold = new Uint8Array(group.length)
  const tell = (at: number, stored: StoredOutcome): void => {
    isTold[at] = 1
    if (stored.how === 'predicted') onPredicted(group[at] as Predicted) // nothing else ends so
    onStored(at, stored)
  }
  try {
    await storeAll(group, tell)
  } catch (thrown) {
    if (isAbort(thrown)) throw thrown
    for (let at = 0; at < group.length; at++) {
      if (isTold[at] === 1) continue
      onDefect((group[at] as Plain).delivery, thrown)
      onStored(at, { how: 'returned' })
    }
  }
}

/** Names what is stored in the ledger, then lets go of it. */
async function release(kept: readonly Settled[], deps: SettlementDeps): Promise<void> {
  await recordInLedger(kept, deps)
  const done: Delivery[] = []
  for (const { delivery, how } of kept) {
    if (how === 'dropped') deps.held.drop(delivery)
    else if (how === 'returned') deps.held.giveBack(delivery, RETURN_DELAY_MS)
    else if (how === 'handed-on' || how === 'held-back')
      deps.held.keepAway(delivery, givenBackMs(how, delivery.handedOn ?? 0))
    else done.push(delivery)
  }
  deps.held.acknowledgeAll(done)
  for (const settled of kept) deps.onSettled(settled)
}

/**
 * Whether a work is done, asked as often as it takes: racing with one that lasts would keep something of each time.
 *
 * @returns resolves at its end, at the latest after `ms`; throws what the work throws
 */
function watch(work: Promise<void>): (ms: number) => Promise<boolean> {
  let isOver = false
  let wake = (): void => undefined
  const end = (): void => {
    isOver = true
    wake()
  }
  work.then(end, end)
  return async (ms) => {
    if (!isOver)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms)
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    if (isOver) await work
    return isOver
  }
}

/** One event that cannot be settled harms only itself. @throws AbortError when stopped while a stream refuses */
async function storeOutcome(
  concluded: Concluded,
  { store, onPredicted, onDefect }: SettlementDeps,
): Promise<StoredOutcome> {
  try {
    const stored = await store(concluded)
    if (stored.how === 'predicted') onPredicted(concluded as Predicted) // nothing else ends so
    return stored
  } catch (thrown) {
    if (isAbort(thrown)) throw thrown
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

function entryOf(
  { delivery, how, digest, letterDigest }: Settled,
  outcome: LedgerOutcome,
  epoch: string,
): LedgerEntry {
  const { info, event } = delivery
  const { stream, streamSequence: sequence } = info
  // A copy's result names the origin, not this sequence: only the token joins the two.
  const { origin } = event
  const isOriginal = origin.stream === stream && origin.epoch === epoch && origin.sequence === sequence
  const isOneOfMany = how === 'predicted' && stream === STREAMS.features && isOriginal
  if (isOneOfMany && letterDigest === undefined && digest !== undefined) return { sequence, outcome, digest }
  return {
    sequence,
    outcome,
    ...(!isOneOfMany && { token: event.token }),
    ...(digest !== undefined && { digest }),
    ...(letterDigest !== undefined && { letterDigest }),
  }
}
