import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { GrowingRepository } from '../../shared/models/growing-repository.ts'
import type { ModelRecord, RecordedVersion, Refusing } from '../../shared/operations/models/model-record.ts'
import type { PoolModels } from '../../shared/operations/models/pool-models.ts'
import { toPeltonError } from '../../shared/sdk/errors.ts'
import type { UnavailableModels } from './infer/unavailable.ts'

export interface ModelRecordsOptions {
  readonly pool: PoolModels
  /** Name of this worker. */
  readonly worker: string
  readonly models: Pick<GrowingRepository, 'models' | 'refused' | 'isPending' | 'onChange'>
  /** Models that cannot be opened for their runs: nothing is handed on to a worker that could only give it back. */
  readonly unavailable: Pick<UnavailableModels, 'why' | 'onChange'>
  /** Broker time, milliseconds since 1970. */
  readonly now: () => number
  readonly log: Pick<Logger, 'warn'>
}

/** Keeps what this worker serves and refuses in the records of its pool. */
export interface ModelRecords {
  /** Resolves once all was tried to be written that there was to say at first. */
  readonly written: Promise<void>
  /** Takes this worker out of every record: it serves no more. Waits for the broker for a few seconds at most. */
  leave(): Promise<void>
}

/** Records written at the same time. */
const AT_ONCE = 8
/** What changes within this time is written together, milliseconds. */
const SOON_MS = 250
/** A record that could not be written is written again after this long, milliseconds. */
const AGAIN_MS = 10_000
/** How soon a worker answers a change of somebody else that speaks for it, milliseconds: two of one name never race. */
const ANSWER_MS = 1_000
/** Answers after which it is no accident: another worker has the same name. */
const MANY_ANSWERS = 5
/** What the draining waits for: a worker that is gone is told by its presence, too. */
const LEAVE_MS = 3_000
/** A worker that is gone stays in a record this long, for people who look, milliseconds. */
const GONE_MS = 3_600_000
/** Versions a record keeps beside those that are served. */
const MOST_VERSIONS = 100

/** What a worker has to say of one model. */
interface Statement {
  readonly versions: Readonly<Record<string, Omit<RecordedVersion, 'since'>>>
  readonly refusing: Omit<Refusing, 'since'> | undefined
}

/** Writes the records at once, and whenever something is served or refused that was not before. */
export function keepModelRecords(options: ModelRecordsOptions): ModelRecords {
  return new Keeper(options)
}

class Keeper implements ModelRecords {
  readonly #options: ModelRecordsOptions
  readonly #waiting = new Set<string>()
  /** What this worker has to say, by model: made anew once for all of them, because there may be thousands. */
  #said: ReadonlyMap<string, Statement> = new Map()
  readonly #reported = new Set<string>()
  /** Records that somebody else made say something else of this worker. */
  readonly #contested = new Set<string>()
  readonly #stops: readonly (() => void)[]
  readonly written: Promise<void>
  #onWritten: () => void = () => undefined
  #timer: NodeJS.Timeout | undefined
  #running = 0
  #answers = 0
  #isLeaving = false

  constructor(options: ModelRecordsOptions) {
    const { pool, models, unavailable } = options
    this.#options = options
    this.written = new Promise((resolve) => {
      this.#onWritten = resolve
    })
    unavailable.onChange(() => this.#lookSoon())
    this.#stops = [
      models.onChange(() => this.#lookSoon()),
      // Somebody else's change may have taken this worker out: a bucket made anew, a clock that was wrong.
      pool.onChange((name) => {
        if (this.#said.has(name)) this.#answer(name)
      }),
    ]
    this.#lookAnew()
  }

  async leave(): Promise<void> {
    const { pool, worker } = this.#options
    this.#isLeaving = true
    for (const stop of this.#stops) stop()
    const mine = [...pool.all()].filter((record) => isIn(record, worker)).map(({ model }) => model)
    const left = Promise.all(
      mine.map((model) => pool.update(model, (record) => without(record, worker)).catch(() => undefined)),
    )
    await Promise.race([left, sleep(LEAVE_MS, undefined, { ref: false })])
  }

  /** Of thousands of models one after the other becomes ready. */
  #lookSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#lookAnew()
    }, SOON_MS).unref()
  }

  /** Something is served or refused that was not before. What was said of a model before and is not now is said, too. */
  #lookAnew(): void {
    const before = this.#said
    this.#said = statementsOf(this.#options)
    this.#look([...before.keys(), ...this.#said.keys()])
  }

  /** Looks for records of these models that do not say yet what this worker has to say, and writes them. */
  #look(names: Iterable<string>): void {
    if (this.#isLeaving) return
    for (const name of names) this.#waiting.add(name)
    while (this.#running < AT_ONCE && this.#waiting.size > 0) void this.#writeNext()
    if (this.#running === 0) this.#onWritten()
  }

  /** Writes a record anew that somebody else changed, where it says something else of this worker now. */
  #answer(name: string): void {
    if (this.#contested.has(name) || this.#isRight(name)) return
    this.#contested.add(name)
    const answer = (): void => {
      this.#contested.delete(name)
      if (this.#isLeaving || !this.#said.has(name) || this.#isRight(name)) return
      if (++this.#answers === MANY_ANSWERS)
        this.#options.log.warn(
          { worker: this.#options.worker },
          'another worker of this pool has the same name: give each its own (PELTON_WORKER)',
        )
      this.#look([name])
    }
    setTimeout(answer, ANSWER_MS).unref()
  }

  /** Whether the record of a model says what this worker has to say. */
  #isRight(name: string): boolean {
    const known = this.#options.pool.find(name)
    return known !== undefined && this.#changed(known, name) === known
  }

  async #writeNext(): Promise<void> {
    const [name] = this.#waiting
    if (name === undefined) return
    this.#waiting.delete(name)
    this.#running++
    try {
      // A few in each turn of the loop.
      if (this.#isRight(name)) await new Promise(setImmediate)
      else await this.#options.pool.update(name, (record) => this.#changed(record, name))
    } catch (thrown) {
      this.#fail(name, thrown)
    } finally {
      this.#running--
    }
    this.#look([])
  }

  #changed(record: ModelRecord, name: string): ModelRecord {
    if (this.#isLeaving) return record
    const { pool, worker, now } = this.#options
    return changed(record, this.#said.get(name) ?? NOTHING, { worker, now: now(), alive: pool.workers })
  }

  #fail(name: string, thrown: unknown): void {
    if (this.#isLeaving) return
    const error = toPeltonError(thrown, 'broker-unavailable', 'the record cannot be written')
    if (!this.#reported.has(name))
      this.#options.log.warn({ model: name, err: error }, 'what is served cannot be recorded')
    this.#reported.add(name)
    // A name that fits no subject has no events either.
    if (error.code !== 'invalid-argument') setTimeout(() => this.#look([name]), AGAIN_MS).unref()
  }
}

const NOTHING: Statement = { versions: {}, refusing: undefined }

/** What a worker has to say, by model. Of several versions that are not servable the highest is told. */
function statementsOf({ models, unavailable }: ModelRecordsOptions): ReadonlyMap<string, Statement> {
  const said = new Map<string, Statement>()
  for (const { name, version, error } of models.refused) {
    const { versions } = said.get(name) ?? NOTHING
    if (version !== undefined && models.isPending(name, version)) {
      said.set(name, said.get(name) ?? NOTHING)
      continue
    }
    const which = version === undefined ? {} : { version }
    said.set(name, { versions, refusing: { ...which, code: error.code, reason: error.description } })
  }
  for (const model of models.models) {
    const { name, version, digest, sizeBytes, signature } = model
    const { versions, refusing } = said.get(name) ?? NOTHING
    const reason = unavailable.why(model)
    const opened = { ...versions, [version]: { digest, sizeBytes, signature } }
    if (reason === undefined) said.set(name, { versions: opened, refusing })
    else said.set(name, { versions, refusing: { version, code: 'model-unavailable', reason } })
  }
  return said
}

/** The record with what a worker says; the very same one where that is nothing new. */
function changed(
  record: ModelRecord,
  { versions, refusing }: Statement,
  {
    worker,
    now,
    alive,
  }: { readonly worker: string; readonly now: number; readonly alive: readonly string[] },
): ModelRecord {
  const own = Object.keys(versions)
  const before = record.serving[worker]
  const isSameServing = isEqual(own, before?.versions ?? [])
  const isSameRefusing = isEqual(refusing, withoutSince(record.refusing[worker]))
  const isKnown = own.every((version) => record.versions[version]?.digest === versions[version]?.digest)
  if (isSameServing && isSameRefusing && isKnown) return record
  const others = <Value extends { readonly since: number }>(entries: Readonly<Record<string, Value>>) =>
    Object.fromEntries(
      Object.entries(entries).filter(
        ([name, { since }]) => name !== worker && (alive.includes(name) || now - since < GONE_MS),
      ),
    )
  const served = isSameServing && before !== undefined ? before : { versions: own, since: now }
  return {
    ...record,
    versions: mergeVersions(record, versions, now),
    serving: { ...others(record.serving), ...(own.length > 0 && { [worker]: served }) },
    refusing: { ...others(record.refusing), ...(refusing && { [worker]: { ...refusing, since: now } }) },
  }
}

function mergeVersions(
  record: ModelRecord,
  versions: Statement['versions'],
  now: number,
): ModelRecord['versions'] {
  const merged: Record<string, RecordedVersion> = { ...record.versions }
  for (const [version, facts] of Object.entries(versions))
    if (merged[version]?.digest !== facts.digest) merged[version] = { ...facts, since: now }
  const newest = Object.entries(merged).sort(([, left], [, right]) => right.since - left.since)
  return Object.fromEntries(
    newest.filter(([version], index) => index < MOST_VERSIONS || version in versions).reverse(),
  )
}

function isIn(record: ModelRecord, worker: string): boolean {
  return worker in record.serving || worker in record.refusing
}

function without(record: ModelRecord, worker: string): ModelRecord {
  const { [worker]: _served, ...serving } = record.serving
  const { [worker]: _refused, ...refusing } = record.refusing
  return { ...record, serving, refusing }
}

function withoutSince(refusing: Refusing | undefined): Omit<Refusing, 'since'> | undefined {
  if (refusing === undefined) return undefined
  const { version, code, reason } = refusing
  return { ...(version !== undefined && { version }), code, reason }
}

function isEqual(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right)
}
