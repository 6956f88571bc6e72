import type { HeaderEntry } from '../../../shared/sdk/contract/headers.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STORES } from '../../../shared/sdk/contract/topology.ts'
import type { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import type { Delivery } from '../intake/delivery.ts'
import type { Concluded } from '../settle/outcome.ts'
import type { PatientStorage } from '../settle/storage.ts'
import type { Prepared, StartMark } from './prepared.ts'

/** Suspects without a mark run together, so few that a crash names few. */
const SHARED_ROWS = 8

/** A mark is read where there may be one: not at the first delivery of a first attempt. */
export function isSuspect({ info, event }: Delivery): boolean {
  return info.deliveryCount > 1 || event.attempt > 1
}

/**
 * Events whose worker died, hung, or only drained. Counting deliveries would condemn everything a crashed worker
 * happened to hold; a mark, stored before the event runs, names those that were running. Events without a mark run in
 * small batches, marked ones alone, and who was running alone too often is not run again.
 */
export class StartMarks {
  readonly #storage: PatientStorage
  readonly #window: PublishWindow

  constructor(storage: PatientStorage, window: PublishWindow) {
    this.#storage = storage
    this.#window = window
  }

  /** What the event's past says: run it (with its mark, and how), or give it up. @throws AbortError when stopped */
  async vet(prepared: Prepared): Promise<Prepared | Concluded> {
    const { delivery, model } = prepared
    const mark = await this.#read(delivery.event.token)
    const most = Math.max(2, model.manifest.retries.maxAttempts)
    if (mark.alone >= most) return crashed(prepared, mark)
    if (mark.shared + mark.alone > 0) return { ...prepared, mark, runsAlone: true }
    return {
      ...prepared,
      mark,
      kind: `${prepared.kind} suspect`,
      maxBatchRows: Math.min(SHARED_ROWS, prepared.maxBatchRows),
    }
  }

  /** Marks the suspects of a batch before it runs. @throws AbortError when stopped */
  async begin(batch: readonly Prepared[]): Promise<void> {
    if (batch[0]?.mark !== undefined) await this.accuse(batch)
  }

  /** Stores a mark for each event of a batch. @throws AbortError when stopped */
  async accuse(batch: readonly Prepared[]): Promise<void> {
    await Promise.all(
      batch.map(async ({ delivery, mark = NO_MARK, runsAlone }) => {
        const next = runsAlone ? { ...mark, alone: mark.alone + 1 } : { ...mark, shared: mark.shared + 1 }
        const message = { subject: subjects.startMark(delivery.event.token), headers: [], body: encode(next) }
        await this.#storage.store(STORES.starts, message)
      }),
    )
  }

  /** Removes the marks of a batch whose run has ended. One that stays expires, and does no harm before. */
  clear(batch: readonly Prepared[]): void {
    for (const { mark, delivery } of batch) {
      const subject = subjects.startMark(delivery.event.token)
      if (mark !== undefined) void this.#window.publish({ subject, headers: PURGE, body: new Uint8Array() })
    }
  }

  async #read(token: string): Promise<StartMark> {
    const copy = await this.#storage.read(STORES.starts, subjects.startMark(token))
    if (copy === undefined || copy.body.length === 0) return NO_MARK
    return { ...NO_MARK, ...(JSON.parse(Buffer.from(copy.body).toString()) as Partial<StartMark>) }
  }
}

const NO_MARK: StartMark = { shared: 0, alone: 0 }

/** Removes a key and its history (ADR-8). */
const PURGE: readonly HeaderEntry[] = [
  ['KV-Operation', 'PURGE'],
  ['Nats-Rollup', 'sub'],
]

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
