import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { PeltonError, showValue } from '../sdk/errors.ts'
import { seeModels } from './models-page.ts'
import type { Candidate, ServedModel } from './repository.ts'

/** One version of a growing repository, and how it stands with it. */
export interface VersionEntry extends Candidate {
  /** Whether the folder holds it; otherwise only the pool knows it. */
  readonly isListed: boolean
  /** 0 for the highest version of its model, 1 for the next. */
  readonly rank: number
  state: 'waiting' | 'inspecting' | 'served' | 'refused'
  served: ServedModel | undefined
  error: PeltonError | undefined
  /** Why it is not served before it was looked at. */
  readonly notYet: PeltonError
  /** Its stamp before the last try, and at the last look. */
  tried: string | undefined
  seen: string | undefined
  /** Tries that failed since it was served last. */
  tries: number
  /** When time may have mended what failed, by the clock of this process, milliseconds. */
  nextTry: number
}

/** What failed for want of something is tried again after this long, twice as long each time, milliseconds. */
const FIRST_PAUSE_MS = 5_000
const LONGEST_PAUSE_MS = 300_000

/** Entries by name and rising version. */
export function createEntries(
  listed: readonly Candidate[],
  known: readonly Candidate[],
): readonly VersionEntry[] {
  const keyOf = ({ name, version }: Candidate): string => `${name}/${version}`
  const isListed = new Set(listed.map(keyOf))
  const sorted = [...listed, ...known.filter((candidate) => !isListed.has(keyOf(candidate)))].sort(
    byNameAndVersion,
  )
  return sorted.map((candidate, index) => ({
    ...candidate,
    isListed: isListed.has(keyOf(candidate)),
    rank: sorted.slice(index + 1).filter((other) => other.name === candidate.name).length,
    state: 'waiting',
    served: undefined,
    error: undefined,
    notYet: notYet(candidate),
    tried: undefined,
    seen: undefined,
    tries: 0,
    nextTry: 0,
  }))
}

function byNameAndVersion(left: Candidate, right: Candidate): number {
  if (left.name !== right.name) return left.name < right.name ? -1 : 1
  return Number(left.version) - Number(right.version)
}

/** The entry to inspect next: the highest version of each model before any other. */
export function nextWaiting(entries: readonly VersionEntry[]): VersionEntry | undefined {
  let next: VersionEntry | undefined
  for (const entry of entries)
    if (entry.state === 'waiting' && (next === undefined || entry.rank < next.rank)) next = entry
  return next
}

/** Writes down that a version is not served, and when to try it again. */
export function refuseEntry(entry: VersionEntry, error: PeltonError): void {
  entry.state = 'refused'
  entry.error = error
  entry.nextTry = performance.now() + Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** entry.tries++)
}

/** The stamp of a version whose `model.onnx` is not there. */
export const GONE = 'gone'

/** Changes when a file of the version does, or a manifest. */
export async function stampOf(folder: string, { name, version }: Candidate): Promise<string> {
  const ofVersion = await factsOf(join(folder, name, version))
  if (!ofVersion.some((line) => line.startsWith('model.onnx:'))) return GONE
  const ofModel = await factsOf(join(folder, name), /^manifest\./)
  return [...ofVersion, ...ofModel].join('\n')
}

async function factsOf(folder: string, which = /./): Promise<readonly string[]> {
  const names = await readdir(folder).catch(() => [])
  return Promise.all(
    names
      .filter((name) => which.test(name))
      .map(async (name) => {
        const found = await stat(join(folder, name), { bigint: true }).catch(() => undefined)
        return `${name}:${found?.ino}:${found?.size}:${found?.mtimeNs}:${found?.ctimeNs}`
      }),
  )
}

/** Why a version whose file went away is not served. */
export function gone({ name, version }: Candidate): PeltonError {
  return new PeltonError('model-unavailable', 'there is no such file', {
    field: 'path',
    value: `${name}/${version}/model.onnx`,
    remedy: `Put the file there; it is served as soon as it can be read. ${seeModels('folder')}`,
  })
}

/** Why a version that was not looked at yet is not served. */
function notYet({ name, version }: Candidate): PeltonError {
  return new PeltonError(
    'model-unavailable',
    `model ${showValue(name)} version ${version} is being inspected`,
  )
}
