import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { type AllPools, followAllPools } from '../../../shared/operations/models/all-pools.ts'
import type { KeptValue } from '../../../shared/operations/records/key-value.ts'
import type { OpsStore } from '../../../shared/operations/records/store.ts'
import { type Alert, compareAlerts, namedAlert } from '../../../shared/operations/watch-record/alert.ts'
import {
  EMPTY_RECORD,
  keepRecord,
  mayWatch,
  readRecord,
  type Sighting,
  type WatchRecord,
} from '../../../shared/operations/watch-record/record.ts'
import { isWatched, unwatchedAlert } from '../../../shared/operations/watch-record/unwatched.ts'
import { LineLimit } from '../../../shared/runtime/line-limit.ts'
import { namesOf } from '../../../shared/sdk/jetstream/names-of.ts'
import { listenForAdvisories } from './advisories.ts'
import { type Looked, Looks, type WatchLimits } from './look.ts'

export interface WatchDeps {
  readonly store: OpsStore
  readonly log: Logger
}

export interface WatchOptions extends WatchLimits {
  /** Name of this control service; unique among those that run. */
  readonly name: string
  /** Between two looks, milliseconds. */
  readonly everyMs: number
}

/** The watch of this control service. Of several services one watches; the others have what it writes down. */
export interface Watch {
  /** What was found, by this control service or the one that watches. */
  readonly record: WatchRecord
  /** That nobody writes the record any more, by what this control service sees of it; undefined while somebody does. */
  readonly unwatched: Alert | undefined
  /** Whether this is the one that watches. */
  readonly isLeader: boolean
  /** What this one saw in its last look; undefined for one that does not watch, or has not looked yet. */
  readonly looked: Looked | undefined
  /** What the pools have, watching or not. */
  readonly pools: Pick<AllPools, 'read'>
  /** Ends the watch after the look under way, and lets another begin at once. */
  stop(): Promise<void>
}

/** An advisory wakes it, but not more often than this. */
const LEAST_PAUSE_MS = 500

/** Looks at the broker again and again, one control service at a time. */
export function startWatch(deps: WatchDeps, options: WatchOptions): Watch {
  return new Watching(deps, options)
}

class Watching implements Watch {
  readonly #deps: WatchDeps
  readonly #options: WatchOptions
  readonly #stopped = new AbortController()
  readonly #running: Promise<void>
  readonly #advisories: { close(): void }
  readonly #pools: AllPools
  #wake = new AbortController()
  readonly #limit: LineLimit
  #kept: KeptValue<WatchRecord> | undefined
  #sighting: Sighting | undefined
  #looks: Looks | undefined
  #looked: Looked | undefined
  /** By our own clock: a record that is not read, or does not change, is silent. */
  readonly #startedAtMs = performance.now()
  #isToldUnwatched = false

  constructor(deps: WatchDeps, options: WatchOptions) {
    this.#deps = deps
    this.#options = options
    const onRest = (kind: string, count: number): void =>
      deps.log.warn({ alert: kind, count }, 'more alerts, not told one by one: see `pelton status`')
    this.#limit = new LineLimit({ onRest })
    this.#advisories = listenForAdvisories(deps.store.connection, () => this.#wake.abort())
    this.#pools = followAllPools(deps.store.connection)
    this.#running = this.#run()
  }

  get record(): WatchRecord {
    return this.#kept?.value ?? EMPTY_RECORD
  }

  get unwatched(): Alert | undefined {
    const { everyMs } = this.#options
    const { record } = this
    const silentMs = performance.now() - (this.#sighting?.atMs ?? this.#startedAtMs)
    if (isWatched({ everyMs: Math.max(everyMs, record.everyMs) }, silentMs)) return undefined
    return unwatchedAlert(record, silentMs, record.at || new Date(Date.now() - silentMs).toISOString())
  }

  get isLeader(): boolean {
    return this.#looks !== undefined
  }

  get looked(): Looked | undefined {
    return this.#looked
  }

  get pools(): Pick<AllPools, 'read'> {
    return this.#pools
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    this.#advisories.close()
    await this.#running
    this.#limit.close()
    await this.#pools.close()
  }

  async #run(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      await this.#look().catch((error: unknown) => {
        this.#deps.log.warn({ err: error }, 'the watch could not look; it tries again')
      })
      this.#tellUnwatched()
      await this.#pause()
    }
    if (this.isLeader) await this.#keep({ ...this.record, holder: '' }).catch(() => undefined)
  }

  /** Until the next look is due, or an advisory says that there is something to see. */
  async #pause(): Promise<void> {
    const signal = this.#stopped.signal
    await sleep(Math.min(LEAST_PAUSE_MS, this.#options.everyMs), undefined, { signal }).catch(() => undefined)
    const rest = Math.max(0, this.#options.everyMs - LEAST_PAUSE_MS)
    if (!this.isLeader) this.#wake = new AbortController() // it wakes the one that watches
    const woken = AbortSignal.any([signal, this.#wake.signal])
    await sleep(rest, undefined, { signal: woken }).catch(() => undefined)
    this.#wake = new AbortController()
  }

  async #look(): Promise<void> {
    if (!(await this.#mayWatch())) {
      if (this.isLeader) this.#deps.log.warn('another control service watches now')
      this.#looks = undefined
      this.#looked = undefined
      return
    }
    // A record that is gone (streams made anew), or not ours yet, is taken first: what is written down names its holder.
    if (this.#looks === undefined || this.record.holder !== this.#options.name) await this.#begin()
    const before = this.record
    const looked = await this.#looks?.look(before)
    if (looked === undefined || !(await this.#keep(looked.record))) return
    this.#looked = looked
    this.#tell(before, looked.record)
  }

  async #mayWatch(): Promise<boolean> {
    const present = await readRecord(this.#deps.store.keyValue)
    const now = performance.now()
    const may = mayWatch(present, this.#options.name, this.#sighting, now)
    if (present !== undefined && present.revision !== this.#sighting?.revision)
      this.#sighting = { revision: present.revision, atMs: now }
    this.#kept = present
    return may
  }

  /** Takes the record first: the control service that wrote it watches. */
  async #begin(): Promise<void> {
    const { store, log } = this.#deps
    if (!(await this.#keep({ ...this.record, holder: this.#options.name, everyMs: this.#options.everyMs })))
      return
    this.#looks = new Looks(
      { store, pools: this.#pools, log, keep: (record) => this.#keep(record) },
      this.#options,
    )
    log.info('this control service watches')
  }

  async #keep(record: WatchRecord): Promise<boolean> {
    const revision = await keepRecord(this.#deps.store.keyValue, record, this.#kept?.revision ?? 0)
    if (revision === undefined) {
      this.#looks = undefined
      return false
    }
    this.#kept = { key: '', revision, value: record }
    this.#sighting = { revision, atMs: performance.now() }
    return true
  }

  #tellUnwatched(): void {
    const { unwatched } = this
    if ((unwatched !== undefined) === this.#isToldUnwatched) return
    this.#isToldUnwatched = unwatched !== undefined
    const alert = 'unwatched'
    if (unwatched === undefined) this.#deps.log.info({ alert }, 'is over')
    else this.#deps.log.warn({ alert, remedy: unwatched.remedy }, unwatched.text)
  }

  #tell(before: WatchRecord, now: WatchRecord): void {
    const { raised, cleared } = compareAlerts(before.alerts, now.alerts)
    const names = namesOf(this.#deps.store.connection)
    for (const { kind, about, text, remedy, count } of raised.map((alert) => namedAlert(names, alert)))
      if (this.#limit.admit(kind)) this.#deps.log.warn({ alert: kind, about, count, remedy }, text)
    for (const { kind, about } of cleared)
      if (this.#limit.admit(`${kind}, over`)) this.#deps.log.info({ alert: kind, about }, 'is over')
  }
}
