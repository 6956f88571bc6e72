import type { LargeGarbage } from '../../shared/runtime/large-garbage.ts'
import type { Turns } from '../../shared/runtime/turns.ts'
import type { Breakers } from './infer/breakers.ts'
import type { Delivery } from './intake/delivery.ts'
import type { HeldDeliveries } from './intake/held.ts'
import type { Interceptors } from './observe/interceptors.ts'
import type { Reporter } from './observe/reporter.ts'
import { inTurn } from './settle/in-turn.ts'
import type { Predicted } from './settle/outcome.ts'
import { OutcomeStore } from './settle/outcome-store.ts'
import { RetryBudgets } from './settle/retry-budget.ts'
import type { SettlementDeps } from './settle/settlement.ts'
import type { PatientStorage } from './settle/storage.ts'
import type { Shedding } from './shed/shedding.ts'
import type { WaitingForModels } from './waiting.ts'
import type { WorkerDeps, WorkerOptions } from './worker-deps.ts'

/** What of a worker has a part in how events end, or is told of it. */
export interface SettlementSurroundings {
  readonly storage: PatientStorage
  readonly held: HeldDeliveries
  readonly waiting: Pick<WaitingForModels, 'parking' | 'retryRoom'>
  readonly reporter: Reporter
  readonly breakers: Pick<Breakers, 'left'>
  readonly shedding: Pick<Shedding, 'stored'>
  readonly observe: Pick<Interceptors, 'store' | 'storeAll' | 'isWatched'>
  readonly turns: Turns
  readonly garbage: LargeGarbage
}

/** How the events of a worker are settled, and who is told of it. */
export function openWorkerSettlement(
  { broker }: Pick<WorkerDeps, 'broker'>,
  place: Pick<WorkerOptions, 'name' | 'pool'>,
  surroundings: SettlementSurroundings,
): SettlementDeps {
  const { held, reporter, breakers, shedding, observe, turns, garbage } = surroundings
  const budgets = new RetryBudgets()
  const store = openStore(broker, place, budgets, surroundings)
  return {
    store: observe.store(inTurn((one) => store.store(one), turns, garbage)),
    storeAll: observe.storeAll((group, onStored) => store.storeAll(group, onStored)),
    isWatched: observe.isWatched,
    record: (record) => store.record(record),
    held,
    epochs: broker.epochs,
    onPredicted(predicted: Predicted) {
      const { delivery } = predicted
      const { route, expiresAt } = delivery.event
      budgets.of(route.model).succeeded()
      if (expiresAt === undefined) return
      const now = broker.now()
      shedding.stored(predicted, now)
      if (now > expiresAt) reporter.missed(delivery)
    },
    onDefect: (delivery, thrown) => reporter.unsettled(delivery, thrown),
    onSettled(settled) {
      breakers.left(settled.delivery)
      reporter.settled(settled)
    },
  }
}

function openStore(
  broker: WorkerDeps['broker'],
  { name, pool }: Pick<WorkerOptions, 'name' | 'pool'>,
  budgets: RetryBudgets,
  { storage, held, waiting, reporter, turns }: SettlementSurroundings,
): OutcomeStore {
  const { parking, retryRoom } = waiting
  return new OutcomeStore({
    ...broker,
    ...{ storage, worker: name, pool, turns, parking },
    isKept: (delivery) => held.isKept(delivery),
    onJunk: (delivery, sequence) => reporter.junk(delivery, sequence),
    mayRetry: (delivery) => spendsRetry(delivery, retryRoom, budgets),
    onRetried: (...answer) => retryRoom.answered(...answer),
    onConflict: (delivery) => reporter.conflict(delivery),
    onUnstorable: (delivery) => reporter.unstorable(delivery),
  })
}

/** A retry is spent only where the retry lane has room for it. */
function spendsRetry(
  delivery: Delivery,
  retryRoom: WaitingForModels['retryRoom'],
  budgets: RetryBudgets,
): boolean {
  if (!retryRoom.hasRoomFor(delivery) || !budgets.of(delivery.event.route.model).spend()) return false
  retryRoom.take(delivery)
  return true
}
