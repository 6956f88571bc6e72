import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { KEY_REMOVED } from '../../sdk/contract/headers.ts'
import { readPoolRecord, subjects } from '../../sdk/contract/subjects.ts'
import { STORES } from '../../sdk/contract/topology.ts'
import { PeltonError, showValue } from '../../sdk/errors.ts'
import { lastOfSubject } from '../../sdk/jetstream/api.ts'
import { PublishWindow } from '../../sdk/jetstream/publish-window.ts'
import { patiently } from '../broker/patience.ts'
import { compareAndSet } from '../records/compare-and-set.ts'
import { type BucketFollower, followBucket, type KeyChange } from './bucket-follower.ts'
import { decodeModelRecord, emptyRecord, encodeModelRecord, type ModelRecord } from './model-record.ts'
import { keepPresence, type OwnPresence, Workers } from './presence.ts'

/** The records of one pool, kept in memory by a watcher of the bucket; reads never wait. */
export interface PoolModels {
  /** The record of a model, as last seen; undefined for a model no worker of this pool ever served or refused. */
  find(model: string): ModelRecord | undefined
  all(): Iterable<ModelRecord>
  /**
   * Changes a record by compare-and-set, again until it holds. A change that changes nothing stores nothing. What
   * cannot be read is replaced; what a newer Pelton wrote is not.
   *
   * @param change pure, and may be called several times; gets an empty record for a model that has none
   * @throws PeltonError `broker-unavailable` when the broker does not answer for a minute; `conflict` for a record of a
   *   newer Pelton; `invalid-argument` for a name that cannot stand in a subject; `undeliverable` without the right
   */
  update(model: string, change: (record: ModelRecord) => ModelRecord): Promise<ModelRecord>
  /**
   * Takes a model out of what the pool knows: its events are of an unknown model from then on. Rejects as `update` does.
   * Whoever has it in a models folder still records it anew.
   */
  retire(model: string): Promise<void>
  /** Told each model that was retired, also while this process did not hear. Returns how to stop listening. */
  onRetired(listener: (model: string) => void): () => void
  /**
   * Whether another worker of the pool that is alive (its presence was renewed lately) serves this model, in this
   * version when one is named.
   */
  servedElsewhere(model: string, version?: string): boolean
  /** Workers of the pool that are alive. */
  readonly workers: readonly string[]
  /** Whether the bucket ever took the presence of this worker: one of the same name may be that of a process before it. */
  readonly isPresent: boolean
  /** Told each model whose record changed, or which a worker serves that came or went. Returns how to stop listening. */
  onChange(listener: (model: string) => void): () => void
  /** Says that this worker is gone, and stops watching. May be called twice. */
  close(): Promise<void>
}

export interface PoolModelsOptions {
  readonly pool: string
  /** This worker: its presence is renewed until {@link PoolModels.close}. Without it the records are only read. */
  readonly worker?: string
  /** Told what cannot be read or stored, in sentences. */
  readonly onProblem?: (text: string) => void
}

/** One answer of the broker, milliseconds: what is asked for is asked again. */
const ANSWER_MS = 2_000
/** How long reading all records may take at first, milliseconds. */
const OPENING_MS = 60_000

/**
 * Opens the records of a pool, and resolves once all of them were read and this worker counts as alive.
 *
 * @throws PeltonError `not-provisioned` without the bucket, `broker-unavailable` where it cannot be read, `invalid-argument` for a name that cannot stand in a subject
 */
export async function openPoolModels(
  connection: NatsConnection,
  options: PoolModelsOptions,
): Promise<PoolModels> {
  const window = new PublishWindow(connection, { timeoutMs: ANSWER_MS })
  const records = new Records(connection, window, options)
  try {
    await records.open()
    return records
  } catch (thrown) {
    await records.close()
    throw thrown
  }
}

/** Rejects when the records were not read for so long that rights are missing rather than an answer. */
async function unread(): Promise<never> {
  await sleep(OPENING_MS, undefined, { ref: false })
  throw new PeltonError('broker-unavailable', `the records of the pool in ${STORES.models} cannot be read`, {
    remedy: 'Give this user its rights on that bucket: infra/nats/accounts.conf.',
  })
}

interface Seen {
  readonly revision: number
  /** What was last readable under the key. */
  readonly record: ModelRecord | undefined
}

class Records implements PoolModels {
  readonly #connection: NatsConnection
  readonly #window: PublishWindow
  readonly #options: PoolModelsOptions
  readonly #onProblem: (text: string) => void
  readonly #seen = new Map<string, Seen>()
  readonly #workers = new Workers()
  readonly #listeners = new Set<(model: string) => void>()
  readonly #onRetired = new Set<(model: string) => void>()
  #follower: BucketFollower | undefined
  #presence: OwnPresence | undefined
  #alive = new Set<string>()
  #isOpen = false
  #closing: Promise<void> | undefined

  constructor(connection: NatsConnection, window: PublishWindow, options: PoolModelsOptions) {
    this.#connection = connection
    this.#window = window
    this.#options = options
    this.#onProblem = options.onProblem ?? (() => undefined)
  }

  async open(): Promise<void> {
    const { pool, worker } = this.#options
    const filter = subjects.poolRecords(pool)
    if (worker !== undefined) this.#presence = keepPresence(this.#window, { pool, worker }, this.#onProblem)
    await this.#presence?.said
    this.#follower = followBucket(this.#connection, {
      stream: STORES.models,
      filter,
      onChange: (change) => this.#onKey(change),
      onWhole: (whole) => this.#onWhole(whole),
      onIdle: () => {
        this.#workers.nothingNew(performance.now())
        this.#look()
      },
      onProblem: this.#onProblem,
    })
    await Promise.race([this.#follower.ready, unread()])
    this.#alive = new Set(this.#workers.alive)
    this.#isOpen = true
  }

  find(model: string): ModelRecord | undefined {
    return this.#seen.get(model)?.record
  }

  *all(): Generator<ModelRecord> {
    for (const { record } of this.#seen.values()) if (record !== undefined) yield record
  }

  async update(model: string, change: (record: ModelRecord) => ModelRecord): Promise<ModelRecord> {
    const { pool } = this.#options
    const stream = STORES.models
    const subject = subjects.modelRecord(pool, model)
    while (true) {
      const { record, revision } = await this.#read(model, subject)
      const body = encodeModelRecord(change(record))
      if (revision > 0 && Buffer.from(body).equals(encodeModelRecord(record))) return record
      const replacement = { stream, subject, body, expected: revision }
      const stored = await compareAndSet(this.#connection, this.#window, replacement)
      if (stored === undefined) continue // another worker was faster
      this.#take(model, stored, body)
      const read = decodeModelRecord(body, pool, model)
      if (read.kind === 'record') return read.record
      throw new PeltonError(
        'internal',
        `the record of model ${showValue(model)} cannot be read: ${read.problem}`,
      )
    }
  }

  async retire(model: string): Promise<void> {
    const stream = STORES.models
    const subject = subjects.modelRecord(this.#options.pool, model)
    for (let isRetired = false; !isRetired; ) {
      const { revision: expected } = await this.#read(model, subject)
      const replacement = { stream, subject, body: new Uint8Array(), expected, headers: KEY_REMOVED }
      const stored = await compareAndSet(this.#connection, this.#window, replacement)
      isRetired = stored !== undefined // otherwise a worker was faster
      if (stored !== undefined) this.#take(model, stored, undefined)
    }
  }

  onRetired(listener: (model: string) => void): () => void {
    this.#onRetired.add(listener)
    return () => this.#onRetired.delete(listener)
  }

  servedElsewhere(model: string, version?: string): boolean {
    const serving = this.find(model)?.serving ?? {}
    return Object.entries(serving).some(
      ([worker, { versions }]) =>
        worker !== this.#options.worker &&
        this.#workers.isAlive(worker) &&
        (version === undefined ? versions.length > 0 : versions.includes(version)),
    )
  }

  get workers(): readonly string[] {
    return this.#workers.alive
  }

  get isPresent(): boolean {
    return this.#presence?.isStored === true
  }

  onChange(listener: (model: string) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#isOpen = false
    this.#listeners.clear()
    this.#onRetired.clear()
    await Promise.all([this.#follower?.close(), this.#presence?.close()])
    this.#window.close()
  }

  /** The record as the leader has it; an empty one where there is none, or one that cannot be read. */
  async #read(
    model: string,
    subject: string,
  ): Promise<{ readonly record: ModelRecord; readonly revision: number }> {
    const { pool } = this.#options
    const copy = await patiently(() => lastOfSubject(this.#connection, STORES.models, subject))
    const revision = copy?.sequence ?? 0
    const none = { record: emptyRecord(pool, model), revision }
    if (copy === undefined || copy.body.length === 0) return none
    const read = decodeModelRecord(copy.body, pool, model)
    if (read.kind === 'record') return { record: read.record, revision }
    if (read.kind === 'junk') return { record: this.find(model) ?? none.record, revision }
    const remedy = 'Upgrade this worker.'
    throw new PeltonError(
      'conflict',
      `the record of model ${showValue(model)} is not changed: ${read.problem}`,
      {
        remedy,
      },
    )
  }

  #onKey({ subject, revision, storedAt, body }: KeyChange): void {
    const key = readPoolRecord(subject)
    if (key?.kind === 'worker') {
      this.#workers.heard(key.name, body === undefined, storedAt, performance.now())
      this.#look()
    }
    if (key?.kind !== 'model') return
    this.#take(key.name, revision, body)
    // Not so what a bucket that was made anew does not hold: nobody said a word about it.
    if (body === undefined) for (const listener of [...this.#onRetired]) listener(key.name)
  }

  /** Everything was read anew, perhaps of a bucket that was made anew: what is not there is gone. */
  #onWhole(keys: readonly KeyChange[]): void {
    const named = keys.map((key) => readPoolRecord(key.subject)).filter((key) => key !== undefined)
    const namesOf = (kind: 'model' | 'worker'): ReadonlySet<string> =>
      new Set(named.filter((key) => key.kind === kind).map(({ name }) => name))
    this.#workers.keepOnly(namesOf('worker'))
    const models = namesOf('model')
    for (const [model, { record }] of [...this.#seen]) {
      if (models.has(model)) this.#seen.set(model, { revision: 0, record })
      else this.#take(model, Number.POSITIVE_INFINITY, undefined)
    }
    for (const key of keys) this.#onKey(key)
  }

  /** Takes over what stands under the key of a model. Of two revisions the later counts, whichever comes first. */
  #take(model: string, revision: number, body: Uint8Array | undefined): void {
    const before = this.#seen.get(model)
    if (before !== undefined && before.revision >= revision) return
    if (body === undefined) this.#seen.delete(model)
    else {
      const read = decodeModelRecord(body, this.#options.pool, model)
      if (read.kind !== 'record')
        this.#onProblem(`the record of model ${showValue(model)} cannot be read: ${read.problem}`)
      this.#seen.set(model, { revision, record: read.kind === 'record' ? read.record : before?.record })
    }
    this.#tell([model])
  }

  /** Tells the models of workers that came or went since the last look: whoever is alive is, until the broker says more. */
  #look(): void {
    if (!this.#isOpen) return
    const alive = new Set(this.#workers.alive)
    const before = this.#alive
    const changed = new Set([...alive, ...before].filter((name) => alive.has(name) !== before.has(name)))
    this.#alive = alive
    if (changed.size === 0) return
    const served = [...this.all()].filter(({ serving }) =>
      Object.keys(serving).some((name) => changed.has(name)),
    )
    this.#tell(served.map(({ model }) => model))
  }

  #tell(models: readonly string[]): void {
    for (const model of models) for (const listener of [...this.#listeners]) listener(model)
  }
}
