import { createRepository, type ModelRepository, type RefusedModel, type ServedModel } from './repository.ts'
import { GONE, type VersionEntry } from './version-entry.ts'

/** What the world sees of the versions of a growing repository. */
export interface VersionsView {
  /** What is served, and what is refused, or was not looked at yet. */
  readonly repository: ModelRepository
  /** What answers an event that names no version. */
  readonly highest: ReadonlyMap<string, ServedModel | undefined>
  /** Names, and names with versions, of what was not looked at yet. */
  readonly pending: ReadonlySet<string>
  /** How many versions there are, those that cannot be read included. */
  readonly count: number
}

export interface ViewOptions {
  /** What the folder holds besides candidates. */
  readonly passedOver: Pick<ModelRepository, 'refused' | 'remarks'>
  /** Whether the pool has served this version. */
  readonly isKnown: (entry: VersionEntry) => boolean
}

/** Sees the entries, in their order, as they stand now. */
export function viewOf(entries: readonly VersionEntry[], options: ViewOptions): VersionsView {
  const { passedOver, isKnown } = options
  const current = entries.filter((entry) => !isReplaced(entry, entries))
  const refused = current.flatMap((entry): RefusedModel[] => {
    const { name, version, served, error } = entry
    return served === undefined ? [{ name, version, error: error ?? entry.notYet }] : []
  })
  const models = entries.flatMap(({ served }) => served ?? [])
  const pending = entries.filter(isPending)
  return {
    repository: createRepository(models, [...passedOver.refused, ...refused], passedOver.remarks),
    highest: new Map(
      entries.filter((entry) => mayAnswer(entry, isKnown)).map(({ name, served }) => [name, served]),
    ),
    pending: new Set(pending.flatMap(({ name, version }) => [name, `${name}/${version}`])),
    count: current.length + passedOver.refused.length,
  }
}

/** Whether a version was not looked at yet. */
export function isPending({ served, error }: VersionEntry): boolean {
  return served === undefined && error === undefined
}

/** Whether an event that names no version is this version's, or must wait for it. */
function mayAnswer(entry: VersionEntry, isKnown: ViewOptions['isKnown']): boolean {
  if (entry.served !== undefined || entry.error === undefined) return true
  return entry.error.code === 'model-unavailable' && entry.tried !== GONE && isKnown(entry)
}

/** A version that the pool has served once, and that is gone while another version of the model is here, is history. */
function isReplaced(entry: VersionEntry, entries: readonly VersionEntry[]): boolean {
  if (entry.tried !== GONE || entry.served !== undefined || entry.isListed) return false
  return entries.some((other) => other !== entry && other.name === entry.name && other.tried !== GONE)
}
