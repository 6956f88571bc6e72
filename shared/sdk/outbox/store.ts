import { PeltonError } from '../errors.ts'
import { decodeEntry, type Entry, encodeEntry } from './entry.ts'
import { damaged, foreign, type Level, openFolder } from './folder.ts'
import { type Change, Journal } from './journal.ts'

/** What a folder held when it was opened. */
export interface Found {
  /** Positions that wait, in order, by the subject they are sent to. */
  readonly waiting: ReadonlyMap<string, readonly number[]>
  /** Bytes of both. */
  readonly sizeBytes: number
  /** Entries that were accepted, never taken out, and are not there or cannot be read: only with `isRepair`. */
  readonly lost: number
}

/** An entry read back, with the bytes it takes. */
export interface StoredEntry extends Entry {
  readonly position: number
  readonly sizeBytes: number
}

/**
 * The entries of an outbox in LevelDB: `queue/<position>` waits, `rejected/<position>` is never sent. `state` says how
 * many there must be. It is written with every change, because LevelDB skips damaged parts of its log without a word:
 * counting shows it.
 */
export interface Store {
  readonly found: Found
  readonly rejectedCount: number
  /** Keeps an entry behind all others. Resolves, with its position, once it is written. */
  append(bytes: Uint8Array): Promise<number>
  /** Waiting entries, in the order of `positions`. @throws PeltonError `outbox-unusable` when one cannot be read */
  read(positions: readonly number[]): Promise<readonly StoredEntry[]>
  /** Takes a waiting entry out. Unsynced: should a loss of power undo it, the event is sent again. */
  remove(position: number): Promise<void>
  /** Moves a waiting entry to the rejected ones. @returns by how many bytes it grew */
  reject(entry: StoredEntry, refusal: NonNullable<Entry['refusal']>): Promise<number>
  /** Rejected entries, oldest first. */
  rejected(): AsyncIterable<StoredEntry>
  /** One rejected entry. */
  readRejected(position: number): Promise<StoredEntry | undefined>
  /** Moves a rejected entry back. @returns by how many bytes it grew; `undefined` where it is not rejected any more */
  restore(entry: StoredEntry): Promise<number | undefined>
  /** Takes a rejected entry out. @returns whether it was there */
  removeRejected(position: number): Promise<boolean>
  /** Waits for what is being written and closes the folder. */
  close(): Promise<void>
}

export interface StoreOptions {
  readonly path: string
  readonly isSynced: boolean
  readonly isRepair: boolean
}

const FORMAT = { format: 'pelton-outbox', version: 1 } as const

interface State {
  readonly format: typeof FORMAT.format
  readonly version: typeof FORMAT.version
  /** Position of the next entry: positions are never used twice. */
  readonly next: number
  /** Entries in the folder. */
  readonly held: number
}

const STATE_KEY = 'state'
/** How much passes through an empty outbox before LevelDB is asked to give space back. */
const RECLAIM_BYTES = 32 * 1024 ** 2
const utf8 = new TextEncoder()
const text = new TextDecoder()
const queueKey = (position: number): string => `queue/${String(position).padStart(16, '0')}`
const rejectedKey = (position: number): string => `rejected/${String(position).padStart(16, '0')}`
const positionOf = (key: string): number => Number(key.slice(key.indexOf('/') + 1))

/** Opens the entries of a folder. @throws PeltonError `outbox-unusable` */
export async function openStore(options: StoreOptions): Promise<Store> {
  const level = await openFolder(options.path, options.isRepair)
  try {
    const { found, state, rejected } = await takeStock(level, options)
    const store = new LevelStore(level, options, { found, state, rejected })
    await store.begin()
    return store
  } catch (thrown) {
    await level.close()
    if (thrown instanceof PeltonError) throw thrown
    throw damaged(options.path, 'LevelDB cannot read it', thrown)
  }
}

interface Stock {
  readonly found: Found
  readonly state: State
  readonly rejected: Set<number>
}

/** Reads everything once: what waits, how much there is, and whether anything is missing. */
async function takeStock(level: Level, { path, isRepair }: StoreOptions): Promise<Stock> {
  const before = await readState(level, path, isRepair)
  const waiting = new Map<string, number[]>()
  const rejected = new Set<number>()
  const unreadable: string[] = []
  let [sizeBytes, there, last] = [0, 0, 0]
  for await (const [key, bytes] of level.iterator({ gt: 'queue/', lt: 'rejected0', fillCache: false })) {
    const entry = decodeEntry(bytes)
    if (entry === undefined) {
      unreadable.push(key)
      continue
    }
    const position = positionOf(key)
    const { subject } = entry.message
    if (key.startsWith('rejected/')) rejected.add(position)
    else if (!waiting.get(subject)?.push(position)) waiting.set(subject, [position])
    sizeBytes += bytes.length
    there++
    last = Math.max(last, position)
  }
  const held = before?.held ?? 0
  const isDamaged = held !== there || unreadable.length > 0
  if (isDamaged && !isRepair) throw damaged(path, `${there} of ${held} events in it can be read`)
  await level.batch(unreadable.map((key) => ({ type: 'del', key }) as const))
  return {
    found: { waiting, sizeBytes, lost: Math.max(held - there, unreadable.length) },
    state: { ...FORMAT, next: Math.max(before?.next ?? 1, last + 1), held: there },
    rejected,
  }
}

/** @returns `undefined` for a folder that is new, or whose state is to be found again by counting */
async function readState(level: Level, path: string, isRepair: boolean): Promise<State | undefined> {
  const bytes = await level.get(STATE_KEY)
  if (bytes === undefined) {
    const [first] = await level.keys({ limit: 1 }).all()
    if (first === undefined) return undefined
    if (isRepair && /^(?:queue|rejected)\/\d{16}$/.test(first)) return undefined
    throw foreign(path)
  }
  try {
    const state = JSON.parse(text.decode(bytes)) as Partial<State>
    const { format, version, next, held } = state
    if (
      format === 'pelton-outbox' &&
      version === 1 &&
      Number.isSafeInteger(next) &&
      Number.isSafeInteger(held)
    )
      return state as State
  } catch {}
  throw foreign(path)
}

class LevelStore implements Store {
  readonly found: Found
  readonly #level: Level
  readonly #options: StoreOptions
  readonly #journal: Journal
  readonly #rejected: Set<number>
  #next: number
  #held: number
  /** Bytes taken in since LevelDB last gave space back. */
  #unreclaimed: number
  #reclaiming: Promise<void> | undefined

  constructor(level: Level, options: StoreOptions, { found, state, rejected }: Stock) {
    this.found = found
    this.#level = level
    this.#options = options
    this.#rejected = rejected
    this.#next = state.next
    this.#held = state.held
    this.#unreclaimed = found.sizeBytes
    this.#journal = new Journal(
      (changes, isSynced) => this.#level.batch([...changes], { sync: isSynced }),
      (growth) => this.#sealed(growth),
    )
  }

  get rejectedCount(): number {
    return this.#rejected.size
  }

  /** Writes the state, so that the folder is known as an outbox. */
  begin(): Promise<void> {
    return this.#write([], 0, true)
  }

  async append(bytes: Uint8Array): Promise<number> {
    const position = this.#next++
    this.#unreclaimed += bytes.length
    await this.#write([{ type: 'put', key: queueKey(position), value: bytes }], 1, this.#options.isSynced)
    return position
  }

  async read(positions: readonly number[]): Promise<readonly StoredEntry[]> {
    const values = await this.#level.getMany(positions.map(queueKey)).catch((thrown: unknown) => {
      throw damaged(this.#options.path, 'LevelDB cannot read it', thrown)
    })
    return positions.map((position, index) => this.#decoded(position, values[index]))
  }

  async remove(position: number): Promise<void> {
    await this.#write([{ type: 'del', key: queueKey(position) }], -1, false)
    if (this.#held === 0 && this.#unreclaimed > RECLAIM_BYTES) this.#reclaim()
  }

  async reject(entry: StoredEntry, refusal: NonNullable<Entry['refusal']>): Promise<number> {
    const { position, sizeBytes, ...rest } = entry
    const value = encodeEntry({ ...rest, refusal })
    const put = { type: 'put', key: rejectedKey(position), value } as const
    await this.#write([{ type: 'del', key: queueKey(position) }, put], 0, this.#options.isSynced)
    this.#rejected.add(position)
    return value.length - sizeBytes
  }

  async *rejected(): AsyncGenerator<StoredEntry, void, void> {
    for await (const [key, bytes] of this.#level.iterator({
      gt: 'rejected/',
      lt: 'rejected0',
      fillCache: false,
    }))
      yield this.#decoded(positionOf(key), bytes)
  }

  async readRejected(position: number): Promise<StoredEntry | undefined> {
    const bytes = await this.#level.get(rejectedKey(position))
    return bytes && this.#decoded(position, bytes)
  }

  async restore(entry: StoredEntry): Promise<number | undefined> {
    const { position, sizeBytes, refusal: _solved, ...rest } = entry
    if (!this.#rejected.delete(position)) return undefined
    const value = encodeEntry(rest)
    const put = { type: 'put', key: queueKey(position), value } as const
    await this.#write([{ type: 'del', key: rejectedKey(position) }, put], 0, this.#options.isSynced)
    return value.length - sizeBytes
  }

  async removeRejected(position: number): Promise<boolean> {
    if (!this.#rejected.delete(position)) return false // nothing is taken out twice, or the count would be wrong
    await this.#write([{ type: 'del', key: rejectedKey(position) }], -1, this.#options.isSynced)
    return true
  }

  async close(): Promise<void> {
    await this.#journal.idle()
    await this.#reclaiming
    await this.#level.close()
  }

  /**
   * LevelDB by itself keeps what was taken out until much more has come in. While nothing is left this costs little.
   */
  #reclaim(): void {
    this.#unreclaimed = 0
    this.#reclaiming = this.#level.compactRange('', '~').catch(() => undefined) // another time, then
  }

  async #write(changes: readonly Change[], growth: number, isSynced: boolean): Promise<void> {
    try {
      await this.#journal.write(changes, { isSynced, growth })
    } catch (cause) {
      throw new PeltonError(
        'outbox-unusable',
        'the outbox cannot be written any more',
        {
          field: 'path',
          value: this.#options.path,
          remedy: 'Make room on the disk, then close the outbox and open it again: what it accepted is kept.',
        },
        cause,
      )
    }
  }

  #sealed(growth: number): Change {
    this.#held += growth
    const state: State = { ...FORMAT, next: this.#next, held: this.#held }
    return { type: 'put', key: STATE_KEY, value: utf8.encode(JSON.stringify(state)) }
  }

  #decoded(position: number, bytes: Uint8Array | undefined): StoredEntry {
    const entry = bytes && decodeEntry(bytes)
    if (bytes === undefined || entry === undefined)
      throw damaged(this.#options.path, `event ${position} in it cannot be read`)
    return { ...entry, position, sizeBytes: bytes.length }
  }
}
