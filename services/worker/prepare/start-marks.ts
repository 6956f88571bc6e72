import { HEADERS, KEY_REMOVED } from '../../../shared/sdk/contract/headers.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STORES } from '../../../shared/sdk/contract/topology.ts'
import type { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { type Delivery, returnsBefore, returnsOf } from '../intake/delivery.ts'
import type { Concluded } from '../settle/outcome.ts'
import type { PatientStorage } from '../settle/storage.ts'
import type { Batch, Passed, Prepared, StartMark } from './prepared.ts'

/** Suspects without a mark run together, so few that a crash names few. */
const SHARED_ROWS = 8

/** A mark that says no more than that an event was handed on is of use until it is delivered again. */
const HANDED_ON_TTL = '600s'

/** A mark is read where there may be one: not at the first delivery of a first attempt. */
export function isSuspect({ info, event }: Delivery): boolean {
  return info.deliveryCount > 1 || event.attempt > 1 || returnsBefore({ info, event }) > 0
}

/**
 * Events whose worker died, hung, or only drained. Counting deliveries would condemn everything a crashed worker
 * happened to hold; a mark, stored before the event runs, names those that were running. Events without a mark run in
 * small batches, marked ones alone, and who was running alone too often is not run again.
 */
export class StartMarks {
  readonly #storage: PatientStorage
  readonly #window: PublishWindow
  /** Deliveries that were marked here: until their marks are stored nothing else is written in their place. */
  readonly #marking = new WeakMap<Delivery, Promise<unknown>>()

  constructor(storage: PatientStorage, window: PublishWindow) {
    this.#storage = storage
    this.#window = window
  }

  /** What the past of each suspect says: run it (with its mark, and how), or give it up. @throws AbortError when stopped */
  async vet(suspects: Batch): Promise<Passed> {
    return Promise.all(
      suspects.map(async (suspect) => judge(suspect, await this.#read(suspect.delivery.event.token))),
    )
  }

  /** Marks the suspects of a batch before it runs. @throws AbortError when stopped */
  async begin(batch: Batch): Promise<void> {
    if (batch[0]?.mark !== undefined) await this.accuse(batch)
  }

  /** Stores a mark for each event of a batch. @throws AbortError when stopped */
  async accuse(batch: Batch): Promise<void> {
    await Promise.all(
      batch.map(async ({ delivery, mark = NO_MARK, runsAlone }) => {
        const next = runsAlone ? { ...mark, alone: mark.alone + 1 } : { ...mark, shared: mark.shared + 1 }
        const message = { subject: subjects.startMark(delivery.event.token), headers: [], body: encode(next) }
        const marking = this.#storage.store(STORES.starts, message)
        this.#marking.set(delivery, marking)
        await marking
      }),
    )
  }

  /** Removes the marks of a batch whose run has ended. One that stays expires, and does no harm before. */
  clear(batch: Batch): void {
    for (const { mark, delivery } of batch) {
      const subject = subjects.startMark(delivery.event.token)
      if (mark !== undefined)
        void this.#window.publish({ subject, headers: KEY_REMOVED, body: new Uint8Array() })
    }
  }

  /**
   * Learns how often a delivery was handed on, and gives what notes that it is once more. A note that the bucket does not
   * take makes the event a suspect, which costs it its place in a large batch and nothing else.
   *
   * @throws AbortError when stopped
   */
  async look(delivery: Delivery): Promise<() => Promise<void>> {
    const marking = this.#marking.get(delivery)
    await marking
    const isMarked = marking !== undefined || isSuspect(delivery)
    const mark = isMarked ? await this.#read(delivery.event.token) : NO_MARK
    const times = learn(delivery, mark)
    return async () => {
      const { stream, streamSequence: sequence } = delivery.info
      const next: StartMark = { ...mark, handedOn: { stream, sequence, times: times + 1 } }
      const message = { subject: subjects.startMark(delivery.event.token), body: encode(next) }
      // What is known of its runs must not expire sooner than it would have.
      if (mark.shared + mark.alone > 0) await this.#storage.store(STORES.starts, { ...message, headers: [] })
      else await this.#window.publish({ ...message, headers: [[HEADERS.timeToLive, HANDED_ON_TTL]] })
    }
  }

  async #read(token: string): Promise<StartMark> {
    const copy = await this.#storage.read(STORES.starts, subjects.startMark(token))
    if (copy === undefined || copy.body.length === 0) return NO_MARK
    return { ...NO_MARK, ...(JSON.parse(Buffer.from(copy.body).toString()) as Partial<StartMark>) }
  }
}

/** How often the message of a delivery was handed on before; the delivery knows it from then on. */
function learn(delivery: Delivery, { handedOn }: StartMark): number {
  const { stream, streamSequence } = delivery.info
  const isOfThis = handedOn?.stream === stream && handedOn.sequence === streamSequence
  delivery.handedOn = isOfThis ? handedOn.times : 0
  return delivery.handedOn
}

function judge(prepared: Prepared, mark: StartMark): Prepared | Concluded {
  learn(prepared.delivery, mark)
  const most = Math.max(2, prepared.model.manifest.retries.maxAttempts)
  if (mark.alone >= most) return crashed(prepared, mark)
  if (mark.shared + mark.alone > 0) return { ...prepared, mark, runsAlone: true }
  // Every delivery but this one is explained: nothing speaks against it.
  if (prepared.delivery.event.attempt === 1 && returnsOf(prepared.delivery) === 0) return prepared
  return {
    ...prepared,
    mark,
    kind: `${prepared.kind} suspect`,
    maxBatchRows: Math.min(SHARED_ROWS, prepared.maxBatchRows),
  }
}

const NO_MARK: StartMark = { shared: 0, alone: 0 }

function encode(mark: StartMark): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(mark))
}

function crashed({ delivery, model }: Prepared, { alone }: StartMark): Concluded {
  const description = `its worker ended ${alone} times while it ran alone; it is not run again`
  return {
    delivery,
    outcome: {
      kind: 'dead-lettered',
      failure: { reason: 'worker-crashed', description, stage: 'infer' },
      modelVersion: model.version,
    },
  }
}
