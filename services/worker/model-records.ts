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
  readonly #reported = new Set<string>()
  /** Records that somebody else made say something else of this worker. */
  readonly #contested = new Set<string>()
  readonly #stops: readonly (() => void)[]
  readonly written: Promise<void>
  #onWritten: () => void = () => undefined
  #running = 0
  #answers = 0
  #isLeaving = false

  constructor(options: ModelRecordsOptions) {
    const { pool, models, unavailable } = options
    this.#options = options
    this.written = new Promise((resolve) => {
      this.#onWritten = resolve
    })
    unavailable.onChange(() => this.#look(namesOf(models)))
    this.#stops = [
      models.onChange(() => this.#look(namesOf(models))),
      // Somebody else's change may have taken this worker out: a bucket made anew, a clock that was wrong.
      pool.onChange((name) => {
        if (namesOf(models).has(name)) this.#answer(name)
      }),
    ]
    this.#look(namesOf(models))
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

  /** Writes the records of these models that do not say yet what this worker has to say. */
  #look(names: Iterable<string>): void {
    if (this.#isLeaving) return
    for (const name of names) if (!this.#isRight(name)) this.#waiting.add(name)
    while (this.#running < AT_ONCE && this.#waiting.size > 0) void this.#writeNext()
    if (this.#running === 0) this.#onWritten()
  }

  /** Writes a record anew that somebody else changed, where it says something else of this worker now. */
  #answer(name: string): void {
    if (this.#contested.has(name) || this.#isRight(name)) return
    this.#contested.add(name)
    const answer = (): void => {
      this.#contested.delete(name)
      if (this.#isLeaving || !namesOf(this.#options.models).has(name) || this.#isRight(name)) return
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
      await this.#options.pool.update(name, (record) => this.#changed(record, name))
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
    return changed(record, statementOf(this.#options, name), { worker, now: now(), alive: pool.workers })
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

function namesOf({ models, refused }: Pick<GrowingRepository, 'models' | 'refused'>): ReadonlySet<string> {
  return new Set([...models, ...refused].map(({ name }) => name))
}

function statementOf({ models, unavailable }: ModelRecordsOptions, name: string): Statement {
  const opened = models.models.filter((model) => model.name === name)
  const served = opened.filter((model) => unavailable.why(model) === undefined)
  return {
    versions: Object.fromEntries(
      served.map(({ version, digest, sizeBytes, signature }) => [version, { digest, sizeBytes, signature }]),
    ),
    refusing: cannotBeOpened(opened, unavailable) ?? refusalOf(models, name),
  }
}

/** The highest of the versions that are served, and cannot be opened for their runs. */
function cannotBeOpened(
  opened: GrowingRepository['models'],
  unavailable: ModelRecordsOptions['unavailable'],
): Statement['refusing'] {
  const model = opened.findLast((one) => unavailable.why(one) !== undefined)
  if (model === undefined) return undefined
  return { version: model.version, code: 'model-unavailable', reason: unavailable.why(model) ?? '' }
}

function refusalOf(models: ModelRecordsOptions['models'], name: string): Statement['refusing'] {
  const refused = models.refused.findLast(
    (one) => one.name === name && !(one.version !== undefined && models.isPending(name, one.version)),
  )
  if (refused === undefined) return undefined
  const { version, error } = refused
  return { ...(version !== undefined && { version }), code: error.code, reason: error.description }
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
