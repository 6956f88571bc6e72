import type { HeaderEntry } from '../../../shared/sdk/contract/headers.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STORES } from '../../../shared/sdk/contract/topology.ts'
import type { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import type { Concluded } from '../settle/outcome.ts'
import type { PatientStorage } from '../settle/storage.ts'
import type { Batch, Passed, Prepared, StartMark } from './prepared.ts'

/** Suspects without a mark run together, so few that a crash names few. */
const SHARED_ROWS = 8

/** A mark is read where there may be one: not at the first delivery of a first attempt. */
export function isSuspect({ delivery: { info, event } }: Prepared): boolean {
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
        await this.#storage.store(STORES.starts, message)
      }),
    )
  }

  /** Removes the marks of a batch whose run has ended. One that stays expires, and does no harm before. */
  clear(batch: Batch): void {
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

function judge(prepared: Prepared, mark: StartMark): Prepared | Concluded {
  const most = Math.max(2, prepared.model.manifest.retries.maxAttempts)
  if (mark.alone >= most) return crashed(prepared, mark)
  if (mark.shared + mark.alone > 0) return { ...prepared, mark, runsAlone: true }
  return {
    ...prepared,
    mark,
    kind: `${prepared.kind} suspect`,
    maxBatchRows: Math.min(SHARED_ROWS, prepared.maxBatchRows),
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
