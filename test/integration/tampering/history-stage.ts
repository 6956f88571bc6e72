import { headers, type NatsConnection } from '@nats-io/transport-node'
import { audit } from '../../../shared/operations/audit/audit.ts'
import type { AuditReport } from '../../../shared/operations/audit/report.ts'
import type { OpsStore } from '../../../shared/operations/records/store.ts'
import { openStore } from '../../../shared/operations/replay/open-store.ts'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../../shared/sdk/contract/token.ts'
import type { Reason } from '../../../shared/sdk/errors.ts'
import { startTestBroker, type TestBroker } from '../../kit/broker.ts'
import { createRandom } from '../../kit/random.ts'
import { type Decide, type HandWorker, openHandWorker } from './hand-worker.ts'

const MODEL = 'model'
export const SOURCE = 'history'
export const ROUTE = { pool: 'default', model: MODEL, lane: 'normal' } as const

/** A broker with Pelton's streams, and one who writes a history into them. */
export interface HistoryStage {
  readonly broker: TestBroker
  readonly connection: NatsConnection
  readonly store: OpsStore
  /** Numbers in [0, 1), fixed by the seed. */
  readonly random: () => number
  /** One of these, chosen by the seed. */
  pick<Item>(items: readonly Item[]): Item
  /** Each of these with this probability. */
  some<Item>(items: readonly Item[], share: number): Item[]
  /** The worker of now: another one after FEATURES was made anew. */
  worker(): HandWorker
  renewWorker(): Promise<void>
  /** Ids that were published, in order. */
  readonly ids: string[]
  /** Publishes an event, and returns its sequence. */
  publish(id: string, body?: string, extra?: Readonly<Record<string, string>>): Promise<number>
  /** What the audit says: everything, from the first event. */
  look(options?: { deep?: boolean }): Promise<AuditReport>
  /** Ends the worker and the broker. */
  close(): Promise<void>
}

/** Opens one with this seed on a broker of its own. */
export async function openHistoryStage(seed: number): Promise<HistoryStage> {
  const broker = await startTestBroker()
  await broker.provision()
  const connection = await broker.connect()
  const store = openStore(connection)
  const random = createRandom(seed)
  const ids: string[] = []
  let workers = 0
  const nextWorker = (): Promise<HandWorker> => openHandWorker(connection, `w${++workers}`)
  let worker = await nextWorker()
  return {
    broker,
    connection,
    store,
    random,
    pick: (items) => items[Math.floor(random() * items.length)] as (typeof items)[number],
    some: (items, share) => items.filter(() => random() < share),
    worker: () => worker,
    renewWorker: async () => {
      worker.close()
      worker = await nextWorker()
    },
    ids,
    async publish(id, body = bodyOf(id), extra = {}) {
      const block = headers()
      for (const [name, value] of Object.entries({ ...extra, [HEADERS.id]: id, [HEADERS.source]: SOURCE }))
        block.set(name, value)
      const reply = await connection.request(subjects.feature(ROUTE), body, {
        headers: block,
        timeout: 5_000,
      })
      ids.push(id)
      return reply.json<{ seq: number }>().seq
    },
    look: async ({ deep = true } = {}) =>
      (await audit(connection, { signal: AbortSignal.abort(), full: true, deep })).report,
    async close() {
      worker.close()
      store.close()
      await broker.stop()
    },
  }
}

export function tokenOf(id: string): string {
  return eventToken(MODEL, SOURCE, id)
}

export function bodyOf(id: string): string {
  return JSON.stringify({ features: { id } })
}

/** What every prediction says of how it was made. */
export const FACTS = {
  modelVersion: '1',
  contentType: 'application/json',
  inferenceHeaderLength: undefined,
  queueMs: 1,
  inferenceMs: 1,
  batchRows: 1,
} as const

/** What a model says of an event. */
export const predicted: Decide = ({ event }) => ({
  kind: 'predicted',
  facts: FACTS,
  body: Buffer.from(JSON.stringify({ outputs: [{ name: 'of', data: [event.id] }] })),
})

/** That an event cannot be predicted. */
export function deadLettered(reason: Reason = 'inference-failed'): Decide {
  return () => ({
    kind: 'dead-lettered',
    failure: { reason, description: 'a trial', stage: 'infer' },
    modelVersion: '1',
  })
}

/** That an event shall be tried again, after so many milliseconds. */
export function retried(inMs: number): Decide {
  return () => ({
    kind: 'retried',
    failure: { reason: 'inference-failed', description: 'a trial', stage: 'infer' },
    dueAt: Date.now() + inMs,
  })
}

/** That nobody serves the model of an event. */
export const parked: Decide = () => ({
  kind: 'not-servable',
  why: { cause: 'missing', text: 'a trial' },
})
