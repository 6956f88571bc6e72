import type { NatsConnection } from '@nats-io/transport-node'
import type { Delivery } from '../../../services/worker/intake/delivery.ts'
import type { Concluded, Outcome } from '../../../services/worker/settle/outcome.ts'
import { OutcomeStore } from '../../../services/worker/settle/outcome-store.ts'
import { Parking } from '../../../services/worker/settle/parking.ts'
import { type SettlementDeps, settle } from '../../../services/worker/settle/settlement.ts'
import { PatientStorage } from '../../../services/worker/settle/storage.ts'
import { Turns } from '../../../shared/runtime/turns.ts'
import { readEvent } from '../../../shared/sdk/contract/event.ts'
import type { OutgoingMessage } from '../../../shared/sdk/contract/outcome.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { readStored, type Stored } from './stored.ts'

/** The step before which a worker is killed: what came before it is stored, what comes after is not. */
export type KilledBefore = 'result' | 'dead-letter' | 'ledger' | 'ack'

/** What becomes of a delivery, as a model or a deadline would decide. */
export type Decide = (delivery: Delivery) => Outcome

/**
 * Settles events without a model, by the very store and settlement of a worker: what it leaves in the streams is what a
 * worker leaves, to the byte. It runs no model and waits for nothing, so a history of a hundred events takes milliseconds.
 */
export interface HandWorker {
  /** What a consumer may hand out: all of FEATURES, and of RETRIES what is due. */
  waiting(): Promise<Delivery[]>
  /** Settles these deliveries in one group, as far as it lives. */
  settle(deliveries: readonly Delivery[], decide: Decide, killedBefore?: KilledBefore): Promise<void>
  close(): void
}

/** @param name as its results and records name it */
export async function openHandWorker(connection: NatsConnection, name: string): Promise<HandWorker> {
  const window = new PublishWindow(connection)
  const epochs = new Map<string, string>()
  for (const stream of [STREAMS.features, STREAMS.retries])
    epochs.set(stream, (await streamInfo(connection, stream))?.created ?? '')
  const parking = parkingOf(window)
  const storeOf = (killedBefore: KilledBefore | undefined): OutcomeStore =>
    new OutcomeStore({
      connection,
      window,
      storage: new MortalStorage({ connection, window }, killedBefore),
      worker: name,
      pool: 'default',
      now: Date.now,
      mayRetry: () => true,
      parking,
      onConflict: () => undefined,
      onJunk: () => undefined,
      isKept: () => true,
      turns: new Turns(),
      onUnstorable: () => undefined,
    })
  return {
    async waiting() {
      const events = await readStored(connection, STREAMS.features)
      const due = await readStored(connection, STREAMS.retries, 'due.>')
      return [...events, ...due].map((one) => deliveryOf(epochs.get(one.stream) ?? '', one))
    },
    async settle(deliveries, decide, killedBefore) {
      const store = storeOf(killedBefore)
      const acknowledged: Delivery[] = []
      const deps: SettlementDeps = {
        store: (concluded) => (killedBefore === 'result' ? killed() : store.store(concluded)),
        storeAll: (together, onStored) =>
          killedBefore === 'result' ? killed() : store.storeAll(together, onStored),
        isWatched: () => false,
        record: (record) => (killedBefore === 'ledger' ? killed() : store.record(record)),
        held: {
          acknowledgeAll: (settled) => void acknowledged.push(...settled),
          giveBack: () => undefined,
          keepAway: () => undefined,
          drop: () => undefined,
        },
        onPredicted: () => undefined,
        epochs,
        onDefect: (_delivery, thrown) => {
          throw thrown
        },
        onSettled: () => undefined,
      }
      const group = deliveries.map((delivery): Concluded => ({ delivery, outcome: decide(delivery) }))
      await settle(group, deps).catch(ignoreKill)
      if (killedBefore === undefined) await Promise.all(acknowledged.map((one) => remove(connection, one)))
    },
    close() {
      parking.close()
      window.close()
    },
  }
}

function parkingOf(window: PublishWindow): Parking {
  const most = { events: 10_000, bytes: 1024 ** 3 }
  return new Parking({
    window,
    now: Date.now,
    room: { left: () => most, share: () => most, take: () => undefined, answered: () => undefined },
    most,
    isServedElsewhere: () => false,
    isKept: () => true,
    look: async () => async () => undefined,
  })
}

/** Dies where it is told to: the notice of a dead letter is stored, the dead letter is not. */
class MortalStorage extends PatientStorage {
  readonly #killedBefore: KilledBefore | undefined

  constructor(
    broker: ConstructorParameters<typeof PatientStorage>[0],
    killedBefore: KilledBefore | undefined,
  ) {
    super(broker, { signal: AbortSignal.timeout(60_000), onChange: () => undefined })
    this.#killedBefore = killedBefore
  }

  override store(stream: string, message: OutgoingMessage): Promise<'stored' | 'too-large'> {
    if (stream === STREAMS.deadLetters && this.#killedBefore === 'dead-letter') return killed()
    return super.store(stream, message)
  }
}

function killed(): Promise<never> {
  return Promise.reject(new DOMException('killed', 'AbortError'))
}

function ignoreKill(thrown: unknown): void {
  if (!(thrown instanceof DOMException && thrown.name === 'AbortError')) throw thrown
}

/** A message of a work queue as its consumers would hand it out. */
function deliveryOf(epoch: string, stored: Stored): Delivery {
  const { stream, subject, sequence, storedAt, body } = stored
  const info = {
    stream,
    consumer: 'by hand',
    deliveryCount: 1,
    streamSequence: sequence,
    consumerSequence: sequence,
    storedAt,
    pending: 0,
  }
  const event = readEvent({ ...stored, epoch })
  return { event, subject, ackSubject: '', info, body, sizeBytes: body.length, rows: 1, sentSince: 0 }
}

/** To a work queue the same as an acknowledgement. */
async function remove(connection: NatsConnection, { info }: Delivery): Promise<void> {
  await requestApi(connection, `STREAM.MSG.DELETE.${info.stream}`, { seq: info.streamSequence })
}
