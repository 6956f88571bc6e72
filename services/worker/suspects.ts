import type { HeaderEntry } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STORES } from '../../shared/sdk/contract/topology.ts'
import { lastOfSubject } from '../../shared/sdk/jetstream/api.ts'
import { publishError } from '../../shared/sdk/jetstream/publish-window.ts'
import type { BrokerSide } from './broker-side.ts'
import type { Delivery } from './delivery.ts'
import type { HeldDeliveries } from './held.ts'
import type { Journal } from './journal.ts'
import type { Prepared } from './prepare.ts'
import type { Concluded } from './settlement.ts'

/** That an event was about to be run, stored before it ran. Gone once the run has ended: what stays tells of one that did not. */
export interface StartMark {
  /** Runs begun together with other suspects. */
  readonly shared: number
  /** Runs begun alone: only these can condemn an event. */
  readonly alone: number
}

/** How long the broker keeps an event back whose mark could not be read or stored, milliseconds. */
const MARK_RETRY_MS = 1_000

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
export class Suspects {
  readonly #broker: Pick<BrokerSide, 'connection' | 'window'>
  readonly #held: Pick<HeldDeliveries, 'giveBack'>
  readonly #journal: Pick<Journal, 'marksUnavailable'>

  constructor(
    broker: Pick<BrokerSide, 'connection' | 'window'>,
    held: Pick<HeldDeliveries, 'giveBack'>,
    journal: Pick<Journal, 'marksUnavailable'>,
  ) {
    this.#broker = broker
    this.#held = held
    this.#journal = journal
  }

  /** What the event's past says: run it (with its mark, and how), or give it up; `undefined` when it was given back. */
  async vet(prepared: Prepared): Promise<Prepared | Concluded | undefined> {
    const { delivery, model } = prepared
    const mark = await this.#read(delivery.event.token).catch((thrown) => this.#giveBack([prepared], thrown))
    if (mark === undefined) return undefined
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

  /** Marks the suspects of a batch before it runs; false when the marks could not be stored and it was given back. */
  async begin(batch: readonly Prepared[]): Promise<boolean> {
    if (batch[0]?.mark === undefined) return true
    try {
      await this.accuse(batch)
      return true
    } catch (thrown) {
      this.#giveBack(batch, thrown)
      return false
    }
  }

  /** Stores a mark for each event of a batch. @throws PeltonError when the broker does not take one */
  async accuse(batch: readonly Prepared[]): Promise<void> {
    await Promise.all(
      batch.map(async ({ delivery, mark = NO_MARK, runsAlone }) => {
        const next = runsAlone ? { ...mark, alone: mark.alone + 1 } : { ...mark, shared: mark.shared + 1 }
        const message = { subject: subjects.startMark(delivery.event.token), headers: [], body: encode(next) }
        const reply = await this.#broker.window.publish(message)
        if (reply.kind !== 'stored') throw publishError(STORES.starts, reply)
      }),
    )
  }

  /** Removes the marks of a batch whose run has ended. One that stays expires, and does no harm before. */
  clear(batch: readonly Prepared[]): void {
    for (const { mark, delivery } of batch) {
      const subject = subjects.startMark(delivery.event.token)
      if (mark !== undefined)
        void this.#broker.window.publish({ subject, headers: PURGE, body: new Uint8Array() })
    }
  }

  #giveBack(batch: readonly Prepared[], thrown: unknown): undefined {
    this.#journal.marksUnavailable(thrown)
    for (const { delivery } of batch) this.#held.giveBack(delivery, MARK_RETRY_MS)
  }

  async #read(token: string): Promise<StartMark> {
    const copy = await lastOfSubject(this.#broker.connection, STORES.starts, subjects.startMark(token))
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
