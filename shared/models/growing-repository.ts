import { availableParallelism } from 'node:os'
import { type PeltonError, showValue, toPeltonError } from '../sdk/errors.ts'
import { type CopiesOptions, CopyUse, openPlace } from './copy-place.ts'
import { createInspector, type Inspector, type InspectorOptions } from './inspect.ts'
import {
  type Candidate,
  listVersions,
  type ModelRepository,
  noModels,
  openFolder,
  type Refuse,
  type RefusedModel,
  readModel,
  type ServedModel,
} from './repository.ts'
import { rememberVerdicts } from './verdicts.ts'
import {
  createEntries,
  GONE,
  gone,
  nextWaiting,
  refuseEntry,
  stampOf,
  type VersionEntry,
} from './version-entry.ts'
import { lookAtRefused, lookAtServed } from './version-look.ts'
import { isPending, type VersionsView, viewOf } from './versions-view.ts'

export interface GrowingOptions {
  readonly folder: string
  readonly copies: CopiesOptions
  readonly inspect?: InspectorOptions
  /** Models inspected at the same time, each in a process of its own. @default the processors, 4 at most */
  readonly inspectors?: number
  /** Versions that the pool has served before: they are looked for although the folder does not hold them now. */
  readonly known?: readonly Candidate[]
  /** The digest that other workers serve under a version now; undefined where none does. */
  readonly expectedDigest?: (name: string, version: string) => string | undefined
  /** Told remarks, in sentences. */
  readonly note?: (text: string) => void
  /** Told of what is refused, when it is and when its reason is another. */
  readonly onRefused?: (refused: RefusedModel) => void
  /** Between two looks at what is refused or missing, milliseconds. @default 3000 */
  readonly lookMs?: number
}

/** The models of a folder, ready one by one. What is served stays served, from its copy, whatever becomes of the folder. */
export interface GrowingRepository extends ModelRepository {
  /** How many versions there are, and how many of them are served. */
  readonly progress: { readonly served: number; readonly of: number }
  /** Whether this version was not looked at yet. */
  isPending(name: string, version?: string): boolean
  /** Resolves once one version is served, or none of them can be for now. */
  readonly usable: Promise<void>
  /** Resolves once every version was looked at. */
  readonly settled: Promise<void>
  /** Told whenever something is served or refused that was not before. Returns how to stop listening. */
  onChange(listener: () => void): () => void
  /** Looks no more for versions of a model that are gone: it was retired. What is in the folder, or served, stays. */
  forget(name: string): void
  /** Ends the inspections under way. What was copied stays, for the next worker. */
  close(): Promise<void>
}

const LOOK_MS = 3_000
/** Each version that is served is looked at with one of so many looks: hundreds at once would be a burst of work. */
const SERVED_EVERY = 20
/** Its folder is compared with what is served with one of so many of these: that takes several times as long. */
const COMPARED_EVERY = 5
const MOST_INSPECTORS = 4
/** Copies that nobody uses are looked for this often, milliseconds. */
const SWEEP_MS = 600_000

/**
 * Opens a folder whose models become ready one by one: the highest version of each first, several at the same time.
 *
 * @throws PeltonError `invalid-configuration` for a folder that cannot be read or holds no model, where the pool knows
 *   none either, and for a place for copies that cannot be used
 */
export async function growRepository(options: GrowingOptions): Promise<GrowingRepository> {
  await openPlace(options.copies.folder)
  const refused: RefusedModel[] = []
  const remarks: string[] = []
  const refuse: Refuse = (name, version, thrown) => {
    refused.push({ name, version, error: toPeltonError(thrown, 'model-refused', 'the model cannot be read') })
  }
  const found = await findCandidates(options, refuse, (text) => void remarks.push(text))
  const growth = new Growth(options, found, { refused, remarks })
  growth.start()
  return growth
}

/** What the folder holds now; nothing where it is away and the pool knows models. */
async function findCandidates(
  { folder, known = [] }: GrowingOptions,
  refuse: Refuse,
  remark: (text: string) => void,
): Promise<readonly Candidate[]> {
  let listed: readonly Candidate[] = []
  let count = 0
  try {
    const told: typeof refuse = (...refusal) => {
      count++
      refuse(...refusal)
    }
    listed = await listVersions(await openFolder(folder), told, remark)
  } catch (thrown) {
    if (known.length === 0) throw thrown
  }
  if (listed.length + count + known.length === 0) throw noModels(folder)
  return listed
}

class Growth implements GrowingRepository {
  readonly usable: Promise<void>
  readonly settled: Promise<void>
  readonly #options: GrowingOptions
  readonly #note: (text: string) => void
  #entries: readonly VersionEntry[]
  readonly #passedOver: Pick<ModelRepository, 'refused' | 'remarks'>
  readonly #use: CopyUse
  readonly #most: number
  readonly #inspectors = new Set<Inspector>()
  /** What the world sees, from the first look at it after a change on: thousands of versions change one by one. */
  #seen: VersionsView | undefined
  #looks = 0
  readonly #listeners = new Set<() => void>()
  readonly #timers: NodeJS.Timeout[] = []
  #isClosed = false
  #onUsable: () => void = () => undefined
  #onSettled: () => void = () => undefined

  /** @param passedOver what the folder holds besides candidates */
  constructor(
    options: GrowingOptions,
    found: readonly Candidate[],
    passedOver: Pick<ModelRepository, 'refused' | 'remarks'>,
  ) {
    this.#options = options
    this.#note = options.note ?? (() => undefined)
    this.#passedOver = passedOver
    this.#entries = createEntries(found, options.known ?? [])
    this.#use = new CopyUse(options.copies.folder)
    this.#most = options.inspectors ?? Math.min(MOST_INSPECTORS, availableParallelism())
    this.usable = new Promise((resolve) => {
      this.#onUsable = resolve
    })
    this.settled = new Promise((resolve) => {
      this.#onSettled = resolve
    })
  }

  get models(): ModelRepository['models'] {
    return this.#view.repository.models
  }

  get refused(): ModelRepository['refused'] {
    return this.#view.repository.refused
  }

  get remarks(): ModelRepository['remarks'] {
    return this.#passedOver.remarks
  }

  get progress(): GrowingRepository['progress'] {
    return { served: this.models.length, of: this.#view.count }
  }

  /**
   * Without a version the highest: nothing where that one is inspected still, or was served by the pool and is not servable
   * for now, because another version would answer otherwise.
   */
  find(name: string, version?: string): ServedModel | undefined {
    return version === undefined ? this.#view.highest.get(name) : this.#view.repository.find(name, version)
  }

  isPending(name: string, version?: string): boolean {
    return this.#view.pending.has(version === undefined ? name : `${name}/${version}`)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  forget(name: string): void {
    const isOver = (entry: VersionEntry): boolean =>
      entry.name === name && entry.state === 'refused' && entry.tried === GONE
    if (!this.#entries.some(isOver)) return
    this.#entries = this.#entries.filter((entry) => !isOver(entry))
    this.#note(`model ${showValue(name)} was retired, and is not looked for any more`)
    this.#publish()
  }

  start(): void {
    for (const text of this.remarks) this.#note(text)
    for (const refused of this.#passedOver.refused) this.#options.onRefused?.(refused)
    this.#publish()
    this.#pump()
    const look = async (): Promise<void> => {
      await this.#look().catch((thrown: unknown) =>
        this.#note(`the models folder is not looked at: ${thrown}`),
      )
      if (!this.#isClosed)
        this.#timers[0] = setTimeout(() => void look(), this.#options.lookMs ?? LOOK_MS).unref()
    }
    this.#timers[0] = setTimeout(() => void look(), this.#options.lookMs ?? LOOK_MS).unref()
    this.#timers[1] = setInterval(() => void this.#use.sweep().catch(() => undefined), SWEEP_MS).unref()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#listeners.clear()
    await Promise.all([...this.#inspectors].map((inspector) => inspector.close()))
    await this.#use.close()
    this.#onUsable()
    this.#onSettled()
  }

  /** Whether the pool has served this version. */
  #isKnown({ name, version }: Candidate): boolean {
    const { known = [], expectedDigest } = this.#options
    const isSame = (other: Candidate): boolean => other.name === name && other.version === version
    return known.some(isSame) || expectedDigest?.(name, version) !== undefined
  }

  /** Starts as many inspections as there may be. A process ends when there is nothing more for it. */
  #pump(): void {
    while (!this.#isClosed && this.#inspectors.size < this.#most) {
      const entry = nextWaiting(this.#entries)
      if (entry === undefined) return
      const { inspect, copies } = this.#options
      const inspector = rememberVerdicts(createInspector(inspect), copies, inspect)
      this.#inspectors.add(inspector)
      void this.#inspectAll(entry, inspector)
    }
  }

  async #inspectAll(first: VersionEntry, inspector: Inspector): Promise<void> {
    let entry: VersionEntry | undefined = first
    while (entry !== undefined && !this.#isClosed) {
      entry.state = 'inspecting'
      await this.#try(entry, inspector)
      entry = nextWaiting(this.#entries)
    }
    this.#inspectors.delete(inspector)
    await inspector.close()
  }

  async #try(entry: VersionEntry, inspector: Inspector): Promise<void> {
    const { folder, copies, expectedDigest } = this.#options
    const { name, version } = entry
    const before = await stampOf(folder, entry)
    try {
      const root = await openFolder(folder)
      // A copy that is gone is made again of what is served, or not at all.
      const expected = entry.served?.digest ?? expectedDigest?.(name, version)
      const model = await readModel(root, entry, inspector, { copies, expectedDigest: expected })
      await this.#use.add(model.digest)
      if (this.#isClosed) return
      this.#served(entry, model)
    } catch (thrown) {
      if (this.#isClosed) return
      const error = toPeltonError(thrown, 'model-unavailable', 'the model cannot be read')
      this.#refused(entry, before === GONE && error.code !== 'model-unavailable' ? gone(entry) : error)
    }
    entry.tried = before
    this.#publish()
  }

  #served(entry: VersionEntry, model: ServedModel): void {
    const which = `model ${showValue(entry.name)} version ${entry.version}`
    if (entry.error !== undefined) this.#note(`${which} is served now`)
    for (const remark of entry.served === undefined ? model.notes : []) this.#note(`${which}: ${remark}`)
    entry.served = model
    entry.state = 'served'
    entry.error = undefined
    entry.tries = 0
  }

  #refused(entry: VersionEntry, error: PeltonError): void {
    const { name, version } = entry
    if (entry.error?.message !== error.message) this.#options.onRefused?.({ name, version, error })
    refuseEntry(entry, error)
  }

  /** Shows the world what is served and refused now. */
  #publish(): void {
    this.#seen = undefined
    const isSettled = !this.#entries.some(isPending)
    if (isSettled) this.#onSettled()
    if (isSettled || this.#entries.some(({ served }) => served !== undefined)) this.#onUsable()
    for (const listener of [...this.#listeners]) listener()
  }

  get #view(): VersionsView {
    this.#seen ??= viewOf(this.#entries, {
      passedOver: this.#passedOver,
      isKnown: (entry) => this.#isKnown(entry),
    })
    return this.#seen
  }

  /** What is refused is tried again when its files are others than before, or when time may have mended it. */
  async #look(): Promise<void> {
    this.#looks++
    for (const [index, entry] of this.#entries.entries()) {
      if (this.#isClosed) return
      const turn = (this.#looks + index) / SERVED_EVERY
      if (entry.state === 'served' && Number.isInteger(turn))
        await this.#lookAtServed(entry, turn % COMPARED_EVERY === 0)
      if (entry.state === 'refused') await this.#lookAtRefused(entry)
    }
    this.#pump()
  }

  async #lookAtRefused(entry: VersionEntry): Promise<void> {
    const seen = await lookAtRefused(this.#options.folder, entry)
    if (seen === 'try') entry.state = 'waiting'
    if (seen !== 'gone') return
    entry.tried = GONE
    this.#refused(entry, gone(entry))
    this.#publish()
  }

  /** A copy can be cleared away by whoever clears temporary folders: then it is made again. */
  async #lookAtServed(entry: VersionEntry, isCompared: boolean): Promise<void> {
    const seen = await lookAtServed(this.#options.folder, entry, isCompared)
    if (seen === 'lost') entry.state = 'waiting'
    if (seen === 'changed')
      this.#note(
        `model ${showValue(entry.name)} version ${entry.version} was changed in its folder: it is served as it was. Put a changed model into a new version folder`,
      )
  }
}
